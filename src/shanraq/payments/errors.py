"""Why a payment is refused."""

from __future__ import annotations

from shanraq.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    UnauthenticatedError,
    UnavailableError,
)


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


class NotIncrementableError(RefusedError, code="not_incrementable", status=422):
    """Only a pre-authorisation (`estimated`) may be incremented."""


class OperationNotSupportedError(RefusedError, code="operation_not_supported", status=422):
    """The payment system offers no such operation."""


class InvalidStoredCredentialError(InvalidInputError, code="invalid_stored_credential", status=400):
    """The use of the stored card contradicts itself: who starts it, why, and what it refers to."""


class PreviousPaymentUnusableError(RefusedError, code="previous_payment_unusable", status=422):
    """The earlier payment was made with another card, or the scheme gave it no id."""


class AuthenticationNotFoundError(NotFoundError, code="authentication_not_found", status=404):
    """There is no such authentication, or it is not yours."""


class AuthenticationNotUsableError(RefusedError, code="authentication_not_usable", status=422):
    """The authentication did not succeed, was used before, or is for another card, currency or a smaller amount."""


class InvalidReturnUrlError(InvalidInputError, code="invalid_return_url", status=400):
    """The return_url is not an absolute https URL without credentials."""


class NoUsableAnswerError(UnavailableError, code="no_usable_answer", status=503):
    """The payment system gave no usable answer; no money was asked for, so the request may be repeated."""


class DecideAtGatewayError(ConflictError, code="decide_at_gateway", status=409):
    """This payment system takes no decision by API: decide in its own console.

    The platform looks at the payment until it is decided, and tells by webhook.
    """


class ReviewNotTakenError(UnavailableError, code="review_not_taken", status=503):
    """The payment system did not take the decision now; nothing was changed, try again."""


class UnknownNotifierError(NotFoundError, code="notifier_not_found", status=404):
    """No payment system of this name and environment sends notifications here."""


class NoticeNotAuthenticError(UnauthenticatedError, code="notice_not_authentic", status=401):
    """The notification is not signed as the payment system signs, or cannot be read."""


class NoAdapterError(UnavailableError, code="payment_system_not_configured", status=503):
    """No payment system is configured for this environment."""
