-- A credit goes on with another payment system where one did not process it, as an authorisation does: of either a payment has one
-- that is open, under review or approved, whatever else goes wrong: never two.
DROP INDEX payment_operation_one_authorization;
CREATE UNIQUE INDEX payment_operation_one_attempt ON payment_operation (payment_id)
    WHERE kind IN ('authorize', 'credit') AND status IN ('sending', 'unknown', 'review', 'succeeded');
