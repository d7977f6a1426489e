-- What was looked at is what is served: a file sent by one PUT is copied to a key nobody has an address of, and what
-- lies where it was sent to (`staged`) is deleted, once more when every address of it is over.
ALTER TABLE uploads ADD COLUMN object_key text, ADD COLUMN staged boolean NOT NULL DEFAULT false;
UPDATE uploads SET staged = true WHERE status = 'uploading' AND multipart_id IS NULL;
CREATE INDEX uploads_staged ON uploads (completed_at) WHERE staged AND completed_at IS NOT NULL;
