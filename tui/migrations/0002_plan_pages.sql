-- The files of a transfer, many to a row: they are written once and read as a whole. Each is
-- [position, file, blob, path, size, modified_ms, executable].
CREATE TABLE plan_page (
    transfer INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    first    INTEGER NOT NULL,
    files    TEXT NOT NULL,
    PRIMARY KEY (transfer, first)
) STRICT, WITHOUT ROWID;

-- Files of a transfer whose content was another by the time they were fetched, written likewise.
CREATE TABLE replanned (
    transfer INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    file     TEXT NOT NULL,
    PRIMARY KEY (transfer, position)
) STRICT, WITHOUT ROWID;

-- Files of a transfer that are there, as they came, each with the name that it got: [position, name].
CREATE TABLE landed_page (
    id       INTEGER PRIMARY KEY,
    transfer INTEGER NOT NULL REFERENCES transfer (id) ON DELETE CASCADE,
    files    TEXT NOT NULL
) STRICT;

CREATE INDEX landed_page_of_transfer ON landed_page (transfer);

INSERT INTO plan_page (transfer, first, files)
SELECT transfer, MIN(position), json_group_array(
    json_array(position, lower(hex(file)), lower(hex(blob)), path, size, modified_ms, executable))
FROM transfer_file GROUP BY transfer, position / 1000;

INSERT INTO landed_page (transfer, files)
SELECT transfer, json_group_array(json_array(position, name)) FROM landed GROUP BY transfer;

DROP TABLE landed;
DROP TABLE transfer_file;
