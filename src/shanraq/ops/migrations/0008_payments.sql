-- Payment methods: the card vault. The number is sealed (AES-256-GCM), found by a keyed hash; a security code is never here.
CREATE TABLE payment_method (
    id           text        PRIMARY KEY,
    partner_id   text        NOT NULL,
    environment  text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    customer_id  text,
    brand        text        NOT NULL,
    masked       text        NOT NULL,
    expiry_month smallint    NOT NULL CHECK (expiry_month BETWEEN 1 AND 12),
    expiry_year  smallint    NOT NULL,
    fingerprint  bytea       NOT NULL CHECK (length(fingerprint) = 32),
    pan_sealed   bytea,
    status       text        NOT NULL CHECK (status IN ('active', 'deleted')),
    metadata     jsonb       NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CHECK ((status = 'active') = (pan_sealed IS NOT NULL))
);
CREATE INDEX payment_method_list ON payment_method (partner_id, environment, id DESC);
CREATE INDEX payment_method_fingerprint ON payment_method (partner_id, environment, fingerprint);
ALTER TABLE payment_method ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_method USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON payment_method TO shanraq_app;
GRANT UPDATE (pan_sealed, status, updated_at) ON payment_method TO shanraq_app;

-- Payments: money from a payment system to an account.
CREATE TABLE payment (
    id                text        PRIMARY KEY,
    partner_id        text        NOT NULL,
    environment       text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter           text        NOT NULL,
    payment_method_id text        NOT NULL REFERENCES payment_method (id),
    account_id        text        NOT NULL REFERENCES account (id),
    amount            bigint      NOT NULL CHECK (amount > 0),
    currency          text        NOT NULL,
    status            text        NOT NULL,
    amount_authorized bigint      NOT NULL DEFAULT 0,
    amount_captured   bigint      NOT NULL DEFAULT 0,
    amount_refunded   bigint      NOT NULL DEFAULT 0,
    failure           jsonb,
    gateway_id        text        NOT NULL DEFAULT '',
    hold_transaction  text,
    reference         text        NOT NULL DEFAULT '',
    description       text        NOT NULL DEFAULT '',
    metadata          jsonb       NOT NULL,
    version           int         NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK (amount_authorized BETWEEN 0 AND amount),
    CHECK (amount_captured BETWEEN 0 AND amount_authorized),
    CHECK (amount_refunded BETWEEN 0 AND amount_captured),
    CHECK ((status = 'failed') = (failure IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX payment_list ON payment (partner_id, environment, id DESC);
ALTER TABLE payment ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON payment TO shanraq_app;
GRANT UPDATE (status, amount_authorized, amount_captured, amount_refunded, failure, gateway_id, hold_transaction, version,
              updated_at) ON payment TO shanraq_app;

-- Operations: what was sent to the gateway, written before it is sent, and what became of it.
CREATE TABLE payment_operation (
    id             text        PRIMARY KEY,
    payment_id     text        NOT NULL REFERENCES payment (id),
    partner_id     text        NOT NULL,
    environment    text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book           bigint      NOT NULL,
    adapter        text        NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('authorize', 'capture', 'refund', 'void', 'reverse')),
    sale           boolean     NOT NULL DEFAULT false,
    final          boolean     NOT NULL DEFAULT true,
    amount         bigint      NOT NULL CHECK (amount > 0),
    currency       text        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('sending', 'unknown', 'review', 'succeeded', 'declined', 'failed')),
    target_id      text,
    gateway_id     text        NOT NULL DEFAULT '',
    failure        jsonb,
    transaction_id text,
    amount_refunded bigint     NOT NULL DEFAULT 0,
    once_operation text,
    once_key       text,
    request_id     text        NOT NULL,
    checks         int         NOT NULL DEFAULT 0,
    taking_back    boolean     NOT NULL DEFAULT false,
    next_check_at  timestamptz,
    sent_at        timestamptz NOT NULL,
    settled_at     timestamptz,
    CHECK (amount_refunded BETWEEN 0 AND amount),
    CHECK ((status IN ('sending', 'unknown')) = (next_check_at IS NOT NULL)),
    CHECK ((status IN ('sending', 'unknown')) = (settled_at IS NULL))
) WITH (fillfactor = 80);
-- One operation of a payment is under way at a time: this is what keeps two captures, or a capture and a void, apart.
CREATE UNIQUE INDEX payment_operation_under_way ON payment_operation (payment_id) WHERE status IN ('sending', 'unknown');
CREATE INDEX payment_operation_payment ON payment_operation (payment_id, id);
CREATE INDEX payment_operation_due ON payment_operation (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX payment_operation_key ON payment_operation (partner_id, environment, once_operation, once_key);
ALTER TABLE payment_operation ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_operation USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON payment_operation TO shanraq_app;
GRANT UPDATE (status, gateway_id, failure, transaction_id, amount_refunded, checks, taking_back, next_check_at, settled_at)
    ON payment_operation TO shanraq_app;
