-- Ledger: accounts with their balances, and every change of a balance as one row that is never changed again.
-- A book is the set of accounts of one partner in one environment; ids are unique within it. Amounts are minor units,
-- times nanoseconds since 1970. Unsigned 64-bit user data is stored as the signed number of the same bits.

-- No index but the key and half-empty pages: every change of a balance stays on its page (HOT).
CREATE TABLE ledger_account (
    book            bigint NOT NULL CHECK (book > 0),
    id              uuid   NOT NULL,
    ledger          bigint NOT NULL CHECK (ledger > 0),
    code            int    NOT NULL CHECK (code > 0),
    flags           int    NOT NULL CHECK (flags & ~63 = 0),
    user_data_128   uuid   NOT NULL,
    user_data_64    bigint NOT NULL,
    user_data_32    bigint NOT NULL,
    "timestamp"     bigint NOT NULL,
    debits_pending  bigint NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
    debits_posted   bigint NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
    credits_pending bigint NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
    credits_posted  bigint NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
    seq             bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    touched_at      bigint NOT NULL,
    PRIMARY KEY (book, id),
    -- Debits grow by checked transfers only, a post moves at most what was held, and credits never shrink: the limit a
    -- transfer was checked against holds at every later moment.
    CONSTRAINT debits_must_not_exceed_credits CHECK (flags & 2 = 0 OR debits_pending + debits_posted <= credits_posted),
    CONSTRAINT credits_must_not_exceed_debits CHECK (flags & 4 = 0 OR credits_pending + credits_posted <= debits_posted)
) WITH (fillfactor = 50);
ALTER TABLE ledger_account ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ledger_account USING (visible_book(book));
GRANT SELECT, INSERT ON ledger_account TO shanraq_app;
GRANT UPDATE (flags, debits_pending, debits_posted, credits_pending, credits_posted, seq, touched_at)
    ON ledger_account TO shanraq_app;

-- Both accounts as they stood after the transfer are in its row: balances of any past moment need no other table.
-- Flag 65536 marks the expiry of a hold, a row the ledger writes itself.
CREATE TABLE ledger_transfer (
    book                   bigint  NOT NULL,
    id                     uuid    NOT NULL,
    debit_account_id       uuid    NOT NULL,
    credit_account_id      uuid    NOT NULL,
    amount                 bigint  NOT NULL CHECK (amount >= 0),
    pending_id             uuid,
    user_data_128          uuid,
    user_data_64           bigint  NOT NULL,
    user_data_32           bigint  NOT NULL,
    timeout_seconds        bigint  NOT NULL CHECK (timeout_seconds >= 0),
    ledger                 bigint  NOT NULL,
    code                   int     NOT NULL,
    flags                  int     NOT NULL,
    "timestamp"            bigint  NOT NULL,
    debit_seq              bigint  NOT NULL CHECK (debit_seq > 0),
    debit_debits_pending   bigint  NOT NULL CHECK (debit_debits_pending >= 0),
    debit_debits_posted    bigint  NOT NULL CHECK (debit_debits_posted >= 0),
    debit_credits_pending  bigint  NOT NULL CHECK (debit_credits_pending >= 0),
    debit_credits_posted   bigint  NOT NULL CHECK (debit_credits_posted >= 0),
    debit_closed           boolean NOT NULL,
    credit_seq             bigint  NOT NULL CHECK (credit_seq > 0),
    credit_debits_pending  bigint  NOT NULL CHECK (credit_debits_pending >= 0),
    credit_debits_posted   bigint  NOT NULL CHECK (credit_debits_posted >= 0),
    credit_credits_pending bigint  NOT NULL CHECK (credit_credits_pending >= 0),
    credit_credits_posted  bigint  NOT NULL CHECK (credit_credits_posted >= 0),
    credit_closed          boolean NOT NULL,
    PRIMARY KEY (book, id),
    CHECK (debit_account_id <> credit_account_id),
    -- Posts, voids and expiries name the hold they end; nothing else does.
    CHECK ((flags & (4 | 8 | 65536) <> 0) = (pending_id IS NOT NULL))
);
-- An account's entries are counted without a gap: no sequence number can be written twice.
CREATE UNIQUE INDEX ledger_transfer_debit ON ledger_transfer (book, debit_account_id, debit_seq);
CREATE UNIQUE INDEX ledger_transfer_credit ON ledger_transfer (book, credit_account_id, credit_seq);
-- A hold ends at most once, however it ends.
CREATE UNIQUE INDEX ledger_transfer_resolution ON ledger_transfer (book, pending_id) WHERE pending_id IS NOT NULL;
CREATE INDEX ledger_transfer_about ON ledger_transfer (book, user_data_128, "timestamp") WHERE user_data_128 IS NOT NULL;
CREATE INDEX ledger_transfer_time ON ledger_transfer USING brin ("timestamp");
ALTER TABLE ledger_transfer ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ledger_transfer USING (visible_book(book));
GRANT SELECT, INSERT ON ledger_transfer TO shanraq_app;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_transfer FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_transfer EXECUTE FUNCTION refuse_change();

