-- Accounts: a customer's or the partner's money in one currency. Balances live in the ledger, under the number of the id.
CREATE TABLE account (
    id             text        PRIMARY KEY,
    partner_id     text        NOT NULL,
    environment    text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    kind           text        NOT NULL CHECK (kind IN ('customer', 'partner', 'system')),
    customer_id    text,
    currency       text        NOT NULL,
    name           text        NOT NULL,
    reference      text,
    status         text        NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
    allow_negative boolean     NOT NULL,
    metadata       jsonb       NOT NULL,
    version        int         NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CHECK ((kind = 'customer') = (customer_id IS NOT NULL)),
    UNIQUE (partner_id, environment, reference)
);
CREATE INDEX account_list ON account (partner_id, environment, id DESC) WHERE kind <> 'system';
CREATE INDEX account_customer ON account (customer_id) WHERE customer_id IS NOT NULL;
ALTER TABLE account ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON account USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON account TO shanraq_app;
GRANT UPDATE (name, reference, status, metadata, version, updated_at) ON account TO shanraq_app;
