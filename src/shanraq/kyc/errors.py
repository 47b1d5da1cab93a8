"""Why a request about a customer is refused."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, NotFoundError, RefusedError


class CustomerNotFoundError(NotFoundError, code="customer_not_found", status=404):
    """There is no such customer, or it is not yours."""


class CustomerErasedError(RefusedError, code="customer_erased", status=422):
    """The customer was erased: nothing new can be done in its name."""


class CustomerKindError(RefusedError, code="customer_kind_fixed", status=422):
    """A person cannot become a company, nor a company a person."""


class CustomerReferenceTakenError(ConflictError, code="reference_taken", status=409):
    """Another customer has this reference."""


class CustomerVersionError(ConflictError, code="version_conflict", status=409):
    """The customer was changed in between: read it again."""
