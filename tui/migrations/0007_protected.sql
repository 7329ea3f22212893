-- Whether the files of a share are encrypted with a password.
ALTER TABLE share ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;
-- The encrypted form of a protected file and what locks it, as JSON. The rest of the row is about the file itself.
ALTER TABLE shared_file ADD COLUMN sealed TEXT;

-- Encrypted contents that were opened here, and what was in them.
CREATE TABLE opened (
    blob  BLOB PRIMARY KEY,
    plain BLOB NOT NULL,
    size  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
