-- The application role owns nothing: row-level security binds it, and append-only tables give it no UPDATE or DELETE.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shanraq_app') THEN
        CREATE ROLE shanraq_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
    END IF;
END $$;
GRANT shanraq_app TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO shanraq_app;

-- Row-level security: a transaction sees the rows of its partner and environment; '*' (workers, operators) sees all.
-- Without the settings nothing is visible.
-- The CASE is for the planner: it takes half of the rows for visible. By the comparisons alone it expects one row of any
-- table, and reads it whole for every row of what it is joined with.
CREATE FUNCTION visible(partner text, env text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN current_setting('shanraq.partner_id', true) IN (partner, '*')
                 AND current_setting('shanraq.environment', true) IN (env, '*') THEN true ELSE false END;

CREATE FUNCTION visible_book(book bigint) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('shanraq.book', true) IN (book::text, '0');

-- Idempotency keys (draft-ietf-httpapi-idempotency-key-header). state: 0 running, 1 answered, 2 refused.
CREATE TABLE idempotency (
    partner_id   text        NOT NULL,
    environment  text        NOT NULL,
    operation    text        NOT NULL,
    key          text        NOT NULL,
    fingerprint  bytea       NOT NULL,
    state        smallint    NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    answer       bytea,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (partner_id, environment, operation, key)
) WITH (fillfactor = 80);
CREATE INDEX idempotency_created_at ON idempotency (created_at);
ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON idempotency USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency TO shanraq_app;

-- Events: written by the verb in its transaction; seq and partner_seq are stamped after commit by the one sequencer.
CREATE TABLE event_outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    event_id    text        PRIMARY KEY,
    partner_id  text        NOT NULL,
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    type        text        NOT NULL,
    version     int         NOT NULL,
    subject     text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    data        bytea       NOT NULL,
    request_id  text        NOT NULL DEFAULT '',
    seq         bigint,
    partner_seq bigint
);
CREATE INDEX event_outbox_unstamped ON event_outbox (id) WHERE seq IS NULL;
CREATE UNIQUE INDEX event_outbox_seq ON event_outbox (seq) WHERE seq IS NOT NULL;
CREATE UNIQUE INDEX event_outbox_partner_seq ON event_outbox (partner_id, environment, partner_seq) WHERE partner_seq IS NOT NULL;
ALTER TABLE event_outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON event_outbox USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON event_outbox TO shanraq_app;
GRANT UPDATE (seq, partner_seq) ON event_outbox TO shanraq_app;
CREATE SEQUENCE event_seq CACHE 1;
GRANT USAGE ON SEQUENCE event_seq TO shanraq_app;

-- The gap-free counter of a partner's feed: a sequence may skip when a batch rolls back, a row may not.
CREATE TABLE partner_stream (
    partner_id  text   NOT NULL,
    environment text   NOT NULL,
    last_seq    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (partner_id, environment)
) WITH (fillfactor = 50);
ALTER TABLE partner_stream ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON partner_stream USING (visible(partner_id, environment));
GRANT SELECT, INSERT, UPDATE ON partner_stream TO shanraq_app;

-- Audit: hash chains ("lanes"), so that transactions side by side do not wait for one chain head.
CREATE TABLE audit_lane (
    lane smallint PRIMARY KEY,
    seq  bigint NOT NULL DEFAULT 0,
    hash bytea  NOT NULL
) WITH (fillfactor = 20);
INSERT INTO audit_lane SELECT n, 0, sha256(('shanraq audit lane ' || n)::bytea) FROM generate_series(0, 31) n;
GRANT SELECT, UPDATE ON audit_lane TO shanraq_app;

CREATE TABLE audit_entry (
    lane        smallint    NOT NULL,
    seq         bigint      NOT NULL,
    at          timestamptz NOT NULL,
    partner_id  text        NOT NULL,
    environment text        NOT NULL,
    actor       text        NOT NULL,
    action      text        NOT NULL,
    subject     text        NOT NULL,
    request_id  text        NOT NULL,
    details     bytea       NOT NULL,
    hash        bytea       NOT NULL,
    PRIMARY KEY (lane, seq)
);
CREATE INDEX audit_entry_subject ON audit_entry (subject, at);
ALTER TABLE audit_entry ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON audit_entry USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON audit_entry TO shanraq_app;

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON audit_entry EXECUTE FUNCTION refuse_change();

-- One item of a hash: its length as 4 bytes big-endian, then its bytes, so that no two rows hash the same text.
CREATE FUNCTION hash_item(item bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN int4send(length(item)) || item;

-- Append entries to one free lane, in order, and return the lane. Called last in a transaction: the lane is its last lock.
CREATE FUNCTION audit_append(
    instant timestamptz, partner text, env text, actor_id text,
    requests text[], actions text[], subjects text[], bodies bytea[]
) RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    head audit_lane;
    link bytea;
    links bytea[] := '{}';
    -- What all entries of the call have in common.
    before bytea := hash_item(convert_to(partner, 'UTF8')) || hash_item(convert_to(env, 'UTF8'))
                    || hash_item(convert_to(actor_id, 'UTF8'));
    moment bytea := int8send((extract(epoch FROM instant) * 1000000)::bigint);
BEGIN
    SELECT * INTO head FROM audit_lane LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        SELECT * INTO head FROM audit_lane WHERE lane = floor(random() * 32)::smallint FOR NO KEY UPDATE;
    END IF;
    link := head.hash;
    FOR i IN 1 .. cardinality(actions) LOOP
        link := sha256(
            link || int2send(head.lane) || int8send(head.seq + i) || moment || before
            || hash_item(convert_to(actions[i], 'UTF8')) || hash_item(convert_to(subjects[i], 'UTF8'))
            || hash_item(convert_to(requests[i], 'UTF8')) || hash_item(bodies[i])
        );
        links := links || link;
    END LOOP;
    INSERT INTO audit_entry (lane, seq, at, partner_id, environment, actor, action, subject, request_id, details, hash)
    SELECT head.lane, head.seq + e.i, instant, partner, env, actor_id, e.action, e.subject, e.request, e.body, e.hash
      FROM unnest(actions, subjects, requests, bodies, links) WITH ORDINALITY e(action, subject, request, body, hash, i);
    UPDATE audit_lane SET seq = head.seq + cardinality(actions), hash = link WHERE lane = head.lane;
    RETURN head.lane;
END $$;
