-- Telling other systems what happened.
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    url text NOT NULL,
    secret_sealed bytea NOT NULL,
    events text[] NOT NULL CHECK (cardinality(events) > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz
);

CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhooks,
    event text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    response text,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempted_at timestamptz
);
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (webhook_id, id DESC);
