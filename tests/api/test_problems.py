"""Every error becomes one problem, and every code is explained."""

from __future__ import annotations

import httpx
import pytest
from litestar.exceptions import (
    ClientException,
    HTTPException,
    InternalServerException,
    MethodNotAllowedException,
    NotAuthorizedException,
    NotFoundException,
    PermissionDeniedException,
    ServiceUnavailableException,
    TooManyRequestsException,
    ValidationException,
)

from shanraq.api.problems import (
    TooManyRequestsError,
    UnknownProblemError,
    explain,
    headers_of,
    known_problems,
    problem_of,
    refusal_of,
)
from shanraq.core.errors import ShanraqError, UnauthenticatedError, UnavailableError
from shanraq.core.once import ReplayedRefusalError
from tests.api.example import NoteNotFoundError


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NoteNotFoundError(), 404, "note_not_found"),
        (ClientException(), 400, "invalid_input"),
        (NotAuthorizedException(), 401, "unauthenticated"),
        (PermissionDeniedException(), 403, "forbidden"),
        (NotFoundException(), 404, "unknown_route"),
        (MethodNotAllowedException(), 405, "method_not_allowed"),
        (HTTPException(status_code=406), 406, "not_acceptable"),
        (HTTPException(status_code=413), 413, "body_too_large"),
        (HTTPException(status_code=415), 415, "unsupported_media_type"),
        (TooManyRequestsException(), 429, "too_many_requests"),
        (InternalServerException("secret"), 500, "internal_error"),
        (HTTPException(status_code=502), 500, "internal_error"),
        (ServiceUnavailableException(), 503, "unavailable"),
        (KeyError("secret"), 500, "internal_error"),
    ],
)
def test_an_error_has_a_status_and_a_code(error: Exception, status: int, code: str) -> None:
    refusal = refusal_of(error)

    assert (refusal.status, refusal.code) == (status, code)
    assert "secret" not in str(problem_of(refusal, "req_1"))


def test_a_parameter_that_litestar_refuses_is_named() -> None:
    wrong = ValidationException(
        detail="Validation failed", extra=[{"message": "Expected `int` <= 5", "key": "limit", "source": "query"}]
    )
    missing = ValidationException(detail="Missing required query parameter 'since' for path /v1")

    assert (refusal_of(wrong).detail, refusal_of(wrong).field) == ("expected int <= 5", "limit")
    assert (refusal_of(missing).detail, refusal_of(missing).field) == ("is required", "since")


def test_a_problem_tells_what_a_program_and_a_person_need() -> None:
    problem = problem_of(NoteNotFoundError("no note_7", field="note_id"), "req_1")

    assert problem.type == "/problems/note_not_found"
    assert problem.title == "There is no such note"
    assert (problem.status, problem.code, problem.detail) == (404, "note_not_found", "no note_7")
    assert (problem.field, problem.request_id) == ("note_id", "req_1")


def test_a_replayed_refusal_speaks_for_the_first_one() -> None:
    problem = problem_of(ReplayedRefusalError("note_not_found", 404, "no note_7", None), "req_1")

    assert (problem.code, problem.status, problem.title) == ("note_not_found", 404, "There is no such note")


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (UnauthenticatedError(), "WWW-Authenticate", 'Basic realm="Shanraq", charset="UTF-8", Bearer realm="Shanraq"'),
        (TooManyRequestsError(7), "Retry-After", "7"),
        (UnavailableError(), "Retry-After", "5"),
        (MethodNotAllowedException(headers={"allow": "POST, GET"}), "Allow", "GET, OPTIONS, POST"),
    ],
)
def test_a_refusal_has_the_headers_of_its_status(error: Exception, name: str, value: str) -> None:
    assert headers_of(refusal_of(error), error) == {name: value}


def test_a_code_is_explained_from_its_docstring() -> None:
    explained = explain("note_not_found")

    assert (explained.status, explained.title) == (404, "There is no such note")
    assert explained.explanation == "There is no such note.\n\nNotes of other partners do not exist for you."


def test_every_code_has_an_explanation() -> None:
    for explained in known_problems().items:
        assert explained.title, explained.code
        assert 400 <= explained.status <= 599


def test_an_unknown_code_is_refused() -> None:
    with pytest.raises(UnknownProblemError):
        explain("nonsense")


async def test_the_type_of_a_problem_leads_to_its_explanation(client: httpx.AsyncClient) -> None:
    problem = (await client.get("/v1/notes/note_9")).json()

    explained = await client.get(problem["type"])
    listed = await client.get("/problems")
    unknown = await client.get("/problems/nonsense")

    assert explained.json()["code"] == problem["code"]
    assert explained.json() in listed.json()["items"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_problem")


def test_refusals_of_ours_are_what_they_are() -> None:
    error = OrphanError()

    assert refusal_of(error) is error


class OrphanError(ShanraqError, code="orphan", status=418):
    """A refusal that no module owns."""
