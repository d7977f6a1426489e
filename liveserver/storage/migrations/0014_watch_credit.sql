-- Watching is credited by the time that passed for the student, however many players they open.
ALTER TABLE lesson_progress
    ADD COLUMN credited_at timestamptz,
    ADD COLUMN credit_left real NOT NULL DEFAULT 2;
