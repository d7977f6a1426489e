-- How far a student has come, lesson by lesson. Percent of a course is computed from here; enrollments.progress is the
-- last one computed, kept for lists.
CREATE TABLE lesson_progress (
    student_id uuid NOT NULL REFERENCES users,
    lesson_id uuid NOT NULL REFERENCES lessons,
    completed_at timestamptz,
    position_seconds double precision NOT NULL DEFAULT 0 CHECK (position_seconds >= 0),
    watched nummultirange NOT NULL DEFAULT '{}',
    watched_seconds double precision NOT NULL DEFAULT 0,
    content_changed boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (student_id, lesson_id)
);
CREATE INDEX lesson_progress_lesson ON lesson_progress (lesson_id) WHERE completed_at IS NOT NULL;

CREATE TABLE certificates (
    id uuid PRIMARY KEY,
    code text NOT NULL UNIQUE,
    student_id uuid NOT NULL REFERENCES users,
    course_id uuid NOT NULL REFERENCES courses,
    student_name text NOT NULL,
    course_title text NOT NULL,
    instructor_name text NOT NULL,
    language text NOT NULL,
    issued_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    UNIQUE (student_id, course_id)
);
