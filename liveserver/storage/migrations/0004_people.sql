-- People's profiles, and what an admin does to accounts.
-- The version before still serves: tables are locked in the order its inserts lock them, children before parents.
LOCK TABLE audit_log, refresh_families, users IN ACCESS EXCLUSIVE MODE;

CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS unaccent;

ALTER TABLE users
    ADD COLUMN avatar_key text,
    ADD COLUMN email_verified_at timestamptz,
    ADD COLUMN disabled_reason text;

-- When a login was last refreshed: what "active in the last days" is counted from.
ALTER TABLE refresh_families ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX refresh_families_used ON refresh_families (used_at DESC, user_id);

CREATE TABLE instructor_profiles (
    user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    headline text NOT NULL DEFAULT '',
    bio text NOT NULL DEFAULT '',
    links jsonb NOT NULL DEFAULT '[]',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX users_role ON users (role, status);
CREATE INDEX audit_log_subject ON audit_log (subject, at DESC);

-- One form for all spellings a searcher may use: no case, accents or Arabic diacritics; alef, hamza, ta marbuta and
-- alef maqsura as they are typed in a hurry. Immutable, so that it can be indexed; unaccent's dictionary is named for it.
CREATE FUNCTION search_fold(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = public, pg_catalog
RETURN translate(
    lower(unaccent('unaccent'::regdictionary, regexp_replace(value, '[\u064B-\u0652\u0670\u0640]', '', 'g'))),
    'أإآٱةىؤئ', 'ااااهيوي'
);

-- A word as LIKE finds it, whatever it holds.
CREATE FUNCTION like_literal(word text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(word, '([\\%_])', '\\\1', 'g');

CREATE INDEX users_search ON users USING gin (search_fold(name || ' ' || email::text) gin_trgm_ops);
