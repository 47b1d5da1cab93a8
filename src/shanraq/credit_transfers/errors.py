"""Why a request about a credit transfer is refused."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, NotFoundError


class CreditTransferNotFoundError(NotFoundError, code="credit_transfer_not_found", status=404):
    """There is no such credit transfer, or it is not yours."""


class NotRecallableError(ConflictError, code="credit_transfer_not_recallable", status=409):
    """Only a transfer that went through a clearing system, and is not on its way back already, can be recalled."""
