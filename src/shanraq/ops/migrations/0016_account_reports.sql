-- Which ISO 20022 reports a partner wants of an account, and how far they were made. A message, its event and the step of its
-- cursor are one transaction, so each report is made once.
CREATE TABLE account_report (
    account_id        text        PRIMARY KEY REFERENCES account (id),
    partner_id        text        NOT NULL,
    environment       text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    book              bigint      NOT NULL CHECK (book > 0),
    notifications     boolean     NOT NULL,
    statements        boolean     NOT NULL,
    intraday_minutes  int         NOT NULL CHECK (intraday_minutes >= 0),
    -- the entry of the account up to which bookings were notified
    notified_sequence bigint      NOT NULL CHECK (notified_sequence >= 0),
    -- the day that was stated last, and when the next one is over
    statement_day     date        NOT NULL,
    statement_due_at  timestamptz,
    intraday_due_at   timestamptz,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL,
    CHECK (statements = (statement_due_at IS NOT NULL)),
    CHECK ((intraday_minutes > 0) = (intraday_due_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX account_report_notified ON account_report (account_id) WHERE notifications;
CREATE INDEX account_report_statement ON account_report (statement_due_at) WHERE statement_due_at IS NOT NULL;
CREATE INDEX account_report_intraday ON account_report (intraday_due_at) WHERE intraday_due_at IS NOT NULL;
ALTER TABLE account_report ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON account_report USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON account_report TO shanraq_app;
GRANT UPDATE (notifications, statements, intraday_minutes, notified_sequence, statement_day, statement_due_at, intraday_due_at,
              updated_at) ON account_report TO shanraq_app;

-- A booking is looked for among the transfers that were made, and among those that came back.
CREATE INDEX credit_transfer_return ON credit_transfer (return_transaction_id) WHERE return_transaction_id IS NOT NULL;
