-- Who has blocked whom, and when each of the two was last seen by the other: that stays as it was. seen of NULL: never.
CREATE TABLE blocks (
    blocker         INTEGER NOT NULL REFERENCES accounts (no),
    blocked         INTEGER NOT NULL REFERENCES accounts (no),
    blocker_seen_ms INTEGER,
    blocked_seen_ms INTEGER,
    PRIMARY KEY (blocker, blocked)
) WITHOUT ROWID;
CREATE INDEX blocks_by_blocked ON blocks (blocked, blocker);

-- Both directions of every block: `one` and `other` are hidden from each other.
CREATE VIEW apart (one, other, other_seen_ms) AS
    SELECT blocker, blocked, blocked_seen_ms FROM blocks
    UNION ALL SELECT blocked, blocker, blocker_seen_ms FROM blocks;

-- How often the account was hidden from another one or shown to it again: its view of the index begins anew each time.
ALTER TABLE accounts ADD COLUMN partings INTEGER NOT NULL DEFAULT 0;

-- When grants for what the device shares were withdrawn last.
ALTER TABLE devices ADD COLUMN narrowed_ms INTEGER;
