-- Payment files: a partner's pain.001, from its upload to the last of its transfers.
CREATE TABLE payment_file (
    id            text        PRIMARY KEY,
    partner_id    text        NOT NULL,
    environment   text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book          bigint      NOT NULL,
    name          text        NOT NULL,
    profile       text        NOT NULL,
    -- of the XML, not compressed
    size          bigint      NOT NULL CHECK (size > 0),
    digest        bytea       NOT NULL CHECK (length(digest) = 32),
    pieces        int         NOT NULL CHECK (pieces > 0),
    definition    text        NOT NULL DEFAULT '',
    message_id    text        NOT NULL DEFAULT '',
    -- what the group header says, as written
    message_created_at text   NOT NULL DEFAULT '',
    control_sum   text        NOT NULL DEFAULT '',
    status        text        NOT NULL CHECK (status IN ('received', 'loading', 'processing', 'completed', 'rejected')),
    reason        text        NOT NULL DEFAULT '',
    reason_text   text        NOT NULL DEFAULT '',
    findings      jsonb       NOT NULL DEFAULT '[]',
    -- [block, transaction in the block or 0 for all of it, reason, text], found before loading begins
    rejections    jsonb       NOT NULL DEFAULT '[]',
    -- values that the conversion to the form of transfers left out or changed, by path
    losses        jsonb       NOT NULL DEFAULT '{}',
    transactions  int         NOT NULL DEFAULT 0,
    -- how many are stored as transfers, and where these stood when it was last looked
    loaded        int         NOT NULL DEFAULT 0,
    counts        jsonb       NOT NULL DEFAULT '{}',
    -- when somebody should work at it (again): a worker puts it off for the time of its lease, under a name of its own
    next_at       timestamptz,
    taken_by      text        NOT NULL DEFAULT '',
    version       int         NOT NULL DEFAULT 1,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    completed_at  timestamptz,
    CHECK ((status IN ('received', 'loading', 'processing')) = (next_at IS NOT NULL)),
    CHECK ((status = 'rejected') = (reason <> '')),
    CHECK (status <> 'completed' OR loaded = transactions)
) WITH (fillfactor = 80);
CREATE INDEX payment_file_list ON payment_file (partner_id, environment, id DESC);
CREATE INDEX payment_file_due ON payment_file (next_at) WHERE next_at IS NOT NULL;
-- The same file twice, and a message id twice, are found here; a rejected file may come again.
CREATE UNIQUE INDEX payment_file_digest ON payment_file (partner_id, environment, digest) WHERE status <> 'rejected';
CREATE UNIQUE INDEX payment_file_message ON payment_file (partner_id, environment, message_id)
    WHERE status <> 'rejected' AND message_id <> '';
ALTER TABLE payment_file ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_file USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON payment_file TO shanraq_app;
GRANT UPDATE (definition, message_id, message_created_at, control_sum, status, reason, reason_text, findings, rejections,
              losses, transactions, loaded, counts, next_at, taken_by, version, updated_at, completed_at)
    ON payment_file TO shanraq_app;

-- Its bytes, compressed and sealed piece by piece. They are written while they arrive, before there is a file: pieces of an
-- upload that broke belong to no file and are swept up.
CREATE TABLE payment_file_piece (
    payment_file_id text        NOT NULL,
    partner_id      text        NOT NULL,
    environment     text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    number          int         NOT NULL CHECK (number > 0),
    content         bytea       NOT NULL,
    written_at      timestamptz NOT NULL,
    PRIMARY KEY (payment_file_id, number)
);
CREATE INDEX payment_file_piece_age ON payment_file_piece (written_at);
ALTER TABLE payment_file_piece ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON payment_file_piece USING (visible(partner_id, environment));
GRANT SELECT, INSERT, DELETE ON payment_file_piece TO shanraq_app;
