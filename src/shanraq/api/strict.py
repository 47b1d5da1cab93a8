"""Decode request bodies strictly: what a client did not mean is refused, with the path of the field that is wrong.

Litestar converts a body leniently (`"5"` and `5.0` pass for 5, the last of two equal keys wins, any Content-Type goes). A
payment must not be read that way: here every body is read by a strict decoder of its own type.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from litestar.dto import AbstractDTO

from shanraq.core.errors import InvalidInputError, ShanraqError

if TYPE_CHECKING:
    from litestar.dto.data_structures import DTOFieldDefinition
    from litestar.types import HTTPReceiveMessage, Receive
    from litestar.typing import FieldDefinition

BODY_LIMIT_BYTES: Final = 65_536
BODY_TIMEOUT_SECONDS: Final = 30.0
DEPTH_LIMIT: Final = 32

_MEDIA_TYPE = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?\s*', re.IGNORECASE)
_PARAMETERS = re.compile(r'(?:\s*;\s*charset="?(?:utf-8|us-ascii)"?)?\s*', re.IGNORECASE)
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])', re.DOTALL)
_PLACE = re.compile(r" - at (?:`key` in )?`\$(.*)`$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_FIELD_LENGTH = 128


class Body(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A request body: unknown fields are refused. Write `frozen=True` again, for the type checker."""


class View(msgspec.Struct, frozen=True):
    """A response body. Write `frozen=True` again, for the type checker."""


class MalformedJsonError(InvalidInputError, code="malformed_json", status=400):
    """The body is not one JSON text in UTF-8 (RFC 8259).

    A byte-order mark, NaN and Infinity, a comma too many or anything after the text are errors too.
    """


class EmptyBodyError(InvalidInputError, code="empty_body", status=400):
    """This request needs a JSON body."""


class DeepBodyError(InvalidInputError, code="body_too_deep", status=400):
    """The body nests objects and lists too deep; 32 levels are the limit."""


class RepeatedFieldError(InvalidInputError, code="repeated_field", status=400):
    """The body names a field twice in one object, so that it is not clear which value is meant."""


class UnknownFieldError(InvalidInputError, code="unknown_field", status=400):
    """The body has a field that this request does not know."""


class MissingFieldError(InvalidInputError, code="missing_field", status=400):
    """The body lacks a field that this request needs."""


class InvalidFieldError(InvalidInputError, code="invalid_field", status=400):
    """A field has a value of the wrong type or outside its limits.

    Types are exact: an integer is not written as text (`"5"`) or with a fraction (`5.0`).
    """


class MediaTypeError(ShanraqError, code="unsupported_media_type", status=415):
    """The body is not of a media type that this request takes.

    That is `Content-Type: application/json`, in UTF-8, unless the request takes a file.
    """


class LargeBodyError(ShanraqError, code="body_too_large", status=413):
    """The body is larger than this server accepts."""


class SlowBodyError(ShanraqError, code="body_timeout", status=408):
    """The body did not arrive in time."""


class ClientGoneError(ShanraqError, code="client_gone", status=400):
    """The client closed the connection before its body had arrived."""


class StrictDTO(AbstractDTO[Any]):
    """Hand a body to the route as the struct it declares (`data: JSONBody[...]`), read by `decode`."""

    __slots__ = ()
    # What documents the body is the declared struct itself, so no transfer model is made.
    _dto_backends: ClassVar[dict[str, Any]] = {}

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Iterator[DTOFieldDefinition]:  # type: ignore[override]
        yield from ()

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: type[Any] | None = None
    ) -> None:
        decoder_of(field_definition.annotation)  # A type that cannot be decoded is found at start.

    @classmethod
    def create_openapi_schema(cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any) -> Any:
        return schema_creator.for_field_definition(field_definition)

    def decode_bytes(self, value: bytes) -> Any:
        field = self.asgi_connection.route_handler.parsed_data_field
        return decode(value, field.annotation)


