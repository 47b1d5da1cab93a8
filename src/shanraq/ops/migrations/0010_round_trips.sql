-- Locking accounts also says whether one of the transfers of the batch is stored: almost always none is, and then nothing more is
-- read. The accounts come first; a last row without an account means yes. Each statement here sees what is committed when it
-- begins, so the second one sees what was written by whoever held the locks before.
DROP FUNCTION ledger_lock(bigint, uuid[], boolean);
CREATE FUNCTION ledger_lock(own bigint, ids uuid[], alone boolean, transfers uuid[]) RETURNS TABLE (
    id uuid, ledger bigint, flags int, made_at bigint, debits_pending bigint, debits_posted bigint,
    credits_pending bigint, credits_posted bigint, seq bigint, touched_at bigint, place tid
) LANGUAGE plpgsql AS $$
BEGIN
    IF alone OR (SELECT count(*) FROM ledger_account a WHERE a.book = own AND a.id = ANY (ids)) < cardinality(ids) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('ledger book', own));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('ledger book', own));
    END IF;
    RETURN QUERY
    SELECT a.id, a.ledger, a.flags, a."timestamp", a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted,
           a.seq, a.touched_at, a.ctid
      FROM ledger_account a
     WHERE a.book = own AND a.id = ANY (ids)
     ORDER BY a.id
       FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM unnest(transfers) AS wanted (id)
                CROSS JOIN LATERAL (SELECT FROM ledger_transfer t WHERE t.book = own AND t.id = wanted.id LIMIT 1) s)
       OR EXISTS (SELECT FROM unnest(transfers) AS wanted (id)
                   CROSS JOIN LATERAL (SELECT FROM ledger_failed f WHERE f.book = own AND f.id = wanted.id LIMIT 1) s)
    THEN
        RETURN NEXT;
    END IF;
END $$;

-- Transactions are found by the number that their transfers carry.
DROP INDEX transaction_hold;

-- The entries that continue one free lane, in order, to be inserted; the lane is moved on. It is the last lock of a transaction.
DROP FUNCTION audit_append(timestamptz, text, text, text, text[], text[], text[], bytea[]);
CREATE FUNCTION audit_link(
    instant timestamptz, partner text, env text, actor_id text,
    requests text[], actions text[], subjects text[], bodies bytea[]
) RETURNS SETOF audit_entry LANGUAGE plpgsql AS $$
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
    UPDATE audit_lane SET seq = head.seq + cardinality(actions), hash = link WHERE lane = head.lane;
    RETURN QUERY
    SELECT head.lane, head.seq + e.i, instant, partner, env, actor_id, e.action, e.subject, e.request, e.body, e.hash
      FROM unnest(actions, subjects, requests, bodies, links) WITH ORDINALITY e(action, subject, request, body, hash, i);
END $$;
