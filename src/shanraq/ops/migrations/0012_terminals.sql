-- The issuer's approval code of an operation: receipts show it, and terminals get it as DE38.
ALTER TABLE payment_operation ADD COLUMN approval_code text NOT NULL DEFAULT '';
GRANT UPDATE (approval_code) ON payment_operation TO shanraq_app;

-- Terminals that speak ISO 8583 to us: whose they are, and which account their payments go to.
CREATE TABLE terminal (
    id          text        PRIMARY KEY,
    partner_id  text        NOT NULL,
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    terminal    text        NOT NULL CHECK (terminal <> ''),
    acceptor    text        NOT NULL CHECK (acceptor <> ''),
    account_id  text        NOT NULL REFERENCES account (id),
    name        text        NOT NULL,
    mac_key     text        NOT NULL DEFAULT '',
    status      text        NOT NULL CHECK (status IN ('active', 'disabled')),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE UNIQUE INDEX terminal_identity ON terminal (environment, terminal, acceptor);
CREATE INDEX terminal_list ON terminal (partner_id, environment, id DESC);
ALTER TABLE terminal ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON terminal USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON terminal TO shanraq_app;
GRANT UPDATE (status, mac_key, account_id, name, updated_at) ON terminal TO shanraq_app;

-- What terminals asked, once for each key (type, trace number, local time): so that a repeat gets the same answer, an original is
-- found by what names it, and a reversal is carried out, also one that came before what it reverses. No card data.
CREATE TABLE terminal_message (
    terminal_id   text        NOT NULL REFERENCES terminal (id),
    key           text        NOT NULL,
    -- what original data elements of another message call it by
    name          text        NOT NULL,
    partner_id    text        NOT NULL,
    environment   text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    kind          text        NOT NULL CHECK (kind IN ('authorize', 'sale', 'capture', 'refund', 'reversal')),
    rrn           text        NOT NULL,
    amount        bigint,
    currency      text,
    payment_id    text,
    original      text,
    -- open: no answer was decided yet. accepted: a reversal that was acknowledged and is still to be carried out.
    status        text        NOT NULL CHECK (status IN ('open', 'accepted', 'answered')),
    response_code text        NOT NULL DEFAULT '',
    approval_code text        NOT NULL DEFAULT '',
    approved      bigint,
    attempts      int         NOT NULL DEFAULT 0,
    next_at       timestamptz,
    received_at   timestamptz NOT NULL,
    answered_at   timestamptz,
    PRIMARY KEY (terminal_id, key),
    CHECK ((status = 'accepted') = (next_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX terminal_message_rrn ON terminal_message (terminal_id, rrn, received_at DESC);
CREATE INDEX terminal_message_name ON terminal_message (terminal_id, name);
CREATE INDEX terminal_message_original ON terminal_message (terminal_id, original) WHERE original IS NOT NULL;
CREATE INDEX terminal_message_accepted ON terminal_message (next_at) WHERE status = 'accepted';
ALTER TABLE terminal_message ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON terminal_message USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON terminal_message TO shanraq_app;
GRANT UPDATE (payment_id, original, status, response_code, approval_code, approved, attempts, next_at, answered_at) ON terminal_message
    TO shanraq_app;
