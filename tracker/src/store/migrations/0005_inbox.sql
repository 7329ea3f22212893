-- Files that are offered together. They lie in `files` with the visibility 4 and the realm -(2^40 + no), which neither
-- accounts nor devices reach.
CREATE TABLE parcels (
    no         INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB    NOT NULL UNIQUE,
    owner      INTEGER NOT NULL REFERENCES accounts (no),
    files      INTEGER NOT NULL DEFAULT 0,
    bytes      INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
);
CREATE INDEX parcels_of_account ON parcels (owner);
CREATE INDEX files_in_parcel ON files (realm, fold) WHERE visibility = 4;

-- matter: 0 to 3 requests (a source, an approval, words to one, words to all), 4 offer, 5 channel.
-- state: 0 waiting, 1 accepted, 2 fulfilled, 3 declined, 4 cancelled, 5 expired.
-- to_account: 0 is everyone; answered_by is then who said yes. copied: whether a copy was left for it.
CREATE TABLE items (
    no           INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB    NOT NULL UNIQUE,
    matter       INTEGER NOT NULL,
    state        INTEGER NOT NULL DEFAULT 0,
    from_account INTEGER NOT NULL REFERENCES accounts (no),
    from_device  BLOB    NOT NULL,
    to_account   INTEGER NOT NULL,
    answered_by  INTEGER,
    file         BLOB,
    parcel       INTEGER,
    name         TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    blob         BLOB,
    text         TEXT    NOT NULL,
    word         TEXT    NOT NULL DEFAULT '',
    copied       INTEGER NOT NULL DEFAULT 0,
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER NOT NULL,
    changed_ms   INTEGER NOT NULL,
    seq          INTEGER NOT NULL
);
CREATE INDEX items_by_from ON items (from_account, seq);
CREATE INDEX items_by_to ON items (to_account, seq);
CREATE INDEX items_by_parcel ON items (parcel) WHERE parcel IS NOT NULL;
CREATE INDEX items_by_file ON items (file) WHERE file IS NOT NULL;
CREATE INDEX items_that_end ON items (expires_ms) WHERE state < 2;
CREATE INDEX items_that_ended ON items (changed_ms) WHERE state > 1;
CREATE INDEX items_by_time ON items (from_account, created_ms);

-- Who may fetch a file that its visibility alone does not give: as long as an item stands, or, with file 0 and item 0, all
-- files of the owner that are shared as ask.
CREATE TABLE approvals (
    owner   INTEGER NOT NULL,
    account INTEGER NOT NULL,
    file    INTEGER NOT NULL,
    item    INTEGER NOT NULL,
    PRIMARY KEY (account, owner, file, item)
) WITHOUT ROWID;
CREATE INDEX approvals_of_item ON approvals (item);
CREATE INDEX approvals_of_file ON approvals (file);

INSERT INTO facts (name, value) VALUES ('inbox_seq', 0);
