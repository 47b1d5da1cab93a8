-- Settlement: what payment systems paid out, line by line, matched with operations and the ledger.
-- A line belongs to no partner until its operation is found; rows without one are seen by the system and operators only.

-- One day of one payment system: how often its report was asked for, and what it was when it was read last.
CREATE TABLE settlement_day (
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter     text        NOT NULL,
    day         date        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('waiting', 'partial', 'complete', 'closed')),
    source      text        NOT NULL DEFAULT '',
    -- SHA-256 of all lines, in the order of their ids
    digest      bytea,
    revision    int         NOT NULL DEFAULT 0,
    lines       int         NOT NULL DEFAULT 0,
    failures    int         NOT NULL DEFAULT 0,
    problem     text        NOT NULL DEFAULT '',
    next_at     timestamptz,
    fetched_at  timestamptz,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (environment, adapter, day),
    CHECK ((status = 'closed') = (next_at IS NULL)),
    CHECK ((revision > 0) = (digest IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX settlement_day_due ON settlement_day (next_at) WHERE next_at IS NOT NULL;
ALTER TABLE settlement_day ENABLE ROW LEVEL SECURITY;
CREATE POLICY staff ON settlement_day USING (visible('*', environment));
GRANT SELECT, INSERT ON settlement_day TO shanraq_app;
GRANT UPDATE (status, source, digest, revision, lines, failures, problem, next_at, fetched_at) ON settlement_day
    TO shanraq_app;

-- How far days were written down, disputes read, and operations looked at that should have been settled.
CREATE TABLE settlement_source (
    environment      text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter          text        NOT NULL,
    days_until       date        NOT NULL,
    swept_until      timestamptz NOT NULL,
    disputes_until   date        NOT NULL,
    disputes_next_at timestamptz NOT NULL,
    failures         int         NOT NULL DEFAULT 0,
    problem          text        NOT NULL DEFAULT '',
    PRIMARY KEY (environment, adapter)
) WITH (fillfactor = 80);
ALTER TABLE settlement_source ENABLE ROW LEVEL SECURITY;
CREATE POLICY staff ON settlement_source USING (visible('*', environment));
GRANT SELECT, INSERT ON settlement_source TO shanraq_app;
GRANT UPDATE (days_until, swept_until, disputes_until, disputes_next_at, failures, problem) ON settlement_source TO shanraq_app;

-- The lines as they were told, never changed; beside them what was made of them. The id derives from the gateway's, so the same
-- line is one row however often it comes. Amounts are minor units.
CREATE TABLE settlement_line (
    id                text        PRIMARY KEY,
    environment       text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter           text        NOT NULL,
    day               date        NOT NULL,
    line_id           text        NOT NULL,
    kind              text        NOT NULL
        CHECK (kind IN ('capture', 'refund', 'credit', 'chargeback', 'representment', 'fee')),
    batch_id          text        NOT NULL,
    settled_on        date        NOT NULL,
    reference         text        NOT NULL,
    gateway_id        text        NOT NULL,
    told_operation_id text        NOT NULL,
    reconciliation_id text        NOT NULL,
    amount            bigint      NOT NULL,
    currency          text        NOT NULL,
    interchange       bigint      NOT NULL,
    scheme_fee        bigint      NOT NULL,
    processing_fee    bigint      NOT NULL,
    net               bigint      NOT NULL,
    -- why the line contradicts itself, empty if it does not
    flaw              text        NOT NULL DEFAULT '',
    digest            bytea       NOT NULL CHECK (length(digest) = 32),
    state             text        NOT NULL CHECK (state IN ('new', 'assigned', 'matched', 'missing_here', 'amount_differs',
        'currency_differs', 'duplicate_line', 'status_differs', 'fee_differs', 'net_differs')),
    partner_id        text        NOT NULL DEFAULT '',
    book              bigint      NOT NULL DEFAULT 0,
    payment_id        text,
    operation_id      text,
    -- it is the line that settles its operation
    settles           boolean     NOT NULL DEFAULT false,
    posted_at         timestamptz,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK ((partner_id = '') = (book = 0)),
    CHECK (partner_id <> '' OR (payment_id IS NULL AND operation_id IS NULL AND posted_at IS NULL)),
    CHECK (NOT settles OR operation_id IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX settlement_line_day ON settlement_line (environment, adapter, day, id);
CREATE INDEX settlement_line_new ON settlement_line (environment, adapter, id) WHERE state = 'new';
CREATE INDEX settlement_line_assigned ON settlement_line (partner_id, environment, adapter, id) WHERE state = 'assigned';
CREATE INDEX settlement_line_payment ON settlement_line (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX settlement_line_reconciliation ON settlement_line (environment, adapter, reconciliation_id)
    WHERE reconciliation_id <> '' AND payment_id IS NOT NULL;
-- An operation is settled once.
CREATE UNIQUE INDEX settlement_line_operation ON settlement_line (operation_id) WHERE settles;
ALTER TABLE settlement_line ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON settlement_line USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON settlement_line TO shanraq_app;
GRANT UPDATE (state, partner_id, book, payment_id, operation_id, settles, posted_at, updated_at) ON settlement_line
    TO shanraq_app;

-- What a person has to look at. `subject` is what it is about: it is queued once.
CREATE TABLE settlement_exception (
    id           text        PRIMARY KEY,
    environment  text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter      text        NOT NULL,
    day          date        NOT NULL,
    kind         text        NOT NULL,
    subject      text        NOT NULL,
    partner_id   text        NOT NULL DEFAULT '',
    book         bigint      NOT NULL DEFAULT 0,
    line         text        REFERENCES settlement_line (id),
    payment_id   text,
    operation_id text,
    amount_here  bigint,
    amount_there bigint,
    currency     text        NOT NULL DEFAULT '',
    details      jsonb       NOT NULL,
    status       text        NOT NULL CHECK (status IN ('open', 'proposed', 'resolved', 'cleared')),
    action       text        NOT NULL DEFAULT '' CHECK (action IN ('', 'write_off', 'post', 'link', 'ignore')),
    reason       text        NOT NULL DEFAULT '',
    terms        jsonb       NOT NULL DEFAULT '{}',
    proposed_by  text,
    decided_by   text,
    version      int         NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    UNIQUE (environment, adapter, kind, subject),
    CHECK ((status = 'proposed') = (proposed_by IS NOT NULL AND decided_by IS NULL)),
    CHECK (status <> 'resolved' OR (action <> '' AND reason <> '' AND decided_by IS NOT NULL)),
    CONSTRAINT four_eyes CHECK (action = 'link' OR decided_by <> proposed_by)
) WITH (fillfactor = 80);
CREATE INDEX settlement_exception_list ON settlement_exception (environment, status, id DESC);
CREATE INDEX settlement_exception_day ON settlement_exception (environment, adapter, day);
CREATE INDEX settlement_exception_line ON settlement_exception (line) WHERE line IS NOT NULL;
CREATE INDEX settlement_exception_operation ON settlement_exception (operation_id) WHERE operation_id IS NOT NULL;
ALTER TABLE settlement_exception ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON settlement_exception USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON settlement_exception TO shanraq_app;
GRANT UPDATE (partner_id, book, payment_id, operation_id, status, action, reason, terms, proposed_by, decided_by, version,
              updated_at) ON settlement_exception TO shanraq_app;

-- Of which days partners were told that they are settled, and with how many lines: late ones are told again. `due` asks somebody to
-- look whether there is something to tell: it is set with what might settle the day.
CREATE TABLE settlement_completion (
    environment  text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter      text        NOT NULL,
    day          date        NOT NULL,
    partner_id   text        NOT NULL,
    book         bigint      NOT NULL CHECK (book > 0),
    lines        int         NOT NULL DEFAULT 0 CHECK (lines >= 0),
    due          boolean     NOT NULL,
    completed_at timestamptz,
    PRIMARY KEY (environment, adapter, day, partner_id),
    CHECK ((lines > 0) = (completed_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX settlement_completion_due ON settlement_completion (environment, adapter, day) WHERE due;
ALTER TABLE settlement_completion ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON settlement_completion USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON settlement_completion TO shanraq_app;
GRANT UPDATE (lines, due, completed_at) ON settlement_completion TO shanraq_app;

-- Disputes. `taken` is what was taken from the account of the payment for it; `next_at` is set while that is not what it should be.
CREATE TABLE dispute (
    id          text        PRIMARY KEY,
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    adapter     text        NOT NULL,
    -- the gateway's id; `line/...` while only a line of a report told of it
    dispute_id  text        NOT NULL,
    partner_id  text        NOT NULL CHECK (partner_id <> ''),
    book        bigint      NOT NULL CHECK (book > 0),
    payment_id  text        NOT NULL REFERENCES payment (id),
    account_id  text        NOT NULL REFERENCES account (id),
    stage       text        NOT NULL
        CHECK (stage IN ('alert', 'chargeback', 'pre_arbitration', 'arbitration', 'won', 'lost')),
    response    text        NOT NULL CHECK (response IN ('none', 'accepted', 'represented')),
    amount      bigint      NOT NULL CHECK (amount > 0),
    currency    text        NOT NULL,
    taken       bigint      NOT NULL DEFAULT 0 CHECK (taken >= 0),
    moves       int         NOT NULL DEFAULT 0,
    reason_code text        NOT NULL,
    reason      text        NOT NULL,
    opened_at   timestamptz NOT NULL,
    respond_by  timestamptz,
    evidence    bytea,
    next_at     timestamptz,
    version     int         NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (environment, adapter, dispute_id),
    CHECK (response <> 'represented' OR evidence IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX dispute_list ON dispute (partner_id, environment, id DESC);
CREATE INDEX dispute_payment ON dispute (payment_id);
CREATE INDEX dispute_due ON dispute (next_at) WHERE next_at IS NOT NULL;
ALTER TABLE dispute ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON dispute USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON dispute TO shanraq_app;
GRANT UPDATE (dispute_id, stage, response, amount, taken, moves, reason_code, reason, opened_at, respond_by, evidence, next_at,
              version, updated_at) ON dispute TO shanraq_app;

-- What was told of a dispute, once each. Only an end may come twice: `told_at` is when it was opened there, else the epoch.
CREATE TABLE dispute_step (
    dispute     text        NOT NULL REFERENCES dispute (id),
    partner_id  text        NOT NULL,
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    stage       text        NOT NULL,
    told_at     timestamptz NOT NULL,
    amount      bigint      NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (dispute, stage, told_at)
);
ALTER TABLE dispute_step ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON dispute_step USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON dispute_step TO shanraq_app;

-- Lines name operations by the gateway's id, and operations that should have been settled are looked through by time.
CREATE INDEX payment_operation_gateway ON payment_operation (gateway_id) WHERE gateway_id <> '';
CREATE INDEX payment_operation_settled ON payment_operation (environment, adapter, settled_at)
    WHERE status = 'succeeded' AND (kind IN ('capture', 'refund', 'credit') OR sale);

-- Two more kinds of movements, whatever kinds there are already.
DO $$
DECLARE
    known text := pg_get_constraintdef(oid) FROM pg_constraint
                   WHERE conrelid = 'transaction'::regclass AND conname = 'transaction_kind_check';
    kinds text := array_to_string(ARRAY(SELECT m[1] FROM regexp_matches(known, '''([a-z0-9_]+)''', 'g') m
                                        UNION SELECT 'chargeback' UNION SELECT 'settlement_adjustment'), ''',''');
BEGIN
    ALTER TABLE transaction DROP CONSTRAINT transaction_kind_check;
    EXECUTE format('ALTER TABLE transaction ADD CONSTRAINT transaction_kind_check CHECK (kind IN (''%s'')) NOT VALID', kinds);
END $$;
