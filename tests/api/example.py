"""A few routes that use everything the foundation offers, and an authentication with fixed keys."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter, SkipValidation
from msgspec import Meta

from shanraq.api.answer import Answer, IdempotencyKey, answer_given
from shanraq.api.app import Edge, create_app
from shanraq.api.gate import ANY_SCOPE, CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.strict import Body, View
from shanraq.core import once
from shanraq.core.actor import Actor, ActorKind, Environment
from shanraq.core.errors import ConflictError, NotFoundError, UnauthenticatedError
from shanraq.core.once import Given
from shanraq.partners import BasicCredentials, Credentials, OperatorToken, SignedCredentials

SECRET = "correct-horse-battery-staple"
TOKEN = "operator-token"


class NoteNotFoundError(NotFoundError, code="note_not_found", status=404):
    """There is no such note.

    Notes of other partners do not exist for you.
    """


class NoteSealedError(ConflictError, code="note_sealed", status=409):
    """The note is sealed."""


class Author(Body, frozen=True):
    """Who wrote it."""

    name: Annotated[str, Meta(min_length=1, max_length=40)]
    age: Annotated[int, Meta(ge=0, le=150)] | None = None


class TextPart(Body, frozen=True, tag="text", tag_field="kind"):
    """A part in words."""

    text: str


class NumberPart(Body, frozen=True, tag="number", tag_field="kind"):
    """A part in figures."""

    number: int


class NewNote(Body, frozen=True):
    """What a note is made of."""

    amount: Annotated[int, Meta(ge=1, le=10**15)]
    currency: Literal["KZT", "USD"]
    author: Author
    parts: list[TextPart | NumberPart] = msgspec.field(default_factory=list)
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    pinned: bool = False
    anything: Any = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"amount": 1500, "currency": "KZT", "author": {"name": "Aigerim"}}


class Note(View, frozen=True):
    """A note as it is stored."""

    id: str
    amount: int
    currency: str
    author: str | None


class NoteList(View, frozen=True):
    """A page of notes."""

    items: list[Note]
    next_cursor: str | None = None


@dataclass
class Notes:
    """The services of the example: notes in memory."""

    kept: dict[str, Note] = field(default_factory=dict)
    answers: dict[str, tuple[bytes, Note]] = field(default_factory=dict)


Services = NamedDependency[SkipValidation[Notes]]


@post(
    "/v1/notes",
    operation_id="create_note",
    tags=["Notes"],
    opt={"scope": "notes:write"},
    responses=problems(409),
)
async def create_note(
    data: JSONBody[NewNote], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[Note]:
    """Write a note.

    It is kept in memory.
    """
    request = once.Request.of("create_note", idempotency_key, data)
    found = services.answers.get(request.key)
    if found is not None:
        if found[0] != request.fingerprint:
            raise once.KeyReusedError(field="Idempotency-Key")
        return answer_given(Given(found[1], replayed=True))
    note = Note(id=f"note_{len(services.kept)}", amount=data.amount, currency=data.currency, author=actor.id)
    services.kept[note.id] = note
    services.answers[request.key] = (request.fingerprint, note)
    return answer_given(Given(note))


@get("/v1/notes", operation_id="list_notes", tags=["Notes"], opt={"scope": "notes:read"})
async def list_notes(
    services: Services,
    limit: Annotated[int, QueryParameter(ge=1, le=500, description="How many at most.")] = 50,
    currency: Annotated[Literal["KZT", "USD"] | None, QueryParameter()] = None,
) -> NoteList:
    """List the notes."""
    notes = [note for note in services.kept.values() if currency in (None, note.currency)]
    return NoteList(items=notes[:limit])


@get("/v1/notes/{note_id:str}", operation_id="get_note", tags=["Notes"], opt={"scope": "notes:read"})
async def get_note(note_id: FromPath[str], services: Services) -> Note:
    """Read a note."""
    if note_id not in services.kept:
        raise NoteNotFoundError(field="note_id")
    return services.kept[note_id]


@delete(
    "/v1/notes/{note_id:str}",
    operation_id="delete_note",
    tags=["Notes"],
    opt={"scope": "notes:admin", "security": ("operator",)},
    responses=problems(409),
)
async def delete_note(note_id: FromPath[str]) -> None:
    """Delete a note."""
    if note_id == "sealed":
        raise NoteSealedError


@get("/v1/me", operation_id="get_me", tags=["Notes"], opt={"scope": ANY_SCOPE})
async def get_me(actor: CurrentActor) -> Note:
    """Tell who asks."""
    return Note(id=actor.id, amount=0, currency=actor.kind.value, author=actor.request_id)


@get("/v1/broken", opt={"public": True}, include_in_schema=False)
async def broken() -> Note:
    raise RuntimeError("the database password is hunter2")


class Keys:
    """Knows keys with one secret, all allowed from loopback only, of which `key_reader` may not write; and an operator."""

    async def __call__(self, credentials: Credentials, address: str) -> Actor:
        assert address == "127.0.0.1"
        match credentials:
            case BasicCredentials(key_id, secret) if secret.reveal() == SECRET:
                return _partner(key_id)
            case SignedCredentials(key_id) if hmac.compare_digest(
                hmac.digest(SECRET.encode(), credentials.signed_text, hashlib.sha256), credentials.signature
            ):
                return _partner(key_id)
            case OperatorToken(token) if token.reveal() == TOKEN:
                return Actor(kind=ActorKind.OPERATOR, id="op_1", scopes=frozenset({"notes:admin"}))
            case _:
                raise UnauthenticatedError


def _partner(key_id: str) -> Actor:
    scopes = {"notes:read"} if key_id == "key_reader" else {"notes:read", "notes:write"}
    return Actor(
        kind=ActorKind.PARTNER,
        id=key_id,
        partner_id="prt_1",
        environment=Environment.SANDBOX,
        book=2,
        scopes=frozenset(scopes),
    )


ROUTES = [create_note, list_notes, get_note, delete_note, get_me, broken]


def example_app(**options: Any) -> Edge:
    """Return the example application; options as for `create_app`."""
    return create_app(Notes(), **{"routes": ROUTES, "authenticate": Keys(), **options})


def body_of(**changes: Any) -> bytes:
    """Return a valid body of a new note, changed."""
    return msgspec.json.encode({**NewNote.EXAMPLE, **changes})
