-- The account's number in the world outside; unique among the partner's.
ALTER TABLE account ADD COLUMN iban text;
CREATE UNIQUE INDEX account_iban ON account (partner_id, environment, iban) WHERE iban IS NOT NULL;
GRANT UPDATE (iban) ON account TO shanraq_app;

ALTER TABLE transaction DROP CONSTRAINT transaction_kind_check;
ALTER TABLE transaction ADD CONSTRAINT transaction_kind_check
    CHECK (kind IN ('transfer', 'payment', 'refund', 'p2p', 'credit_transfer', 'credit_return')) NOT VALID;

-- Credit transfers: single instructions of payment files, carried out in the ledger or through a clearing system.
CREATE TABLE credit_transfer (
    id               text        PRIMARY KEY,
    partner_id       text        NOT NULL,
    environment      text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book             bigint      NOT NULL,
    payment_file_id  text        NOT NULL,
    position         int         NOT NULL CHECK (position > 0),
    block            int         NOT NULL CHECK (block > 0),
    block_id         text        NOT NULL,
    instruction_id   text        NOT NULL,
    end_to_end_id    text        NOT NULL,
    uetr             text        NOT NULL,
    amount           bigint      NOT NULL CHECK (amount >= 0),
    currency         text        NOT NULL,
    debtor_account   text,
    creditor_account text,
    execution_date   date        NOT NULL,
    route            text        NOT NULL CHECK (route IN ('', 'book', 'clearing')),
    status           text        NOT NULL CHECK (status IN ('received', 'submitted', 'settled', 'rejected', 'returned')),
    -- what a clearing system last said of it (ACSP, PDNG, ACSC ...)
    clearing_status  text        NOT NULL DEFAULT '',
    reason           text        NOT NULL DEFAULT '',
    reason_text      text        NOT NULL DEFAULT '',
    transaction_id   text,
    amount_returned  bigint      NOT NULL DEFAULT 0,
    return_transaction_id text,
    message_id       text,
    -- parties, accounts and remittance, sealed
    details          bytea       NOT NULL,
    checks           int         NOT NULL DEFAULT 0,
    next_check_at    timestamptz,
    version          int         NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    settled_at       timestamptz,
    UNIQUE (payment_file_id, position),
    CHECK ((status = 'submitted') = (next_check_at IS NOT NULL)),
    CHECK (status <> 'rejected' OR reason <> ''),
    CHECK (amount_returned BETWEEN 0 AND amount),
    CHECK ((status = 'returned') = (amount_returned > 0)),
    CHECK (status IN ('rejected', 'received') OR (transaction_id IS NOT NULL AND amount > 0))
) WITH (fillfactor = 80);
CREATE INDEX credit_transfer_list ON credit_transfer (partner_id, environment, id DESC);
CREATE INDEX credit_transfer_uetr ON credit_transfer (uetr);
CREATE INDEX credit_transfer_end_to_end ON credit_transfer (partner_id, environment, end_to_end_id);
CREATE INDEX credit_transfer_transaction ON credit_transfer (transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX credit_transfer_message ON credit_transfer (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX credit_transfer_due ON credit_transfer (execution_date, payment_file_id, position) WHERE status = 'received';
CREATE INDEX credit_transfer_check ON credit_transfer (next_check_at) WHERE next_check_at IS NOT NULL;
ALTER TABLE credit_transfer ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON credit_transfer USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON credit_transfer TO shanraq_app;
GRANT UPDATE (debtor_account, creditor_account, route, status, clearing_status, reason, reason_text, transaction_id,
              amount_returned, return_transaction_id, message_id, checks, next_check_at, version, updated_at, settled_at) ON credit_transfer
    TO shanraq_app;

-- End-to-end ids and UETRs in use: one payment each. A rejected payment gives them back.
CREATE TABLE credit_transfer_claim (
    partner_id         text        NOT NULL,
    environment        text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    kind               text        NOT NULL CHECK (kind IN ('end_to_end_id', 'uetr')),
    value              text        NOT NULL,
    credit_transfer_id text        NOT NULL,
    claimed_at         timestamptz NOT NULL,
    PRIMARY KEY (partner_id, environment, kind, value)
);
CREATE INDEX credit_transfer_claim_age ON credit_transfer_claim (claimed_at);
CREATE INDEX credit_transfer_claim_owner ON credit_transfer_claim (credit_transfer_id);
ALTER TABLE credit_transfer_claim ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON credit_transfer_claim USING (visible(partner_id, environment));
GRANT SELECT, INSERT, DELETE ON credit_transfer_claim TO shanraq_app;

-- What happened to a transfer with a clearing system, message by message: the thread that ties them together.
CREATE TABLE credit_transfer_step (
    id                 bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    credit_transfer_id text        NOT NULL,
    partner_id         text        NOT NULL,
    environment        text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    message_id         text        NOT NULL,
    definition         text        NOT NULL,
    status             text        NOT NULL,
    reason             text        NOT NULL,
    at                 timestamptz NOT NULL
);
CREATE INDEX credit_transfer_step_of ON credit_transfer_step (credit_transfer_id, id);
ALTER TABLE credit_transfer_step ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON credit_transfer_step USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON credit_transfer_step TO shanraq_app;

-- Recalls: a settled or submitted transfer is asked back (camt.056) and the answer (camt.029).
CREATE TABLE recall (
    id                 text        PRIMARY KEY,
    credit_transfer_id text        NOT NULL REFERENCES credit_transfer (id),
    partner_id         text        NOT NULL,
    environment        text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book               bigint      NOT NULL,
    reason             text        NOT NULL,
    reason_text        text        NOT NULL,
    status             text        NOT NULL CHECK (status IN ('requested', 'pending', 'accepted', 'rejected')),
    answer_reason      text        NOT NULL DEFAULT '',
    message_id         text        NOT NULL,
    version            int         NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL
);
CREATE UNIQUE INDEX recall_open ON recall (credit_transfer_id) WHERE status IN ('requested', 'pending');
CREATE INDEX recall_of ON recall (credit_transfer_id, id);
ALTER TABLE recall ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON recall USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON recall TO shanraq_app;
GRANT UPDATE (status, answer_reason, version, updated_at) ON recall TO shanraq_app;
