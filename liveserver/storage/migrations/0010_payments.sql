-- Money. An order's price is what it was when it was made; the ledger only grows, and revenue is its sum.
-- The version before still serves: tables are locked in the order its inserts lock them, children before parents.
LOCK TABLE enrollments IN ACCESS EXCLUSIVE MODE;

CREATE TABLE coupons (
    id uuid PRIMARY KEY,
    course_id uuid NOT NULL REFERENCES courses,
    code citext NOT NULL,
    percent integer NOT NULL CHECK (percent BETWEEN 1 AND 100),
    max_uses integer CHECK (max_uses > 0),
    uses integer NOT NULL DEFAULT 0,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    UNIQUE (course_id, code),
    CHECK (max_uses IS NULL OR uses <= max_uses)
);

CREATE TABLE orders (
    id uuid PRIMARY KEY,
    student_id uuid NOT NULL REFERENCES users,
    course_id uuid NOT NULL REFERENCES courses,
    amount integer NOT NULL CHECK (amount >= 0),
    currency char(3) NOT NULL,
    coupon_id uuid REFERENCES coupons,
    status text NOT NULL CHECK (status IN ('created', 'paid', 'refunded', 'disputed', 'held', 'failed')),
    provider text NOT NULL,
    provider_ref text,
    payment_ref text,
    checkout_url text,
    idempotency_key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    paid_at timestamptz,
    UNIQUE (provider, provider_ref),
    UNIQUE (student_id, idempotency_key)
);
CREATE INDEX orders_student ON orders (student_id, id DESC);
CREATE INDEX orders_course ON orders (course_id, id DESC);
-- One order at a time is open for a student and a course.
CREATE UNIQUE INDEX orders_open ON orders (student_id, course_id) WHERE status = 'created';

-- What providers told, each once.
CREATE TABLE payment_events (
    provider text NOT NULL,
    event_id text NOT NULL,
    kind text NOT NULL,
    order_id uuid REFERENCES orders,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, event_id)
);

CREATE TABLE ledger_entries (
    id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders,
    kind text NOT NULL CHECK (kind IN ('charge', 'refund')),
    amount integer NOT NULL CHECK (amount > 0),
    currency char(3) NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_entries_order ON ledger_entries (order_id);
CREATE INDEX ledger_entries_at ON ledger_entries (at);

-- Why somebody is no longer enrolled: whose refund it was may buy again, whom the instructor put out may not.
ALTER TABLE enrollments ADD COLUMN removed_by text CHECK (removed_by IN ('instructor', 'refund'));
UPDATE enrollments SET removed_by = 'instructor' WHERE removed_at IS NOT NULL;
