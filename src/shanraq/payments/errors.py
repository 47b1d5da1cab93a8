"""Why a payment is refused."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError, UnavailableError


class PaymentNotFoundError(NotFoundError, code="payment_not_found", status=404):
    """There is no such payment, or it is not yours."""


class PaymentMethodNotFoundError(NotFoundError, code="payment_method_not_found", status=404):
    """There is no such payment method, or it is not yours, or it was deleted."""


class PaymentBusyError(ConflictError, code="payment_busy", status=409):
    """Another operation of this payment is under way; wait for its outcome."""


class AmountNotCapturableError(RefusedError, code="amount_above_authorized", status=422):
    """More cannot be captured than was authorised and is left."""


class AmountNotRefundableError(RefusedError, code="amount_above_captured", status=422):
    """More cannot be refunded than was captured and is left."""


class RefundSpansCapturesError(RefusedError, code="refund_spans_captures", status=422):
    """No single capture has this much left: refund it in parts."""


class VoidRefusedError(ConflictError, code="void_refused", status=409):
    """The payment was captured in parts or refunded in part: refund it instead."""


class CardExpiredError(RefusedError, code="card_expired", status=422):
    """The card's expiry month has passed."""


class InvalidExpiryError(InvalidInputError, code="invalid_expiry", status=400):
    """The expiry is not a month from 1 to 12 and a four-digit year."""


class ForestalledError(RefusedError, code="payment_forestalled", status=422):
    """The payment was reversed before it was made."""


class NoAdapterError(UnavailableError, code="payment_system_not_configured", status=503):
    """No payment system is configured for this environment."""
