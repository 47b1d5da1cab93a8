-- What hangs on a master key can be hung on a newer one: the sealed value of a row may be exchanged for the same one.
GRANT UPDATE (sealed_signing_secret) ON api_key TO shanraq_app;
GRANT UPDATE (sealed) ON webhook_secret TO shanraq_app;
GRANT UPDATE (content) ON iso_message TO shanraq_app;
GRANT UPDATE (details) ON credit_transfer TO shanraq_app;
GRANT UPDATE (content) ON payment_file_piece TO shanraq_app;

-- When a card was last used, and which cards have expired: for destroying numbers that are no longer needed.
CREATE INDEX payment_method_used ON payment (payment_method_id, created_at DESC);
CREATE INDEX payment_method_expiry ON payment_method (expiry_year, expiry_month) WHERE pan_sealed IS NOT NULL;
