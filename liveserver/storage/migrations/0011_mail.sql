-- What goes out by mail: which notifications went, and the one-time words in links.
ALTER TABLE notifications ADD COLUMN mailed_at timestamptz;

CREATE TABLE account_tokens (
    hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('reset', 'confirm')),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX account_tokens_user ON account_tokens (user_id, purpose);
