-- Payment files: a partner's pain.001, from its upload to the last of its transfers.
CREATE TABLE payment_file (
    id            text        PRIMARY KEY,
    partner_id    text        NOT NULL,
    environment   text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book          bigint      NOT NULL,
    name          text        NOT NULL,
    profile       text        NOT NULL,
    size          bigint      NOT NULL,
    digest        bytea       NOT NULL CHECK (length(digest) = 32),
    definition    text        NOT NULL DEFAULT '',
    message_id    text        NOT NULL DEFAULT '',
    status        text        NOT NULL CHECK (status IN ('received', 'loading', 'processing', 'completed', 'rejected')),
    reason        text        NOT NULL DEFAULT '',
    reason_text   text        NOT NULL DEFAULT '',
    findings      jsonb       NOT NULL DEFAULT '[]',
    -- of the file: transactions it holds, and how many of them are stored as transfers
    transactions  int         NOT NULL DEFAULT 0,
    loaded        int         NOT NULL DEFAULT 0,
    control_sum   text        NOT NULL DEFAULT '',
    -- who works at it, until when
    lease_until   timestamptz,
    version       int         NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    completed_at  timestamptz
) WITH (fillfactor = 80);
CREATE INDEX payment_file_list ON payment_file (partner_id, environment, id DESC);
CREATE INDEX payment_file_open ON payment_file (id) WHERE status IN ('received', 'loading', 'processing');
-- The same file twice, and a message id twice, are found here; a rejected file may come again.
CREATE UNIQUE INDEX payment_file_digest ON payment_file (partner_id, environment, digest) WHERE status <> 'rejected';
CREATE UNIQUE INDEX payment_file_message ON payment_file (partner_id, environment, message_id)
    WHERE status <> 'rejected' AND message_id <> '';
ALTER TABLE payment_file ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_file USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON payment_file TO shanraq_app;
GRANT UPDATE (definition, message_id, status, reason, reason_text, findings, transactions, loaded, control_sum, lease_until,
              version, updated_at, completed_at) ON payment_file TO shanraq_app;

-- Its bytes as they came, compressed and sealed piece by piece.
CREATE TABLE payment_file_piece (
    payment_file_id text   NOT NULL REFERENCES payment_file (id),
    partner_id      text   NOT NULL,
    environment     text   NOT NULL CHECK (environment IN ('sandbox', 'live')),
    number          int    NOT NULL,
    content         bytea  NOT NULL,
    PRIMARY KEY (payment_file_id, number)
);
ALTER TABLE payment_file_piece ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_file_piece USING (visible(partner_id, environment));
GRANT SELECT, INSERT, DELETE ON payment_file_piece TO shanraq_app;
