-- What no lesson shows any more is kept for a while, then thrown away: `used_at` is when a look last found it in use.
ALTER TABLE uploads ADD COLUMN looked_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX uploads_looked ON uploads (looked_at) WHERE status = 'ready' AND purpose <> 'avatar';
CREATE INDEX uploads_used ON uploads (used_at) WHERE status = 'ready' AND purpose <> 'avatar';
