-- What people upload. Bytes go from the browser to the store and from there to the browser; here is what is known of them.
CREATE TABLE uploads (
    id uuid PRIMARY KEY,
    owner_id uuid NOT NULL REFERENCES users,
    purpose text NOT NULL CHECK (purpose IN ('video', 'file', 'avatar')),
    file_name text NOT NULL,
    content_type text NOT NULL,
    size bigint NOT NULL CHECK (size > 0),
    key text NOT NULL UNIQUE,
    multipart_id text,
    part_size integer NOT NULL,
    status text NOT NULL CHECK (status IN ('uploading', 'processing', 'ready', 'failed')),
    failure text,
    percent integer NOT NULL DEFAULT 0 CHECK (percent BETWEEN 0 AND 100),
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    CHECK ((status = 'failed') = (failure IS NOT NULL))
);
CREATE INDEX uploads_owner ON uploads (owner_id) WHERE status <> 'failed';
CREATE INDEX uploads_unfinished ON uploads (created_at) WHERE status = 'uploading';

-- What a video became: encrypted HLS below `prefix`. `segments` are the lengths of the pieces of every rendition, in
-- seconds; `content_key` is sealed with auth.secret.
CREATE TABLE videos (
    upload_id uuid PRIMARY KEY REFERENCES uploads,
    prefix text NOT NULL,
    duration double precision NOT NULL CHECK (duration > 0),
    renditions jsonb NOT NULL,
    content_key bytea NOT NULL,
    poster_key text NOT NULL
);

ALTER TABLE lessons ADD COLUMN upload_id uuid REFERENCES uploads;
CREATE INDEX lessons_upload ON lessons (upload_id) WHERE upload_id IS NOT NULL;

CREATE TABLE downloads (
    id uuid PRIMARY KEY,
    lesson_id uuid NOT NULL REFERENCES lessons,
    user_id uuid REFERENCES users,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX downloads_lesson ON downloads (lesson_id, at DESC);

-- Somebody watching a video now, or having watched: a lease that beats keep alive, and the ledger of what was credited.
CREATE TABLE playbacks (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES users,
    lesson_id uuid NOT NULL REFERENCES lessons,
    upload_id uuid NOT NULL REFERENCES uploads,
    started_at timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL,
    beat_at timestamptz NOT NULL DEFAULT now(),
    beat_seq bigint NOT NULL DEFAULT 0,
    credited double precision NOT NULL DEFAULT 0,
    offline boolean NOT NULL DEFAULT false
);
CREATE INDEX playbacks_user ON playbacks (user_id, alive_until DESC);
CREATE INDEX playbacks_lesson ON playbacks (lesson_id, started_at DESC);
