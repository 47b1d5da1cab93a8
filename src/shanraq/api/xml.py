"""Answer with XML, whole or a piece at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from litestar.types import Receive, Scope, Send

from shanraq.api.answer import Answer

MEDIA_TYPE: Final = "application/xml"
"""A route that answers with XmlAnswer declares this as its media_type."""


class XmlAnswer(Answer[bytes | AsyncIterator[bytes]]):
    """Answer with an XML document, as bytes or as pieces that are sent as they come."""

    def to_asgi_response(self, app: Any, request: Any, **defaults: Any) -> Any:
        """Return the application that sends this answer; `defaults` are what the route declares."""
        if isinstance(self.content, bytes):
            self.media_type = MEDIA_TYPE
            return super().to_asgi_response(app, request, **defaults)
        return _Streamed(self.status_code or defaults.get("status_code") or 200, self.headers, self.content)


class _Streamed:
    """An answer whose length is not known before its end."""

    __slots__ = ("_headers", "_pieces", "_status")

    def __init__(self, status: int, headers: Any, pieces: AsyncIterator[bytes]) -> None:
        self._status = status
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._headers.append((b"content-type", MEDIA_TYPE.encode()))
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What fails before the first piece is refused as usual: nothing has been sent yet.
        started = False
        async for piece in self._pieces:
            if not started:
                await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
                started = True
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
