-- A rejected course whose lessons and classes are closed to who is enrolled, too: as the settings said then.
ALTER TABLE courses ADD COLUMN closed boolean NOT NULL DEFAULT false;
