-- Routing: which payment system takes a new payment. Rules are the platform's own: nobody's partner data, read by every payment,
-- changed by operators alone.
CREATE TABLE routing_rule (
    id         text        PRIMARY KEY,
    version    int         NOT NULL CHECK (version > 0),
    position   int         NOT NULL CHECK (position >= 0),
    name       text        NOT NULL,
    active     boolean     NOT NULL,
    conditions jsonb       NOT NULL,
    action     jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
ALTER TABLE routing_rule ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON routing_rule FOR SELECT USING (true);
CREATE POLICY changed ON routing_rule USING (current_setting('shanraq.partner_id', true) = '*');
GRANT SELECT, INSERT, DELETE ON routing_rule TO shanraq_app;
GRANT UPDATE (version, position, name, active, conditions, action, updated_at) ON routing_rule TO shanraq_app;

-- Every version there ever was, so that the rule a payment names can be read as it was; a deleted rule ends with deleted = true.
CREATE TABLE routing_rule_version (
    id         text        NOT NULL,
    version    int         NOT NULL,
    position   int         NOT NULL,
    name       text        NOT NULL,
    active     boolean     NOT NULL,
    conditions jsonb       NOT NULL,
    action     jsonb       NOT NULL,
    deleted    boolean     NOT NULL,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (id, version)
);
ALTER TABLE routing_rule_version ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON routing_rule_version USING (current_setting('shanraq.partner_id', true) = '*');
GRANT SELECT, INSERT ON routing_rule_version TO shanraq_app;

-- What a payment system costs: basis points of the amount and minor units a payment. Scheme '*' is any other.
CREATE TABLE routing_cost (
    adapter      text   NOT NULL,
    scheme       text   NOT NULL,
    currency     text   NOT NULL,
    basis_points int    NOT NULL CHECK (basis_points BETWEEN 0 AND 10000),
    fixed        bigint NOT NULL CHECK (fixed >= 0),
    PRIMARY KEY (adapter, scheme, currency)
);
ALTER TABLE routing_cost ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON routing_cost FOR SELECT USING (true);
CREATE POLICY changed ON routing_cost USING (current_setting('shanraq.partner_id', true) = '*');
GRANT SELECT, INSERT, DELETE ON routing_cost TO shanraq_app;

-- What became of attempts, for the success rates that routing goes by: no partner, no payment, no card.
CREATE TABLE routing_outcome (
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter     text        NOT NULL,
    scheme      text        NOT NULL,
    outcome     text        NOT NULL CHECK (outcome IN ('approved', 'declined', 'failed')),
    at          timestamptz NOT NULL
);
CREATE INDEX routing_outcome_latest ON routing_outcome (environment, scheme, adapter, at DESC) INCLUDE (outcome);
CREATE INDEX routing_outcome_age ON routing_outcome USING brin (at);
ALTER TABLE routing_outcome ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON routing_outcome USING (true);
GRANT SELECT, INSERT, DELETE ON routing_outcome TO shanraq_app;

-- How a payment was routed: the rule, the payment systems in the order of attempts, and why. The adapter follows the attempts.
ALTER TABLE payment ADD COLUMN routing jsonb;
GRANT UPDATE (adapter) ON payment TO shanraq_app;

-- A payment has one authorisation that is open, under review or approved, whatever else goes wrong: never two.
CREATE UNIQUE INDEX payment_operation_one_authorization ON payment_operation (payment_id)
    WHERE kind = 'authorize' AND status IN ('sending', 'unknown', 'review', 'succeeded');

-- Declines of cards by keyed hash, for the retry limits of the schemes. `final` is a scheme's "never again", `retry_at` its "not
-- before".
CREATE TABLE card_decline (
    operation_id text        PRIMARY KEY,
    partner_id   text        NOT NULL,
    environment  text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    fingerprint  bytea       NOT NULL CHECK (length(fingerprint) = 32),
    scheme       text        NOT NULL,
    amount       bigint      NOT NULL,
    currency     text        NOT NULL,
    final        boolean     NOT NULL,
    retry_at     timestamptz,
    declined_at  timestamptz NOT NULL
);
CREATE INDEX card_decline_card ON card_decline (partner_id, environment, fingerprint, declined_at DESC);
CREATE INDEX card_decline_age ON card_decline (declined_at);
ALTER TABLE card_decline ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON card_decline USING (visible(partner_id, environment));
GRANT SELECT, INSERT, DELETE ON card_decline TO shanraq_app;
