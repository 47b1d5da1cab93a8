"""Why a transaction is refused."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, NotFoundError, RefusedError


class TransactionNotFoundError(NotFoundError, code="transaction_not_found", status=404):
    """There is no such transaction, or it is not yours."""


class SameAccountError(RefusedError, code="same_account", status=422):
    """The money must move between two different accounts."""


class AmountAboveHoldError(RefusedError, code="amount_above_hold", status=422):
    """More than is held cannot be executed."""


class HoldExpiredError(ConflictError, code="hold_expired", status=409):
    """The hold has run out; its money is free again."""


class ReversalRefusedError(ConflictError, code="reversal_refused", status=409):
    """The money cannot be taken back: the receiving account no longer has it."""


class MovedMeanwhileError(ConflictError, code="moved_meanwhile", status=409):
    """Another request changed the transaction at the same moment."""


class TransactionHasOwnerError(ConflictError, code="transaction_has_owner", status=409):
    """The transaction belongs to a payment or transfer: use its own operations."""
