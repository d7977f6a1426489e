CREATE EXTENSION IF NOT EXISTS citext;

CREATE TABLE users (
    id uuid PRIMARY KEY,
    org_id uuid,
    name text NOT NULL CHECK (name <> ''),
    email citext NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('student', 'instructor', 'admin')),
    status text NOT NULL CHECK (status IN ('active', 'pending', 'disabled')),
    locale text NOT NULL CHECK (locale IN ('en', 'ar')),
    timezone text NOT NULL,
    token_version integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One login of one device. Rotation never lengthens expires_at.
CREATE TABLE refresh_families (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    user_agent text NOT NULL,
    address text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text
);
CREATE INDEX refresh_families_user ON refresh_families (user_id) WHERE revoked_at IS NULL;

-- Only hashes are kept. `child_sealed` is the successor, readable with the token itself alone, so that a
-- second tab which refreshes in the same moment gets the same one.
CREATE TABLE refresh_tokens (
    hash bytea PRIMARY KEY,
    family_id uuid NOT NULL REFERENCES refresh_families ON DELETE CASCADE,
    child_hash bytea,
    child_sealed bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_family ON refresh_tokens (family_id);

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    private_sealed bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    active_from timestamptz NOT NULL,
    verify_until timestamptz
);

CREATE TABLE platform_settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    actor_id uuid REFERENCES users,
    action text NOT NULL,
    subject uuid,
    details jsonb NOT NULL DEFAULT '{}',
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_at ON audit_log (at DESC);
