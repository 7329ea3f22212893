-- Messages of the account. room: the other member's id, or nothing for everyone. state: 0 waiting, 1 sent, 2 delivered,
-- 3 failed, 4 received. gone: its text was forgotten for newer ones; the id stays, so that it is not noted twice.
CREATE TABLE message (
    no         INTEGER PRIMARY KEY,
    id         BLOB    NOT NULL UNIQUE,
    room       BLOB    NOT NULL,
    sender     TEXT    NOT NULL,
    receiver   TEXT,
    mine       INTEGER NOT NULL,
    text       TEXT    NOT NULL,
    at_ms      INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    reason     TEXT    NOT NULL,
    unread     INTEGER NOT NULL,
    unreadable INTEGER NOT NULL,
    gone       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX message_in_room ON message (room, at_ms, id) WHERE gone = 0;
CREATE INDEX message_by_time ON message (at_ms, id) WHERE gone = 0;
CREATE INDEX message_waiting ON message (no) WHERE state = 0;
CREATE INDEX message_sent ON message (no) WHERE state = 1;
CREATE INDEX message_unread ON message (room) WHERE unread = 1;

-- Own messages that the tracker may know already, as they were encrypted: sent again, they are the same.
CREATE TABLE envelope (
    message  INTEGER PRIMARY KEY REFERENCES message (no) ON DELETE CASCADE,
    envelope BLOB    NOT NULL
) STRICT;

-- What a person decided of a room, and what the room is called.
CREATE TABLE room (
    room  BLOB PRIMARY KEY,
    name  TEXT    NOT NULL,
    muted INTEGER NOT NULL DEFAULT 0,
    draft TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- The keys of devices that messages were sealed to.
CREATE TABLE device_key (
    device  BLOB PRIMARY KEY,
    account BLOB NOT NULL,
    sealing BLOB NOT NULL
) STRICT, WITHOUT ROWID;
