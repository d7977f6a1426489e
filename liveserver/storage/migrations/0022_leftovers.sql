-- What of a failed upload still lies in the store is deleted by a sweep, as often as it takes.
ALTER TABLE uploads ADD COLUMN leftover boolean NOT NULL DEFAULT false;
CREATE INDEX uploads_leftover ON uploads (id) WHERE leftover;
