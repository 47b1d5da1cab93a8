-- Webhooks: endpoints, their secrets, and deliveries in lanes. A lane is one endpoint's queue: one worker at a time holds it
-- by a lease with a fencing token, so claim and acknowledge are set-based over many lanes at once.
-- Locks are taken in one order everywhere: endpoint, lane, delivery, result.
CREATE TABLE webhook_endpoint (
    id                text        PRIMARY KEY,
    partner_id        text        NOT NULL,
    environment       text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    url               text        NOT NULL,
    description       text        NOT NULL,
    state             text        NOT NULL CHECK (state IN ('enabled', 'paused', 'disabled', 'deleted')),
    disabled_reason   text        NOT NULL DEFAULT '',
    event_types       text[]      NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 100),
    include_sensitive boolean     NOT NULL,
    header_names      text[]      NOT NULL,
    sealed_headers    bytea,
    metadata          jsonb       NOT NULL,
    timeout_ms        int         NOT NULL CHECK (timeout_ms BETWEEN 1000 AND 30000),
    retry_schedule    int[]       NOT NULL CHECK (cardinality(retry_schedule) BETWEEN 1 AND 20),
    max_in_flight     smallint    NOT NULL DEFAULT 16 CHECK (max_in_flight BETWEEN 1 AND 32),
    version           int         NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK ((state = 'disabled') = (disabled_reason <> ''))
) WITH (fillfactor = 70);
CREATE INDEX webhook_endpoint_list ON webhook_endpoint (partner_id, environment, id DESC) WHERE state <> 'deleted';
ALTER TABLE webhook_endpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_endpoint USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE ON webhook_endpoint TO shanraq_app;

-- A secret signs while not_before <= the second of the attempt < expires_at. The intervals of an endpoint's secrets of one
-- kind leave no gap, and the first begins at the epoch: whatever a worker's clock says, some secret signs.
CREATE TABLE webhook_secret (
    id          text        PRIMARY KEY,
    endpoint_id text        NOT NULL REFERENCES webhook_endpoint,
    partner_id  text        NOT NULL,
    environment text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('hmac', 'ed25519')),
    sealed      bytea       NOT NULL,
    not_before  timestamptz NOT NULL,
    expires_at  timestamptz,
    created_at  timestamptz NOT NULL
);
CREATE INDEX webhook_secret_endpoint ON webhook_secret (endpoint_id);
ALTER TABLE webhook_secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_secret USING (visible(partner_id, environment));
GRANT SELECT, INSERT, DELETE ON webhook_secret TO shanraq_app;
GRANT UPDATE (expires_at) ON webhook_secret TO shanraq_app;

-- due_at NULL: nothing to do. halted: paused, disabled or deleted. gen counts every wake-up: an acknowledge puts the lane to
-- sleep only if gen is still what its claim saw, else a delivery enqueued meanwhile would never be sent.
CREATE TABLE webhook_lane (
    endpoint_id   text        PRIMARY KEY REFERENCES webhook_endpoint,
    partner_id    text        NOT NULL,
    environment   text        NOT NULL,
    halted        boolean     NOT NULL DEFAULT false,
    due_at        timestamptz,
    lease_until   timestamptz NOT NULL DEFAULT 'epoch',
    lease_token   uuid,
    gen           bigint      NOT NULL DEFAULT 0,
    enqueued      bigint      NOT NULL DEFAULT 0,
    failures      int         NOT NULL DEFAULT 0,
    failing_since timestamptz,
    breaker_trips int         NOT NULL DEFAULT 0,
    breaker_until timestamptz,
    CHECK (NOT halted OR due_at IS NULL)
) WITH (fillfactor = 50);
CREATE INDEX webhook_lane_due ON webhook_lane (due_at) WHERE due_at IS NOT NULL;
ALTER TABLE webhook_lane ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_lane USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE ON webhook_lane TO shanraq_app;

-- Live deliveries only: a final one moves to webhook_result. attempts counts those made, step the place in the schedule
-- (a manual resend starts the schedule again and goes on counting attempts).
CREATE TABLE webhook_delivery (
    endpoint_id text        NOT NULL,
    event_seq   bigint      NOT NULL,
    event_id    text        NOT NULL,
    partner_id  text        NOT NULL,
    environment text        NOT NULL,
    attempts    int         NOT NULL DEFAULT 0,
    step        smallint    NOT NULL DEFAULT 0,
    trigger     text        NOT NULL CHECK (trigger IN ('scheduled', 'manual', 'test')),
    due_at      timestamptz NOT NULL,
    first_at    timestamptz,
    PRIMARY KEY (endpoint_id, event_seq)
) WITH (fillfactor = 70);
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, due_at, event_seq);
ALTER TABLE webhook_delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_delivery USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_delivery TO shanraq_app;

CREATE TABLE webhook_result (
    endpoint_id text        NOT NULL,
    event_seq   bigint      NOT NULL,
    event_id    text        NOT NULL,
    partner_id  text        NOT NULL,
    environment text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('succeeded', 'exhausted', 'canceled', 'skipped')),
    attempts    int         NOT NULL,
    first_at    timestamptz,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (endpoint_id, event_seq)
);
ALTER TABLE webhook_result ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_result USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_result TO shanraq_app;

-- The attempt log. Headers and body are stored without secrets and card numbers; a phase that did not happen is NULL.
CREATE TABLE webhook_attempt (
    id               text        NOT NULL,
    endpoint_id      text        NOT NULL,
    event_seq        bigint      NOT NULL,
    event_id         text        NOT NULL,
    partner_id       text        NOT NULL,
    environment      text        NOT NULL,
    number           int         NOT NULL,
    trigger          text        NOT NULL,
    at               timestamptz NOT NULL,
    status_code      smallint,
    error_code       text,
    dns_us           int,
    connect_us       int,
    tls_us           int,
    first_byte_us    int,
    total_us         int         NOT NULL,
    remote_address   text,
    request_headers  bytea       NOT NULL,
    response_headers bytea       NOT NULL,
    response_body    bytea       NOT NULL CHECK (length(response_body) <= 16384),
    truncated        boolean     NOT NULL,
    PRIMARY KEY (endpoint_id, id),
    UNIQUE (endpoint_id, event_seq, number)
);
ALTER TABLE webhook_attempt ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON webhook_attempt USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON webhook_attempt TO shanraq_app;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON webhook_attempt FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON webhook_attempt EXECUTE FUNCTION refuse_change();
