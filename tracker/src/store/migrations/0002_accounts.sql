-- recovery: hash of the recovery code. role: 0 member, 1 administrator. locked_ms: when it was locked, while it is.
ALTER TABLE accounts ADD COLUMN recovery BLOB;
ALTER TABLE accounts ADD COLUMN role INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN locked_ms INTEGER;

-- When the device was signed out, while it is.
ALTER TABLE devices ADD COLUMN revoked_ms INTEGER;
CREATE INDEX devices_revoked ON devices (revoked_ms) WHERE revoked_ms IS NOT NULL;
