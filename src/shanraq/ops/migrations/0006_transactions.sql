-- Transactions: one money movement between two accounts, one- or two-phase; the ledger holds its legs.
CREATE TABLE transaction (
    id             text        PRIMARY KEY,
    partner_id     text        NOT NULL,
    environment    text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book           bigint      NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('transfer', 'payment', 'refund', 'p2p')),
    source         text        NOT NULL DEFAULT '',
    debit_account  text        NOT NULL,
    credit_account text        NOT NULL,
    amount         bigint      NOT NULL CHECK (amount > 0),
    currency       text        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('created', 'authorized', 'executed', 'failed', 'rolled_back')),
    failure        text,
    hold_id        uuid,
    transfer_id    uuid,
    reference      text        NOT NULL DEFAULT '',
    description    text        NOT NULL DEFAULT '',
    metadata       jsonb       NOT NULL,
    expires_at     timestamptz,
    version        int         NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    CHECK (debit_account <> credit_account),
    CHECK ((status = 'failed') <= (failure IS NOT NULL)),
    CHECK ((status = 'executed') <= (transfer_id IS NOT NULL)),
    CHECK ((status = 'authorized') <= (hold_id IS NOT NULL))
) WITH (fillfactor = 85);
CREATE INDEX transaction_list ON transaction (partner_id, environment, id DESC);
CREATE INDEX transaction_debit ON transaction (debit_account, id DESC);
CREATE INDEX transaction_credit ON transaction (credit_account, id DESC);
CREATE INDEX transaction_hold ON transaction (hold_id) WHERE hold_id IS NOT NULL;
CREATE INDEX transaction_due ON transaction (expires_at) WHERE status = 'authorized' AND expires_at IS NOT NULL;
CREATE INDEX transaction_source ON transaction (source) WHERE source <> '';
ALTER TABLE transaction ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON transaction USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON transaction TO shanraq_app;
GRANT UPDATE (amount, status, failure, hold_id, transfer_id, version, updated_at) ON transaction TO shanraq_app;
