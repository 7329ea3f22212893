-- Everything that one profile of the client remembers.

CREATE TABLE setting (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A file or folder that this device shares, as a whole.
CREATE TABLE share (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    local    BLOB NOT NULL,
    folder   INTEGER NOT NULL,
    audience TEXT,
    note     TEXT
) STRICT;

-- One file of a share, with the state that its hash belongs to.
CREATE TABLE shared_file (
    share       INTEGER NOT NULL REFERENCES share (id) ON DELETE CASCADE,
    path        TEXT NOT NULL,
    relative    TEXT,
    blob        BLOB NOT NULL,
    size        INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    changed_ns  INTEGER NOT NULL,
    executable  INTEGER NOT NULL,
    file        BLOB,
    PRIMARY KEY (share, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX shared_file_blob ON shared_file (blob);

-- Files below a shared folder that were taken out of the index one by one: a rescan does not bring them back.
CREATE TABLE excluded (
    share INTEGER NOT NULL REFERENCES share (id) ON DELETE CASCADE,
    path  TEXT NOT NULL,
    PRIMARY KEY (share, path)
) STRICT, WITHOUT ROWID;

-- A fetched file that was complete and verified when it had this state.
CREATE TABLE fetched (
    blob        BLOB NOT NULL,
    local       BLOB NOT NULL,
    size        INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    changed_ns  INTEGER NOT NULL,
    PRIMARY KEY (blob, local)
) STRICT, WITHOUT ROWID;

-- A transfer into this device; `row` is its last state as the faces see it, as JSON.
CREATE TABLE transfer (
    id      INTEGER PRIMARY KEY,
    active  INTEGER NOT NULL,
    plan    TEXT NOT NULL,
    row     TEXT NOT NULL
) STRICT;

-- The files of a transfer.
CREATE TABLE transfer_file (
    transfer    INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    file        BLOB NOT NULL,
    blob        BLOB NOT NULL,
    path        TEXT NOT NULL,
    size        INTEGER NOT NULL,
    modified_ms INTEGER NOT NULL,
    executable  INTEGER NOT NULL,
    PRIMARY KEY (transfer, position)
) STRICT, WITHOUT ROWID;

-- Those of them that are there, with the names that they got.
CREATE TABLE landed (
    transfer INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    name     TEXT NOT NULL,
    PRIMARY KEY (transfer, position)
) STRICT, WITHOUT ROWID;

-- The local replica of the index.
CREATE TABLE replica (
    file BLOB PRIMARY KEY,
    row  BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Bytes exchanged with each member.
CREATE TABLE exchanged (
    member    BLOB PRIMARY KEY,
    from_them INTEGER NOT NULL DEFAULT 0,
    to_them   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
