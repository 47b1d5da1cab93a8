"""Why an account is refused."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError, RefusedError


class AccountNotFoundError(NotFoundError, code="account_not_found", status=404):
    """There is no such account, or it is not yours."""


class AccountNotActiveError(RefusedError, code="account_not_active", status=422):
    """The account is suspended or closed: no money may leave or enter it."""


class AccountNotEmptyError(ConflictError, code="account_not_empty", status=409):
    """The account still holds money or open holds."""


class ReferenceTakenError(ConflictError, code="reference_taken", status=409):
    """Another account has this reference."""


class IbanTakenError(ConflictError, code="iban_taken", status=409):
    """Another account has this IBAN."""


class InvalidIbanError(InvalidInputError, code="invalid_iban", status=400):
    """The IBAN is not of its country's form, or its check digits are wrong."""


class VersionConflictError(ConflictError, code="version_conflict", status=409):
    """The account was changed in between: read it again."""


class OverdraftNotAllowedError(ForbiddenError, code="overdraft_not_allowed", status=403):
    """Accounts that may go below zero need the operator's permission."""
