-- Whose cards begin with which digits, for routing: the platform's own, as its rules are. Bounds are BINs of eight digits, both
-- included, never more of a card number. A range is of the versions from since_version on, up to before until_version: every version
-- of the table can be read as it was, and a table that changes little takes little room.
CREATE TABLE bin_range (
    first_bin     int  NOT NULL CHECK (first_bin BETWEEN 0 AND 99999999),
    last_bin      int  NOT NULL CHECK (last_bin BETWEEN first_bin AND 99999999),
    scheme        text NOT NULL,
    country       text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    funding       text NOT NULL CHECK (funding IN ('credit', 'debit', 'prepaid', 'charge', 'unknown')),
    issuer        text NOT NULL,
    since_version int  NOT NULL CHECK (since_version > 0),
    until_version int  CHECK (until_version > since_version),
    PRIMARY KEY (first_bin, last_bin, since_version)
);
CREATE UNIQUE INDEX bin_range_now ON bin_range (first_bin, last_bin) WHERE until_version IS NULL;
CREATE INDEX bin_range_holds ON bin_range USING gist (int4range(first_bin, last_bin, '[]')) WHERE until_version IS NULL;
ALTER TABLE bin_range ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON bin_range FOR SELECT USING (true);
CREATE POLICY changed ON bin_range USING (current_setting('shanraq.partner_id', true) = '*');
GRANT SELECT, INSERT ON bin_range TO shanraq_app;
GRANT UPDATE (until_version) ON bin_range TO shanraq_app;

CREATE TABLE bin_table_version (
    version    int         PRIMARY KEY CHECK (version > 0),
    ranges     int         NOT NULL,
    added      int         NOT NULL,
    removed    int         NOT NULL,
    changed_by text        NOT NULL,
    changed_at timestamptz NOT NULL
);
ALTER TABLE bin_table_version ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON bin_table_version FOR SELECT USING (true);
CREATE POLICY changed ON bin_table_version USING (current_setting('shanraq.partner_id', true) = '*');
GRANT SELECT, INSERT ON bin_table_version TO shanraq_app;
