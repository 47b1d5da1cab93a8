-- ISO 20022 messages that came in or went out, as they are on the wire: sealed, found by their identifiers. A partner's own, or,
-- with an empty partner, the platform's with a clearing system.
CREATE TABLE iso_message (
    id          text        PRIMARY KEY,
    partner_id  text        NOT NULL,
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book        bigint      NOT NULL,
    direction   text        NOT NULL CHECK (direction IN ('in', 'out')),
    -- with whom: a partner, or a clearing system
    party       text        NOT NULL CHECK (party IN ('partner', 'clearing')),
    definition  text        NOT NULL,
    message_id  text        NOT NULL,
    business_id text        NOT NULL,
    sender      text        NOT NULL,
    receiver    text        NOT NULL,
    -- the message this one answers or belongs to
    related_id  text,
    -- kept: there is nothing to do. queued -> sent | refused | given_up. received -> applied | failed.
    status      text        NOT NULL CHECK (status IN ('kept', 'queued', 'sent', 'refused', 'given_up', 'received', 'applied', 'failed')),
    failure     text        NOT NULL DEFAULT '',
    content     bytea       NOT NULL,
    size        int         NOT NULL,
    digest      bytea       NOT NULL CHECK (length(digest) = 32),
    attempts    int         NOT NULL DEFAULT 0,
    next_at     timestamptz,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CHECK ((status IN ('queued', 'received')) = (next_at IS NOT NULL))
) WITH (fillfactor = 80);
-- A message of a clearing system comes in once, and goes out once.
CREATE UNIQUE INDEX iso_message_business ON iso_message (environment, direction, sender, business_id) WHERE party = 'clearing';
CREATE INDEX iso_message_list ON iso_message (partner_id, environment, id DESC);
CREATE INDEX iso_message_name ON iso_message (partner_id, environment, message_id);
CREATE INDEX iso_message_related ON iso_message (related_id) WHERE related_id IS NOT NULL;
CREATE INDEX iso_message_due ON iso_message (next_at) WHERE next_at IS NOT NULL;
ALTER TABLE iso_message ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON iso_message USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON iso_message TO shanraq_app;
GRANT UPDATE (status, failure, attempts, next_at, updated_at) ON iso_message TO shanraq_app;

-- How far the mailbox of a clearing system was read.
CREATE TABLE clearing_mailbox (
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    clearing    text        NOT NULL,
    cursor      text        NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (environment, clearing)
);
GRANT SELECT, INSERT, UPDATE ON clearing_mailbox TO shanraq_app;
