"""Answer with a view: JSON by msgspec, without the work that serves templates, cookies and background tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar import Response
from litestar.params import HeaderParameter
from litestar.types import Receive, Scope, Send

from shanraq.core.once import Given

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode

IdempotencyKey = Annotated[str | None, HeaderParameter(name="Idempotency-Key")]
"""The Idempotency-Key header as sent, for `once.Request.of`, which refuses a missing or malformed one."""


class Answer(Response[T], Generic[T]):
    """Answer with a body and, if need be, headers of its own. Bytes are sent as they are."""

    def to_asgi_response(self, app: Any, request: Any, **defaults: Any) -> Any:
        """Return the application that sends this answer; `defaults` are what the route declares."""
        media_type = self.media_type or defaults.get("media_type") or "application/json"
        status = self.status_code or defaults.get("status_code") or 200
        headers = defaults.get("headers")
        return _Sent(
            status,
            str(getattr(media_type, "value", media_type)),
            self.content,
            {**headers, **self.headers} if headers else self.headers,
        )


class _Sent:
    """An answer ready to be sent."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, media_type: str, content: Any, headers: Any) -> None:
        self._status = status
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        if status == 204:
            self._body = b""
            return
        self._body = content if isinstance(content, bytes) else _encode(content)
        self._headers.append((b"content-type", media_type.encode("latin-1")))
        self._headers.append((b"content-length", b"%d" % len(self._body)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


class Streamed(Answer[T], Generic[T]):
    """Answer with chunks of bytes, sent one after another: the answer as a whole is never in memory."""

    def __init__(self, chunks: Iterable[bytes], media_type: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(None, media_type=media_type, headers=dict(headers or {}))  # type: ignore[arg-type]
        self._chunks = chunks

    def to_asgi_response(self, app: Any, request: Any, **defaults: Any) -> Any:
        """Return the application that sends the chunks."""
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        headers.append((b"content-type", str(self.media_type).encode("latin-1")))
        chunks = self._chunks

        async def sent(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        return sent


def answer_given(
    given: Given[T], status_code: int | None = None, headers: Mapping[str, str] | None = None
) -> Answer[T]:
    """Answer a keyed request, and say so if the answer had been given before."""
    if given.replayed:
        headers = {**(headers or {}), "Idempotent-Replayed": "true"}
    return Answer(given.value, headers=headers, status_code=status_code)
