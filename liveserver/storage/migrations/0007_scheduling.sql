-- Who gives a class: an instructor cannot give two at once. Which reminders went out is known by the notifications' keys.
ALTER TABLE live_sessions ADD COLUMN host_id uuid REFERENCES users;
UPDATE live_sessions v SET host_id = c.instructor_id FROM courses c WHERE c.id = v.course_id;
CREATE INDEX live_sessions_host ON live_sessions (host_id, start_time) WHERE status IN ('scheduled', 'live', 'ending');
CREATE INDEX live_sessions_lesson ON live_sessions (lesson_id) WHERE lesson_id IS NOT NULL;
ALTER TABLE live_sessions ADD CONSTRAINT live_sessions_link CHECK ((provider = 'link') = (external_url IS NOT NULL));
-- Refused joins are counted, not listed: how many people were at the door.
ALTER TABLE live_sessions ADD COLUMN refused_joins integer NOT NULL DEFAULT 0;
-- A class on somebody else's site: all we know is who opened its address, and when first.
CREATE TABLE link_visits (
    session_id uuid NOT NULL REFERENCES live_sessions,
    user_id uuid NOT NULL REFERENCES users,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, user_id)
);
-- Which reminders of which class went out.
CREATE TABLE session_reminders (
    key text PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES live_sessions,
    at timestamptz NOT NULL DEFAULT now()
);
