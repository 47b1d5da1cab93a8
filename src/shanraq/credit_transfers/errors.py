"""Why a request about a credit transfer is refused."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, InvalidInputError, NotFoundError


class CreditTransferNotFoundError(NotFoundError, code="credit_transfer_not_found", status=404):
    """There is no such credit transfer, or it is not yours."""


class NotRecallableError(ConflictError, code="credit_transfer_not_recallable", status=409):
    """Only a transfer that went through a clearing system, and is not on its way back already, can be recalled."""


class RecallNotFoundError(NotFoundError, code="recall_not_found", status=404):
    """There is no such recall, or it is not yours."""


class RecallOpenError(ConflictError, code="recall_open", status=409):
    """The transfer is being recalled already; its answer is open."""


class InvalidReasonError(InvalidInputError, code="invalid_reason", status=400):
    """The reason is not a code of ExternalCancellationReason1Code."""
