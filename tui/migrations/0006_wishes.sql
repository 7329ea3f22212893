-- Standing searches. up_to: bytes that a match may have to be fetched; NULL: any.
CREATE TABLE wish (
    no         INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    query      TEXT    NOT NULL,
    fetch      INTEGER NOT NULL,
    up_to      INTEGER,
    created_ms INTEGER NOT NULL
) STRICT;

-- What matched them. state: 0 was there before the search, 1 to be fetched, 2 to be told, 3 told, 4 fetched.
CREATE TABLE wish_match (
    wish       INTEGER NOT NULL REFERENCES wish (no) ON DELETE CASCADE,
    file       BLOB    NOT NULL,
    blob       BLOB    NOT NULL,
    state      INTEGER NOT NULL,
    matched_ms INTEGER NOT NULL,
    reason     TEXT    NOT NULL DEFAULT '',
    transfer   TEXT,
    fetched_ms INTEGER,
    PRIMARY KEY (wish, file)
) STRICT, WITHOUT ROWID;
CREATE INDEX wish_match_blob ON wish_match (wish, blob);
CREATE INDEX wish_match_due ON wish_match (state, matched_ms) WHERE state IN (1, 2);
CREATE INDEX wish_match_fetched ON wish_match (fetched_ms) WHERE fetched_ms IS NOT NULL;
