-- Notices of gateways are kept as long as a dispute may name them, and not for ever.
GRANT DELETE ON gateway_notice TO shanraq_app;
