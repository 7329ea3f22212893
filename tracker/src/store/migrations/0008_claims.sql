-- Who wants a copy of a content, one row for each member and size. state: 0 the content is to be fetched from this member's
-- devices, 1 the copy is one of its files: the tracker got it from the member, or the member might fetch it anyway.
CREATE TABLE claims (
    blob     BLOB    NOT NULL,
    account  INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    state    INTEGER NOT NULL,
    asked_ms INTEGER NOT NULL,
    PRIMARY KEY (blob, account, size)
) WITHOUT ROWID;
CREATE INDEX claims_pending ON claims (asked_ms, blob, account, size) WHERE state = 0;

INSERT INTO claims (blob, account, size, state, asked_ms)
SELECT DISTINCT f.blob, f.owner, f.size, c.state = 1 AND c.size = f.size, c.asked_ms
FROM files f JOIN copies c ON c.blob = f.blob AND c.state < 2 WHERE f.copy = 1;

DROP INDEX copies_pending;
