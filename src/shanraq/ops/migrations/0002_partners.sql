-- Partners: companies that integrate, their API keys and preferences, and the operators who look after them.
-- A partner gets its number when it is approved: ledger books are counted by it.
CREATE SEQUENCE partner_number;
GRANT USAGE ON SEQUENCE partner_number TO shanraq_app;

CREATE TABLE operator (
    id          text        PRIMARY KEY,
    name        text        NOT NULL,
    scopes      text[]      NOT NULL,
    token_hash  bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz
);
ALTER TABLE operator ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON operator USING (current_setting('shanraq.partner_id', true) = '*');
GRANT SELECT, INSERT ON operator TO shanraq_app;
GRANT UPDATE (disabled_at) ON operator TO shanraq_app;

-- claim_hash is the keyed hash of the token that the applicant takes the first API key with.
CREATE TABLE partner (
    id                  text        PRIMARY KEY,
    number              bigint      UNIQUE,
    status              text        NOT NULL
        CHECK (status IN ('applied', 'approved', 'rejected', 'certified', 'live', 'suspended', 'closed')),
    legal_name          text        NOT NULL,
    country             text        NOT NULL,
    registration_number text        NOT NULL,
    contact_email       text        NOT NULL,
    website             text        NOT NULL,
    reason              text        NOT NULL DEFAULT '',
    applied_by          text,
    decided_by          text,
    claim_hash          bytea       NOT NULL,
    claim_expires_at    timestamptz,
    claimed_at          timestamptz,
    applied_at          timestamptz NOT NULL,
    approved_at         timestamptz,
    certified_at        timestamptz,
    live_at             timestamptz,
    updated_at          timestamptz NOT NULL,
    CHECK ((number IS NULL) = (status IN ('applied', 'rejected'))),
    CHECK ((approved_at IS NULL) = (number IS NULL) AND (claim_expires_at IS NULL) = (number IS NULL)),
    CHECK (certified_at IS NOT NULL OR status NOT IN ('certified', 'live')),
    CHECK (live_at IS NOT NULL OR status <> 'live'),
    CONSTRAINT four_eyes CHECK (decided_by <> applied_by)
) WITH (fillfactor = 80);
-- Anybody may apply in anybody's name, so only an approved company is unique.
CREATE UNIQUE INDEX partner_registration ON partner (country, registration_number)
    WHERE status NOT IN ('applied', 'rejected', 'closed');
CREATE INDEX partner_status ON partner (status, id DESC);
ALTER TABLE partner ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON partner USING (current_setting('shanraq.partner_id', true) IN (id, '*'));
GRANT SELECT, INSERT ON partner TO shanraq_app;
GRANT UPDATE (number, status, reason, decided_by, claim_expires_at, claimed_at, approved_at, certified_at, live_at, updated_at)
    ON partner TO shanraq_app;

-- Of a secret only its keyed hash is stored; a signing secret is sealed, as signatures are verified with it.
CREATE TABLE api_key (
    id                    text        PRIMARY KEY,
    partner_id            text        NOT NULL REFERENCES partner,
    environment           text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    name                  text        NOT NULL,
    scopes                text[]      NOT NULL,
    allowed_ips           text[]      NOT NULL,
    secret_hash           bytea       NOT NULL,
    sealed_signing_secret bytea       NOT NULL,
    replaces              text        UNIQUE REFERENCES api_key,
    created_at            timestamptz NOT NULL,
    expires_at            timestamptz,
    revoked_at            timestamptz,
    last_used_at          timestamptz
) WITH (fillfactor = 80);
CREATE INDEX api_key_list ON api_key (partner_id, environment, id DESC);
ALTER TABLE api_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON api_key USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON api_key TO shanraq_app;
GRANT UPDATE (expires_at, revoked_at, last_used_at) ON api_key TO shanraq_app;

-- Nonces of signed requests, kept for as long as their timestamp would be accepted.
CREATE TABLE api_nonce (
    key_id      text        NOT NULL,
    nonce       text        NOT NULL,
    partner_id  text        NOT NULL,
    environment text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (key_id, nonce)
);
CREATE INDEX api_nonce_expires_at ON api_nonce (expires_at);
ALTER TABLE api_nonce ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON api_nonce USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE, DELETE ON api_nonce TO shanraq_app;

CREATE TABLE partner_preferences (
    partner_id               text        NOT NULL REFERENCES partner,
    environment              text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    settlement_currency      text        NOT NULL,
    statement_descriptor     text        NOT NULL,
    webhook_api_version      text        NOT NULL,
    notification_emails      text[]      NOT NULL,
    allow_overdraft_accounts boolean     NOT NULL,
    allowed_ips              text[]      NOT NULL,
    updated_at               timestamptz NOT NULL,
    PRIMARY KEY (partner_id, environment)
);
ALTER TABLE partner_preferences ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON partner_preferences USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE ON partner_preferences TO shanraq_app;

-- A run proves in the sandbox that the integration works. observed: check -> {at, evidence}; one row, so that two observations
-- at once cannot both miss that they were the last two.
CREATE TABLE certification_run (
    id          text        PRIMARY KEY,
    partner_id  text        NOT NULL REFERENCES partner,
    environment text        NOT NULL CHECK (environment = 'sandbox'),
    status      text        NOT NULL CHECK (status IN ('open', 'passed')),
    observed    jsonb       NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL,
    passed_at   timestamptz,
    CHECK ((status = 'passed') = (passed_at IS NOT NULL))
);
CREATE UNIQUE INDEX certification_run_open ON certification_run (partner_id) WHERE status = 'open';
CREATE INDEX certification_run_partner ON certification_run (partner_id, id DESC);
ALTER TABLE certification_run ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON certification_run USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON certification_run TO shanraq_app;
GRANT UPDATE (status, observed, passed_at) ON certification_run TO shanraq_app;
