-- Requests and offers as the tracker told them last, as postcard.
CREATE TABLE inbox_item (
    id  BLOB PRIMARY KEY,
    row BLOB NOT NULL
) WITHOUT ROWID;

-- What this device has taken on because of an item, as JSON.
CREATE TABLE errand (
    item BLOB PRIMARY KEY,
    what TEXT NOT NULL
) WITHOUT ROWID;

-- Files that this device offers. items: ids of its offers as JSON. sent: whether the tracker has them.
CREATE TABLE parcel (
    no     INTEGER PRIMARY KEY AUTOINCREMENT,
    id     BLOB    NOT NULL UNIQUE,
    name   TEXT    NOT NULL,
    local  BLOB    NOT NULL,
    folder INTEGER NOT NULL,
    items  TEXT    NOT NULL,
    sent   INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE parcel_file (
    parcel      INTEGER NOT NULL REFERENCES parcel (no) ON DELETE CASCADE,
    path        TEXT    NOT NULL,
    relative    TEXT,
    blob        BLOB    NOT NULL,
    size        INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    changed_ns  INTEGER NOT NULL,
    executable  INTEGER NOT NULL,
    PRIMARY KEY (parcel, path)
) WITHOUT ROWID;

-- Standing answers to offers. up_to: bytes that an offer may have to be accepted; NULL with accept: any.
CREATE TABLE offer_rule (
    member TEXT    PRIMARY KEY,
    accept INTEGER NOT NULL,
    up_to  INTEGER
) WITHOUT ROWID;