@cache
def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the strict decoder of a type."""
    return msgspec.json.Decoder(kind, strict=True)


def decode(body: bytes, kind: Any) -> Any:
    """Decode a body strictly as `kind`.

    Raises EmptyBodyError, MalformedJsonError, DeepBodyError, RepeatedFieldError, UnknownFieldError, MissingFieldError or
    InvalidFieldError, the last four with the path of the field (`card.number`, `items[].sku`).
    """
    if not body:
        raise EmptyBodyError
    if _depth_above(body, DEPTH_LIMIT):
        raise DeepBodyError
    try:
        value = decoder_of(kind).decode(body)
        # The decoder takes the last of two equal keys.
        _read_keys(body.decode())
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except _RepeatedKeyError:
        raise RepeatedFieldError(field=_repeated_place(body)) from None
    except msgspec.DecodeError as error:
        raise MalformedJsonError(_sentence(str(error))) from None
    except (UnicodeDecodeError, ValueError):
        raise MalformedJsonError from None
    return value


def check_media_type(content_type: bytes | None) -> None:
    """Raise MediaTypeError unless the header says JSON, in UTF-8 if it says anything of it."""
    if content_type == b"application/json":
        return
    if content_type is None or not _MEDIA_TYPE.fullmatch(content_type.decode("latin-1")):
        raise MediaTypeError(field="Content-Type")


def check_upload(headers: Mapping[bytes, bytes], media_types: Sequence[str]) -> None:
    """Raise MediaTypeError unless a file comes as one of the media types, plain or compressed by gzip."""
    kind, semicolon, rest = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    if kind.strip().lower() not in media_types or not _PARAMETERS.fullmatch(semicolon + rest):
        raise MediaTypeError(f"must be {' or '.join(media_types)}", field="Content-Type")
    if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b"gzip"):
        raise MediaTypeError("must be gzip, or left out", field="Content-Encoding")


class BoundedBody:
    """Receive a body within a size and a time; the ASGI `receive` of a request.

    Raises LargeBodyError (413), SlowBodyError (408) and ClientGoneError while the body arrives.
    """

    __slots__ = ("_complete", "_deadline", "_left", "_receive")

    def __init__(self, receive: Receive, limit_bytes: int, timeout_seconds: float) -> None:
        self._receive = receive
        self._left = limit_bytes
        self._deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._complete = False

    async def read(self) -> bytes:
        """Return the whole body."""
        message: Any = await self()
        if not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            return body
        parts = [message.get("body", b"")]
        while message.get("more_body", False):
            message = await self()
            parts.append(message.get("body", b""))
        return b"".join(parts)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        more = True
        while more:
            message: Any = await self()
            if body := message.get("body", b""):
                yield body
            more = message.get("more_body", False)

    async def __call__(self) -> HTTPReceiveMessage:
        if self._complete:
            return await self._receive()  # type: ignore[return-value]
        try:
            async with asyncio.timeout_at(self._deadline):
                message: Any = await self._receive()
        except TimeoutError:
            raise SlowBodyError from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise LargeBodyError
        self._complete = not message.get("more_body", False)
        return message  # type: ignore[no-any-return]


class _RepeatedKeyError(Exception):
    """Two members of an object have the same name."""


def _distinct_keys(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _RepeatedKeyError


_read_keys = json.JSONDecoder(object_pairs_hook=_distinct_keys).decode


def _repeated_place(body: bytes) -> str | None:
    """Return the path of the first repeated key; only for a body that has one."""

    def place(value: Any, path: str) -> str | None:
        if isinstance(value, tuple):
            seen = set()
            for key, member in value:
                inner = f"{path}.{key}" if path else key
                if key in seen:
                    return inner
                seen.add(key)
                if found := place(member, inner):
                    return found
        if isinstance(value, list):
            for index, member in enumerate(value):
                if found := place(member, f"{path}[{index}]"):
                    return found
        return None

    return _shown(place(json.loads(body, object_pairs_hook=tuple), "") or "")


def _depth_above(body: bytes, limit: int) -> bool:
    if body.count(b"{") + body.count(b"[") <= limit:
        return False
    depth = 0
    for match in _BRACKETS.finditer(body):
        if match[1]:
            depth += 1
            if depth > limit:
                return True
        elif match[2]:
            depth -= 1
    return False


def _refusal(text: str) -> InvalidInputError:
    found = _PLACE.search(text)
    parent = ""
    if found:
        parent = found[1].replace("[...]", "[]").removeprefix(".")
        text = text[: found.start()]
    if unknown := _UNKNOWN.fullmatch(text):
        return UnknownFieldError(field=_within(parent, unknown[1]))
    if missing := _MISSING.fullmatch(text):
        return MissingFieldError(field=_within(parent, missing[1]))
    return InvalidFieldError(reason_of(text), field=_shown(parent))


def reason_of(text: str) -> str:
    """Return what msgspec says of a value, without the value, which may be a card number."""
    if text.startswith("Invalid "):
        return "must be one of the values in the documentation"
    return _sentence(_PLACE.sub("", text))


def _within(parent: str, name: str) -> str | None:
    return _shown(f"{parent}.{name}" if parent else name)


def _shown(path: str) -> str | None:
    """Return a path that is fit for a header or a log: a client chooses the names of unknown fields."""
    return "".join(char if char.isprintable() else "?" for char in path[:_FIELD_LENGTH]) or None


def _sentence(text: str) -> str:
    text = text.replace("`", "").removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:]
