"""Refusals over HTTP: one mapping of every error to `application/problem+json` (RFC 9457).

    ShanraqError              its code and status
    Litestar's exceptions     unknown_route, method_not_allowed, invalid_field … by status
    anything else             500 internal_error: logged with the request id, its text never leaves the process

`GET /problems` lists the codes, `GET /problems/{code}` explains one, from the docstring of its class.
"""

from __future__ import annotations

import inspect
import re
from functools import lru_cache
from typing import Annotated, Final

import msgspec
import structlog
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Meta

from shanraq.api.strict import InvalidFieldError, LargeBodyError, MediaTypeError, View, reason_of
from shanraq.core.errors import (
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    ShanraqError,
    UnauthenticatedError,
    UnavailableError,
)
from shanraq.core.log import redacted

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_CHALLENGES: Final = 'Basic realm="Shanraq", charset="UTF-8", Bearer realm="Shanraq"'
_RETRY_AFTER_SECONDS: Final = {429: 1, 503: 5}
_PARAMETER = re.compile(r"Missing required .*?parameter '(.+?)'")


class UnknownRouteError(NotFoundError, code="unknown_route", status=404):
    """There is nothing at this path; see `/openapi.json` for what there is."""


class MethodNotAllowedError(ShanraqError, code="method_not_allowed", status=405):
    """This path does not know the method; the `Allow` header lists those it knows."""


class NotAcceptableError(ShanraqError, code="not_acceptable", status=406):
    """The `Accept` header excludes `application/json`, the only form of this answer."""


class UnknownParameterError(InvalidInputError, code="unknown_parameter", status=400):
    """The query has a parameter that this request does not know."""


class RepeatedHeaderError(InvalidInputError, code="repeated_header", status=400):
    """A header is there twice, so that it is not clear which value is meant."""


class TooManyRequestsError(ShanraqError, code="too_many_requests", status=429):
    """There were too many requests in a short time.

    The `Retry-After` header says in how many seconds one more is welcome; the `RateLimit-*` headers show what is left.
    """

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class InternalError(ShanraqError, code="internal_error", status=500):
    """Something went wrong on our side; the request id leads us to it.

    It is not known whether the request had an effect. Repeat it with the same Idempotency-Key to learn what became of it.
    """


class UnknownProblemError(NotFoundError, code="unknown_problem", status=404):
    """There is no problem with this code."""


class Problem(View, frozen=True, omit_defaults=True):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Meta(description="The page that explains the code.")]
    title: Annotated[str, Meta(description="The code in words, the same for every occurrence.")]
    status: Annotated[int, Meta(ge=400, le=599)]
    code: Annotated[str, Meta(description="Stable for ever; what a program should look at.", pattern="^[a-z0-9_]+$")]
    detail: Annotated[str, Meta(description="What is wrong this time, in words for people.")]
    field: Annotated[
        str | None, Meta(description="The input that is wrong, as a path from outside in: `card.number`.")
    ] = None
    request_id: Annotated[str, Meta(description="Give it to us with a question about this answer.")] = ""


class ProblemExplanation(View, frozen=True):
    """What a code means."""

    code: str
    status: int
    title: str
    explanation: str


class ProblemList(View, frozen=True):
    """Every code there is."""

    items: list[ProblemExplanation]


def refusal_of(error: Exception) -> ShanraqError:
    """Return the refusal an error stands for; an error that is nobody's refusal is an InternalError."""
    if isinstance(error, ShanraqError):
        return error
    if isinstance(error, ValidationException):
        return _invalid_parameter(error)
    if isinstance(error, HTTPException):
        match error.status_code:
            case 400:
                return InvalidInputError()
            case 401:
                return UnauthenticatedError()
            case 403:
                return ForbiddenError()
            case 404:
                return UnknownRouteError()
            case 405:
                return MethodNotAllowedError()
            case 406:
                return NotAcceptableError()
            case 413:
                return LargeBodyError()
            case 415:
                return MediaTypeError()
            case 429:
                return TooManyRequestsError(_RETRY_AFTER_SECONDS[429])
            case 503:
                return UnavailableError()
            case _:
                return InternalError()
    return InternalError()


def _invalid_parameter(error: ValidationException) -> InvalidFieldError:
    """Name the parameter; Litestar puts the first into `extra`, or a missing one into the text."""
    if missing := _PARAMETER.match(error.detail):
        return InvalidFieldError("is required", field=missing[1])
    first = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    return InvalidFieldError(reason_of(str(first.get("message", "has a wrong value"))), field=first.get("key"))


def problem_of(refusal: ShanraqError, request_id: str) -> Problem:
    """Return the body that tells a client of a refusal; a card number a client put where it does not belong is masked."""
    return Problem(
        type=f"/problems/{refusal.code}",
        title=_title(refusal.code) or _title_of(type(refusal)),
        status=refusal.status,
        code=refusal.code,
        detail=redacted(refusal.detail),
        field=redacted(refusal.field) if refusal.field else refusal.field,
        request_id=request_id,
    )


def headers_of(refusal: ShanraqError, error: Exception) -> dict[str, str]:
    """Return the headers that go with a refusal: the challenge, the time to wait, the methods allowed."""
    headers: dict[str, str] = {}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = _CHALLENGES
    retry_after: int | None = getattr(refusal, "retry_after_seconds", _RETRY_AFTER_SECONDS.get(refusal.status))
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if refusal.status == 405 and isinstance(error, HTTPException) and error.headers:
        allowed = (method.strip() for method in error.headers.get("allow", "").split(","))
        headers["Allow"] = ", ".join(sorted({*filter(None, allowed), "OPTIONS"}))
    return headers


def answer_of(error: Exception, request_id: str, **context: str) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers for any error, and log those that are our fault."""
    refusal = refusal_of(error)
    if isinstance(refusal, InternalError):
        log.error("request.failed", request_id=request_id, exc_info=error, **context)
    elif refusal.status >= 500:
        log.warning("request.unavailable", request_id=request_id, code=refusal.code, detail=refusal.detail, **context)
    return refusal.status, msgspec.json.encode(problem_of(refusal, request_id)), headers_of(refusal, error)


def explain(code: str) -> ProblemExplanation:
    """Explain a code in prose; raise UnknownProblemError (404) for a code nobody gives."""
    found = _classes().get(code)
    if found is None:
        raise UnknownProblemError(field="code")
    text = inspect.cleandoc(found.__doc__ or "")
    return ProblemExplanation(code=code, status=found.status, title=_title_of(found), explanation=_prose(text))


def known_problems() -> ProblemList:
    """Return every code this process may give, in order."""
    return ProblemList(items=[explain(code) for code in sorted(_classes())])


def _classes() -> dict[str, type[ShanraqError]]:
    """Return the class of each code: the one nearest to the root, if several share it."""
    found: dict[str, type[ShanraqError]] = {}
    waiting = list(ShanraqError.__subclasses__())
    for refusal in waiting:
        found.setdefault(refusal.code, refusal)
        waiting.extend(refusal.__subclasses__())
    return found


@lru_cache(maxsize=1024)
def _title(code: str) -> str:
    found = _classes().get(code)
    return _title_of(found) if found else ""


def _title_of(refusal: type[ShanraqError]) -> str:
    """Return the first sentence of the docstring, the same for every occurrence (RFC 9457, 3.1.3)."""
    first_paragraph = _prose(inspect.cleandoc(refusal.__doc__ or refusal.code).split("\n\n")[0])
    return re.split(r"(?<=\.)\s", first_paragraph, maxsplit=1)[0].rstrip(".")


def _prose(text: str) -> str:
    """Join the lines of each paragraph."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