-- The holds that are open now; `expires_at` is NULL for those that stay until they are posted or voided.
CREATE TABLE ledger_hold (
    book       bigint NOT NULL,
    id         uuid   NOT NULL,
    expires_at bigint,
    PRIMARY KEY (book, id)
);
CREATE INDEX ledger_hold_due ON ledger_hold (expires_at) WHERE expires_at IS NOT NULL;
ALTER TABLE ledger_hold ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ledger_hold USING (visible_book(book));
GRANT SELECT, INSERT, DELETE ON ledger_hold TO shanraq_app;

-- Ids that failed for a reason that may pass: they stay failed, so that a retry cannot turn a failure into a payment.
CREATE TABLE ledger_failed (
    book        bigint NOT NULL,
    id          uuid   NOT NULL,
    "timestamp" bigint NOT NULL,
    PRIMARY KEY (book, id)
);
ALTER TABLE ledger_failed ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ledger_failed USING (visible_book(book));
GRANT SELECT, INSERT ON ledger_failed TO shanraq_app;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_failed FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_failed EXECUTE FUNCTION refuse_change();

-- Which transfer takes back which: a transfer is reversed at most once.
CREATE TABLE ledger_reversal (
    book        bigint NOT NULL,
    transfer_id uuid   NOT NULL,
    reversal_id uuid   NOT NULL,
    PRIMARY KEY (book, transfer_id),
    UNIQUE (book, reversal_id)
);
ALTER TABLE ledger_reversal ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ledger_reversal USING (visible_book(book));
GRANT SELECT, INSERT ON ledger_reversal TO shanraq_app;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_reversal FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ledger_reversal EXECUTE FUNCTION refuse_change();

-- Lock accounts in the order of their ids, so that batches side by side cannot deadlock, and return them as they are now,
-- with their places: a locked row stays where it is, so it can be updated without being looked up again.
-- A batch shares its book with others. It has the book alone when it names an account that does not exist (that answer is
-- final and must not race with an opening) or when its caller needs a still view of the whole book (imports).
CREATE FUNCTION ledger_lock(own bigint, ids uuid[], alone boolean) RETURNS TABLE (
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
END $$;

-- The number of entries an account had at an instant, found by halving: times grow with sequence numbers.
CREATE FUNCTION ledger_seq_at(own bigint, account uuid, instant bigint) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    low    bigint := 0;
    high   bigint := (SELECT a.seq FROM ledger_account a WHERE a.book = own AND a.id = account);
    middle bigint;
    moment bigint;
BEGIN
    WHILE low < high LOOP
        middle := (low + high + 1) / 2;
        SELECT t."timestamp" INTO moment FROM ledger_transfer t
         WHERE t.book = own AND t.debit_account_id = account AND t.debit_seq = middle;
        IF NOT FOUND THEN
            SELECT t."timestamp" INTO STRICT moment FROM ledger_transfer t
             WHERE t.book = own AND t.credit_account_id = account AND t.credit_seq = middle;
        END IF;
        IF moment <= instant THEN
            low := middle;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END $$;
