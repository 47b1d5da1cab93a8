"""What the ledger refuses with an error. The answers to transfers are values (`TransferStatus`), never raised."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, NotFoundError, RefusedError


class AccountUnknownError(NotFoundError, code="ledger_account_unknown", status=404):
    """The ledger has no such account in this book."""


class TransferUnknownError(NotFoundError, code="ledger_transfer_unknown", status=404):
    """The ledger has no such transfer in this book."""


class BatchTooLargeError(RefusedError, code="ledger_batch_too_large", status=422):
    """A batch has more events than the ledger takes at once."""


class NotReversibleError(ConflictError, code="ledger_not_reversible", status=409):
    """Only a transfer that moved money can be reversed; a hold is voided."""


class AlreadyReversedError(ConflictError, code="ledger_already_reversed", status=409):
    """The transfer was reversed before, by another transfer."""
