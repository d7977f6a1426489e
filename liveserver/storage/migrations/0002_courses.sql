CREATE TABLE courses (
    id uuid PRIMARY KEY,
    org_id uuid,
    instructor_id uuid NOT NULL REFERENCES users,
    title text NOT NULL CHECK (title <> ''),
    description text NOT NULL,
    price integer NOT NULL CHECK (price >= 0),
    currency char(3) NOT NULL,
    status text NOT NULL CHECK (status IN ('draft', 'pending', 'approved', 'rejected')),
    language text NOT NULL CHECK (language IN ('en', 'ar')),
    rejection_reason text,
    version integer NOT NULL DEFAULT 1,
    submitted_at timestamptz,
    approved_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX courses_catalogue ON courses (id DESC) WHERE status = 'approved' AND deleted_at IS NULL;
CREATE INDEX courses_instructor ON courses (instructor_id, id DESC);
CREATE INDEX courses_review ON courses (submitted_at) WHERE status = 'pending' AND deleted_at IS NULL;

CREATE TABLE co_instructors (
    course_id uuid NOT NULL REFERENCES courses,
    user_id uuid NOT NULL REFERENCES users,
    PRIMARY KEY (course_id, user_id)
);
CREATE INDEX co_instructors_user ON co_instructors (user_id);

CREATE TABLE sections (
    id uuid PRIMARY KEY,
    course_id uuid NOT NULL REFERENCES courses,
    title text NOT NULL CHECK (title <> ''),
    position integer NOT NULL CHECK (position > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX sections_order ON sections (course_id, position) WHERE deleted_at IS NULL;

CREATE TABLE lessons (
    id uuid PRIMARY KEY,
    section_id uuid NOT NULL REFERENCES sections,
    type text NOT NULL CHECK (type IN ('video', 'file', 'live')),
    title text NOT NULL CHECK (title <> ''),
    content_url text,
    duration integer CHECK (duration >= 0),
    position integer NOT NULL CHECK (position > 0),
    preview boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX lessons_order ON lessons (section_id, position) WHERE deleted_at IS NULL;

CREATE TABLE enrollments (
    id uuid PRIMARY KEY,
    student_id uuid NOT NULL REFERENCES users,
    course_id uuid NOT NULL REFERENCES courses,
    progress integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    created_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    UNIQUE (student_id, course_id)
);
CREATE INDEX enrollments_course ON enrollments (course_id);
