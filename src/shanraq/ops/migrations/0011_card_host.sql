-- What is sent to card hosts over ISO 8583, written before it is sent, and what became of it. A row belongs to a link, not to a
-- partner: only the system sees it. Card numbers are in sealed requests only, for as long as a payment can be followed up.
CREATE SEQUENCE host_trace;
GRANT USAGE ON SEQUENCE host_trace TO shanraq_app;

CREATE TABLE host_exchange (
    operation_id    text        PRIMARY KEY,
    link            text        NOT NULL,
    reference       text        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('authorize', 'capture', 'refund', 'void', 'reverse')),
    sale            boolean     NOT NULL,
    final           boolean     NOT NULL,
    amount          bigint      NOT NULL CHECK (amount > 0),
    currency        text        NOT NULL,
    rrn             text        NOT NULL,
    gateway_id      text        NOT NULL,
    target_id       text        REFERENCES host_exchange (operation_id),
    request_sealed  bytea,
    -- sending: may have left. lost: no usable answer, taken care of by the queue. absent, not_sent: nothing of it stands.
    status          text        NOT NULL CHECK (status IN ('sending', 'answered', 'lost', 'reversed', 'absent', 'not_sent')),
    response_code   text        NOT NULL DEFAULT '',
    approval_code   text        NOT NULL DEFAULT '',
    approved_amount bigint      NOT NULL DEFAULT 0,
    late_code       text        NOT NULL DEFAULT '',
    deadline_at     timestamptz NOT NULL,
    sent_at         timestamptz NOT NULL,
    settled_at      timestamptz
);
CREATE UNIQUE INDEX host_exchange_gateway ON host_exchange (link, gateway_id);
CREATE INDEX host_exchange_target ON host_exchange (target_id) WHERE target_id IS NOT NULL;
CREATE INDEX host_exchange_sending ON host_exchange (link, deadline_at) WHERE status = 'sending';
CREATE INDEX host_exchange_kept ON host_exchange (sent_at) WHERE request_sealed IS NOT NULL;
ALTER TABLE host_exchange ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON host_exchange USING (visible('*', '*'));
GRANT SELECT, INSERT ON host_exchange TO shanraq_app;
GRANT UPDATE (rrn, gateway_id, request_sealed, status, response_code, approval_code, approved_amount, late_code, deadline_at,
              sent_at, settled_at) ON host_exchange TO shanraq_app;

-- Store and forward: reversals and repeats that must reach the host, first in, first out, one under way a link.
CREATE TABLE host_forward (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    link           text        NOT NULL,
    operation_id   text        NOT NULL REFERENCES host_exchange (operation_id),
    kind           text        NOT NULL CHECK (kind IN ('reversal', 'repeat', 'release')),
    message_sealed bytea,
    attempts       int         NOT NULL DEFAULT 0,
    status         text        NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'answered', 'superseded', 'given_up')),
    response_code  text        NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL,
    next_at        timestamptz NOT NULL,
    ended_at       timestamptz,
    UNIQUE (operation_id, kind),
    CHECK ((status IN ('answered', 'superseded')) = (message_sealed IS NULL)),
    CHECK ((status = 'waiting') = (ended_at IS NULL))
);
CREATE INDEX host_forward_waiting ON host_forward (link, id) WHERE status = 'waiting';
ALTER TABLE host_forward ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON host_forward USING (visible('*', '*'));
GRANT SELECT, INSERT ON host_forward TO shanraq_app;
GRANT UPDATE (message_sealed, attempts, status, response_code, next_at, ended_at) ON host_forward TO shanraq_app;
