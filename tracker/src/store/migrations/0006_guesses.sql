-- Wrong passwords and recovery codes by account and address. Nobody needs to have the name; rows live for an hour or so.
CREATE TABLE guesses (
    name_key TEXT NOT NULL,
    address  TEXT NOT NULL,
    count    INTEGER NOT NULL,
    last_ms  INTEGER NOT NULL,
    PRIMARY KEY (name_key, address)
) WITHOUT ROWID;
CREATE INDEX guesses_by_age ON guesses (last_ms);
