CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE live_sessions (
    id uuid PRIMARY KEY,
    course_id uuid NOT NULL REFERENCES courses,
    lesson_id uuid REFERENCES lessons,
    title text NOT NULL CHECK (title <> ''),
    start_time timestamptz NOT NULL,
    timezone text NOT NULL,
    duration integer NOT NULL CHECK (duration > 0),
    extension integer NOT NULL DEFAULT 0 CHECK (extension >= 0),
    max_students integer NOT NULL CHECK (max_students > 0),
    status text NOT NULL CHECK (status IN ('scheduled', 'live', 'ending', 'ended', 'cancelled')),
    cancel_reason text,
    provider text NOT NULL DEFAULT 'builtin' CHECK (provider IN ('builtin', 'link')),
    external_url text,
    started_at timestamptz,
    ended_at timestamptz,
    -- Raised at every start and every rebuild; a ticket, a seat and an interval carry it.
    seat_epoch integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((status = 'ended') = (ended_at IS NOT NULL))
);
CREATE INDEX live_sessions_course ON live_sessions (course_id, start_time);
CREATE INDEX live_sessions_open ON live_sessions (status) WHERE status IN ('scheduled', 'live', 'ending');

CREATE TABLE session_bans (
    session_id uuid NOT NULL REFERENCES live_sessions,
    user_id uuid NOT NULL REFERENCES users,
    banned_by uuid REFERENCES users,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, user_id)
);

-- Its row lock makes one consumer of a session's stream at a time; `final` ends the folding.
CREATE TABLE attendance_cursors (
    session_id uuid PRIMARY KEY REFERENCES live_sessions,
    final boolean NOT NULL DEFAULT false
);

-- Everything the ledger said, for ever: replaying it gives the intervals again.
CREATE TABLE attendance_events (
    session_id uuid NOT NULL REFERENCES live_sessions,
    epoch integer NOT NULL,
    stream_id text NOT NULL,
    event text NOT NULL,
    user_id uuid NOT NULL,
    fence bigint NOT NULL,
    slot integer NOT NULL,
    at timestamptz NOT NULL,
    extra text NOT NULL,
    PRIMARY KEY (session_id, epoch, stream_id)
);

CREATE TABLE attendance_intervals (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES live_sessions,
    user_id uuid NOT NULL REFERENCES users,
    role text NOT NULL CHECK (role IN ('student', 'staff')),
    slot_no integer CHECK (slot_no > 0),
    epoch integer NOT NULL,
    fence bigint NOT NULL,
    joined_at timestamptz NOT NULL,
    left_at timestamptz,
    last_seen_at timestamptz NOT NULL,
    leave_reason text CHECK (
        leave_reason IN ('left', 'dropped', 'expired', 'kicked', 'banned', 'ended', 'server_lost')
    ),
    CHECK (left_at >= joined_at),
    CHECK ((left_at IS NULL) = (leave_reason IS NULL)),
    CHECK ((role = 'student') = (slot_no IS NOT NULL)),
    EXCLUDE USING gist (
        session_id WITH =, user_id WITH =, tstzrange(joined_at, left_at) WITH &&
    )
);
-- The backstop behind the script: even two stores that both say yes cannot seat two in one slot.
CREATE UNIQUE INDEX attendance_one_per_slot ON attendance_intervals (session_id, slot_no) WHERE left_at IS NULL;
CREATE UNIQUE INDEX attendance_one_per_user ON attendance_intervals (session_id, user_id) WHERE left_at IS NULL;
CREATE INDEX attendance_user ON attendance_intervals (user_id, session_id);
