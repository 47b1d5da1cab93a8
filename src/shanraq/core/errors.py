"""The error tree: every refusal has a stable code and an HTTP status.

ShanraqError
├── InvalidInputError          400  the request cannot be understood
├── UnauthenticatedError       401  who are you
├── ForbiddenError             403  you may not
├── NotFoundError              404  no such thing, or not yours
├── ConflictError              409  the thing is not in the state for it
├── RefusedError               422  understood, and refused by a rule
└── UnavailableError           503  try again later; nothing was decided

Modules derive their own from these and give each a code of its own.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ShanraqError(Exception):
    """Refuse something, with a code for machines and a sentence for people.

    `code` is stable for ever, `status` is the HTTP status; both are class arguments and mandatory for a subclass.
    `field` names the input that is wrong, as a path from outside in (`card.number`).
    """

    code: ClassVar[str]
    status: ClassVar[int]

    def __init_subclass__(cls, *, code: str, status: int, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not code.replace("_", "").isalnum() or not 400 <= status <= 599:
            raise TypeError(f"{cls.__name__} needs a code and an HTTP error status")
        cls.code = code
        cls.status = status

    def __init__(self, detail: str | None = None, *, field: str | None = None) -> None:
        self.detail = detail or (self.__doc__ or self.code).strip().splitlines()[0]
        self.field = field
        super().__init__(self.detail)

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}" if self.field else self.detail


class InvalidInputError(ShanraqError, code="invalid_input", status=400):
    """The request cannot be understood."""


class UnauthenticatedError(ShanraqError, code="unauthenticated", status=401):
    """The credentials are missing or wrong."""


class ForbiddenError(ShanraqError, code="forbidden", status=403):
    """The credentials do not allow this."""


class NotFoundError(ShanraqError, code="not_found", status=404):
    """There is no such thing, or it is not yours."""


class ConflictError(ShanraqError, code="conflict", status=409):
    """The thing is not in a state that allows this."""


class RefusedError(ShanraqError, code="refused", status=422):
    """The request is understood and a rule refuses it."""


class UnavailableError(ShanraqError, code="unavailable", status=503):
    """The service cannot decide this now; nothing was changed, try again later."""
