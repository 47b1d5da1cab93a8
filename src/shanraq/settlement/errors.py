"""What settlement refuses."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, InvalidInputError, NotFoundError, RefusedError


class SettlementDayNotFoundError(NotFoundError, code="settlement_day_not_found", status=404):
    """No report of this payment system was asked for on this day."""


class SettlementExceptionNotFoundError(NotFoundError, code="settlement_exception_not_found", status=404):
    """There is no such settlement exception, or it is not yours."""


class ExceptionDecidedError(ConflictError, code="settlement_exception_decided", status=409):
    """The settlement exception is not open for this step any more."""


class SameOperatorError(ConflictError, code="same_operator", status=409):
    """Another operator has to approve it than the one who proposed it."""


class ResolutionRefusedError(RefusedError, code="resolution_refused", status=422):
    """The settlement exception cannot be resolved in this way."""


class ResolutionIncompleteError(InvalidInputError, code="resolution_incomplete", status=400):
    """The resolution lacks what its action needs."""


class DisputeNotFoundError(NotFoundError, code="dispute_not_found", status=404):
    """There is no such dispute, or it is not yours."""


class DisputeClosedError(ConflictError, code="dispute_closed", status=409):
    """The dispute is at an end or was answered: there is nothing to answer any more."""


class DisputeOverdueError(RefusedError, code="dispute_overdue", status=422):
    """The time to answer the dispute is over."""


class EvidenceNotFoundError(NotFoundError, code="evidence_not_found", status=404):
    """No evidence was given for this dispute."""
