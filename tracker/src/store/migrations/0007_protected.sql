-- What is to be proved for a file that is protected by a password: 1 byte how the key is made, 16 bytes of salt, 32 of the key.
ALTER TABLE files ADD COLUMN lock BLOB;
CREATE INDEX files_locked ON files (blob, lock) WHERE lock IS NOT NULL;

-- Devices, by number, and what they have proved.
CREATE TABLE opened (
    device INTEGER NOT NULL,
    lock   BLOB    NOT NULL,
    PRIMARY KEY (device, lock)
) WITHOUT ROWID;
