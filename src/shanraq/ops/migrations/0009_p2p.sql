-- P2P transfers: customer to customer.
CREATE TABLE p2p_transfer (
    id                text        PRIMARY KEY,
    partner_id        text        NOT NULL,
    environment       text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    sender_account    text        NOT NULL REFERENCES account (id),
    recipient_account text        NOT NULL REFERENCES account (id),
    amount            bigint      NOT NULL CHECK (amount > 0),
    currency          text        NOT NULL,
    status            text        NOT NULL CHECK (status IN ('initiated', 'completed', 'failed', 'rolled_back')),
    failure           text,
    transaction_id    text        NOT NULL REFERENCES transaction (id),
    note              text        NOT NULL DEFAULT '',
    reference         text        NOT NULL DEFAULT '',
    metadata          jsonb       NOT NULL,
    version           int         NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK (sender_account <> recipient_account),
    CHECK ((status = 'failed') = (failure IS NOT NULL))
);
CREATE INDEX p2p_transfer_list ON p2p_transfer (partner_id, environment, id DESC);
CREATE INDEX p2p_transfer_sender ON p2p_transfer (sender_account, id DESC);
CREATE INDEX p2p_transfer_recipient ON p2p_transfer (recipient_account, id DESC);
ALTER TABLE p2p_transfer ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON p2p_transfer USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON p2p_transfer TO shanraq_app;
GRANT UPDATE (status, failure, version, updated_at) ON p2p_transfer TO shanraq_app;
