-- Customers: a partner's persons and firms. Who they are is sealed; erasure destroys the sealed value and keeps the row.
CREATE TABLE customer (
    id          text        PRIMARY KEY,
    partner_id  text        NOT NULL,
    environment text        NOT NULL CHECK (environment IN ('sandbox', 'live')),
    kind        text        NOT NULL CHECK (kind IN ('person', 'company')),
    reference   text,
    sealed      bytea,
    status      text        NOT NULL CHECK (status IN ('active', 'erased')),
    kyc_status  text        NOT NULL CHECK (kyc_status IN ('unverified')),
    metadata    jsonb       NOT NULL,
    version     int         NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CHECK ((status = 'erased') = (sealed IS NULL)),
    UNIQUE (partner_id, environment, reference)
);
CREATE INDEX customer_list ON customer (partner_id, environment, id DESC);
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON customer USING (visible(partner_id, environment));
GRANT SELECT, INSERT ON customer TO shanraq_app;
GRANT UPDATE (reference, sealed, status, metadata, version, updated_at) ON customer TO shanraq_app;
