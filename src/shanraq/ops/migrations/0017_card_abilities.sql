-- What card payments can do beyond authorise, capture, refund and void.
-- A payment of the kind `credit` pays from an account to a card. An increment raises what may be authorised in all.
ALTER TABLE payment
    ADD COLUMN kind                   text        NOT NULL DEFAULT 'charge' CHECK (kind IN ('charge', 'credit')),
    ADD COLUMN amount_incremented     bigint      NOT NULL DEFAULT 0 CHECK (amount_incremented >= 0),
    ADD COLUMN estimated              boolean     NOT NULL DEFAULT false,
    ADD COLUMN stored_credential      jsonb,
    ADD COLUMN authentication_id      text,
    ADD COLUMN liability_shift        boolean     NOT NULL DEFAULT false,
    ADD COLUMN network_transaction_id text        NOT NULL DEFAULT '',
    ADD COLUMN approval_code          text        NOT NULL DEFAULT '',
    ADD COLUMN checks                 jsonb,
    ADD COLUMN risk                   jsonb,
    ADD COLUMN validity_seconds       int         NOT NULL DEFAULT 0,
    ADD COLUMN expires_at             timestamptz,
    ADD COLUMN release_at             timestamptz,
    DROP CONSTRAINT payment_check,
    ADD CONSTRAINT payment_authorized_check CHECK (amount_authorized BETWEEN 0 AND amount + amount_incremented),
    ADD CONSTRAINT payment_kind_amounts_check CHECK (kind = 'charge' OR amount_authorized = 0);
CREATE INDEX payment_release ON payment (release_at) WHERE release_at IS NOT NULL;
CREATE INDEX payment_in_review ON payment (partner_id, environment, id DESC) WHERE status = 'review';
GRANT UPDATE (amount_incremented, network_transaction_id, approval_code, checks, risk, expires_at, release_at)
    ON payment TO shanraq_app;

-- overdue_at: when somebody was told that there is still no outcome. review_check_at: when a review is looked at again.
ALTER TABLE payment_operation
    ADD COLUMN overdue_at      timestamptz,
    ADD COLUMN review_check_at timestamptz,
    DROP CONSTRAINT payment_operation_kind_check,
    ADD CONSTRAINT payment_operation_kind_check
        CHECK (kind IN ('authorize', 'capture', 'refund', 'void', 'reverse', 'increment', 'credit')),
    ADD CONSTRAINT payment_operation_review_check CHECK (review_check_at IS NULL OR status = 'review');
CREATE INDEX payment_operation_review ON payment_operation (review_check_at) WHERE review_check_at IS NOT NULL;
CREATE INDEX payment_operation_review_gateway ON payment_operation (gateway_id) WHERE status = 'review';
GRANT UPDATE (overdue_at, review_check_at) ON payment_operation TO shanraq_app;

-- Authentications of cardholders (EMV 3-D Secure). The authentication value (CAVV, AAV) is sealed, and destroyed when it is
-- used: it may not be kept after authorisation. payment_id is the id that the payment will have.
CREATE TABLE payment_authentication (
    id                text        PRIMARY KEY,
    partner_id        text        NOT NULL,
    environment       text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter           text        NOT NULL,
    payment_id        text        NOT NULL UNIQUE,
    payment_method_id text        NOT NULL REFERENCES payment_method (id),
    fingerprint       bytea       NOT NULL,
    amount            bigint      NOT NULL CHECK (amount > 0),
    currency          text        NOT NULL,
    status            text        NOT NULL
                      CHECK (status IN ('started', 'challenge', 'authenticated', 'not_authenticated', 'used')),
    form              jsonb,
    session_sealed    bytea,
    return_url        text        NOT NULL DEFAULT '',
    transaction_id    text        NOT NULL DEFAULT '',
    result            jsonb,
    value_sealed      bytea,
    failure           jsonb,
    version           int         NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK (value_sealed IS NULL OR status = 'authenticated')
);
CREATE INDEX payment_authentication_sealed ON payment_authentication (updated_at)
    WHERE value_sealed IS NOT NULL OR session_sealed IS NOT NULL;
ALTER TABLE payment_authentication ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_authentication USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON payment_authentication TO shanraq_app;
GRANT UPDATE (status, form, session_sealed, return_url, transaction_id, result, value_sealed, failure, version,
              updated_at) ON payment_authentication TO shanraq_app;

-- Verifications of cards: what the issuer said of a card without money.
CREATE TABLE payment_method_verification (
    id                     text        PRIMARY KEY,
    partner_id             text        NOT NULL,
    environment            text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter                text        NOT NULL,
    payment_method_id      text        NOT NULL REFERENCES payment_method (id),
    currency               text        NOT NULL,
    status                 text        NOT NULL CHECK (status IN ('approved', 'declined', 'failed', 'unknown')),
    checks                 jsonb,
    failure                jsonb,
    gateway_id             text        NOT NULL DEFAULT '',
    network_transaction_id text        NOT NULL DEFAULT '',
    created_at             timestamptz NOT NULL
);
CREATE INDEX payment_method_verification_list ON payment_method_verification (payment_method_id, id DESC);
ALTER TABLE payment_method_verification ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_method_verification USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON payment_method_verification TO shanraq_app;

-- Notifications of gateways: hints to look again, kept so that a duplicate is known and a dispute can name them.
CREATE TABLE gateway_notice (
    adapter       text        NOT NULL,
    environment   text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    notice_id     text        NOT NULL,
    kind          text        NOT NULL,
    payment_ids   text[]      NOT NULL,
    gateway_ids   text[]      NOT NULL,
    woken         int         NOT NULL,
    received_at   timestamptz NOT NULL,
    PRIMARY KEY (adapter, environment, notice_id)
);
CREATE INDEX gateway_notice_age ON gateway_notice USING brin (received_at);
ALTER TABLE gateway_notice ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON gateway_notice USING (visible('*', '*'));
GRANT SELECT, INSERT ON gateway_notice TO shanraq_app;
GRANT UPDATE (woken) ON gateway_notice TO shanraq_app;
