-- The X25519 key that messages to a device are sealed to, and the device's signature under it.
CREATE TABLE message_devices (
    device  INTEGER PRIMARY KEY REFERENCES devices (no) ON DELETE CASCADE,
    sealing BLOB    NOT NULL,
    proof   BLOB    NOT NULL
);

-- body and signature: gone as soon as no device waits for them; the row stays, so that a message sent again is known.
-- receiver: NULL for everyone. device, signing: of the sender, as they were. complete: whether all seals are there.
-- delivered: whether a device of the receiver has it.
CREATE TABLE messages (
    no         INTEGER PRIMARY KEY AUTOINCREMENT,
    id         BLOB    NOT NULL UNIQUE,
    sender     INTEGER NOT NULL REFERENCES accounts (no),
    receiver   INTEGER REFERENCES accounts (no),
    device     BLOB    NOT NULL,
    signing    BLOB    NOT NULL,
    written_ms INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    body       BLOB,
    signature  BLOB,
    complete   INTEGER NOT NULL DEFAULT 0,
    delivered  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX messages_by_time ON messages (at_ms);
CREATE INDEX messages_kept ON messages (sender) WHERE body IS NOT NULL;

-- The key of a message, sealed to one device, until that device has noted the message.
CREATE TABLE message_seals (
    device  INTEGER NOT NULL REFERENCES devices (no) ON DELETE CASCADE,
    message INTEGER NOT NULL REFERENCES messages (no) ON DELETE CASCADE,
    sealed  BLOB    NOT NULL,
    PRIMARY KEY (device, message)
) WITHOUT ROWID;
CREATE INDEX message_seals_of_message ON message_seals (message);
