-- The name that a share is about to have: noted before the tracker is told, gone once the files here have it too.
ALTER TABLE share ADD COLUMN renaming TEXT;
