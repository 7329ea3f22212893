-- What was decided for one path of a share, where that differs from the share. A path with / at its end: all below it.
CREATE TABLE edit (
    share    INTEGER NOT NULL REFERENCES share (id) ON DELETE CASCADE,
    path     TEXT NOT NULL,
    audience TEXT,
    note     TEXT,
    PRIMARY KEY (share, path)
) STRICT, WITHOUT ROWID;
