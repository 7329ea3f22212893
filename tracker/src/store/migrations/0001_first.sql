-- Times are milliseconds since 1970. A viewer is 0 (every member), an account's number, or minus a device's number.

CREATE TABLE facts (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
-- seq: newest change of the index. horizon: newest tombstone that was forgotten.
INSERT INTO facts (name, value) VALUES ('seq', 0), ('horizon', 0);

CREATE TABLE accounts (
    no           INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB    NOT NULL UNIQUE,
    name         TEXT    NOT NULL,
    name_key     TEXT    NOT NULL UNIQUE,
    skeleton     TEXT    NOT NULL UNIQUE,
    email        TEXT,
    password     TEXT    NOT NULL,
    locked       INTEGER NOT NULL DEFAULT 0,
    created_ms   INTEGER NOT NULL,
    last_seen_ms INTEGER,
    files        INTEGER NOT NULL DEFAULT 0,
    listed_files INTEGER NOT NULL DEFAULT 0,
    listed_bytes INTEGER NOT NULL DEFAULT 0,
    shares       INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE devices (
    no           INTEGER PRIMARY KEY AUTOINCREMENT,
    id           BLOB    NOT NULL UNIQUE,
    key          BLOB    NOT NULL,
    account      INTEGER NOT NULL REFERENCES accounts (no),
    label        TEXT    NOT NULL,
    active       INTEGER NOT NULL DEFAULT 1,
    created_ms   INTEGER NOT NULL,
    last_seen_ms INTEGER
);
CREATE INDEX devices_of_account ON devices (account);

CREATE TABLE invites (
    hash       BLOB    PRIMARY KEY,
    hint       TEXT    NOT NULL,
    uses_left  INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    ends_ms    INTEGER
) WITHOUT ROWID;

CREATE TABLE folders (
    no     INTEGER PRIMARY KEY AUTOINCREMENT,
    id     BLOB    NOT NULL UNIQUE,
    owner  INTEGER NOT NULL REFERENCES accounts (no),
    parent INTEGER NOT NULL,
    path   TEXT    NOT NULL,
    fold   TEXT    NOT NULL,
    UNIQUE (owner, fold)
);
CREATE INDEX folders_in_folder ON folders (parent, fold);
CREATE INDEX folders_at_top ON folders (owner, fold) WHERE parent = 0;
CREATE INDEX folders_by_fold ON folders (fold);

-- What each viewer sees below a folder, at any depth. Rows of zero files do not exist.
CREATE TABLE folder_counts (
    folder INTEGER NOT NULL,
    viewer INTEGER NOT NULL,
    files  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (folder, viewer)
) WITHOUT ROWID;

-- visibility: 0 public, 1 ask, 2 people, 3 hidden. realm: 0 for listed files, the device's number for hidden ones, so
-- that a hidden path neither blocks nor betrays itself to other devices. seq: 0 for hidden files.
CREATE TABLE files (
    no          INTEGER PRIMARY KEY AUTOINCREMENT,
    id          BLOB    NOT NULL UNIQUE,
    owner       INTEGER NOT NULL REFERENCES accounts (no),
    device      INTEGER NOT NULL,
    realm       INTEGER NOT NULL,
    parent      INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    fold        TEXT    NOT NULL,
    blob        BLOB    NOT NULL,
    size        INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    executable  INTEGER NOT NULL,
    visibility  INTEGER NOT NULL,
    note        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    shared_ms   INTEGER NOT NULL,
    copy        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    UNIQUE (owner, fold, realm)
);
CREATE INDEX files_in_folder ON files (parent, fold);
CREATE INDEX files_at_top ON files (owner, fold) WHERE parent = 0;
CREATE INDEX files_by_blob ON files (blob);
CREATE INDEX files_by_seq ON files (seq);

CREATE TABLE people (
    file    INTEGER NOT NULL,
    account INTEGER NOT NULL,
    PRIMARY KEY (file, account)
) WITHOUT ROWID;

-- Devices of the owner that hold a file's content besides the one that shared it.
CREATE TABLE holders (
    file   INTEGER NOT NULL,
    device INTEGER NOT NULL,
    PRIMARY KEY (file, device)
) WITHOUT ROWID;

CREATE TABLE versions (
    file      INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    blob      BLOB    NOT NULL,
    size      INTEGER NOT NULL,
    shared_ms INTEGER NOT NULL,
    PRIMARY KEY (file, version)
) WITHOUT ROWID;

-- Files that went away, or went away for someone.
CREATE TABLE gone (
    seq    INTEGER NOT NULL,
    viewer INTEGER NOT NULL,
    id     BLOB    NOT NULL,
    PRIMARY KEY (seq, viewer)
) WITHOUT ROWID;

-- state: 0 pending, 1 stored, 2 to be deleted. A row exists as long as the object may.
CREATE TABLE copies (
    blob     BLOB    PRIMARY KEY,
    size     INTEGER NOT NULL,
    state    INTEGER NOT NULL,
    asked_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX copies_pending ON copies (asked_ms, blob) WHERE state = 0;
CREATE INDEX copies_unwanted ON copies (asked_ms) WHERE state = 2;

-- Folded text of each listed file, narrow so that words too short for the trigram index can be looked for by reading it.
CREATE TABLE search (
    file INTEGER PRIMARY KEY,
    text TEXT NOT NULL
);
CREATE VIRTUAL TABLE search_index USING fts5 (
    text, content = '', contentless_delete = 1, tokenize = 'trigram'
);
