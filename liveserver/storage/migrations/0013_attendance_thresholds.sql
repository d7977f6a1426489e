-- From when on a student is late, and until when they stayed: minutes, of each course. A class that is over keeps
-- those it was judged by.
ALTER TABLE courses
    ADD COLUMN late_after smallint NOT NULL DEFAULT 5 CHECK (late_after >= 0),
    ADD COLUMN early_before smallint NOT NULL DEFAULT 5 CHECK (early_before >= 0);
ALTER TABLE live_sessions
    ADD COLUMN late_after smallint,
    ADD COLUMN early_before smallint;
UPDATE live_sessions SET late_after = 5, early_before = 5 WHERE status = 'ended';
