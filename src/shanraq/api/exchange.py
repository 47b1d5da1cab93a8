"""What is known of a request while it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request

from shanraq.api.ratelimit import Allowance
from shanraq.api.strict import BoundedBody
from shanraq.core.actor import Actor

KEY: Final = "shanraq.exchange"
"""Where the scope of a request keeps its exchange."""


@dataclass(slots=True)
class Exchange:
    """A request: `actor` is known behind the gate, `allowance` when it was counted."""

    request_id: str
    method: str
    headers: dict[bytes, bytes]
    arriving: BoundedBody
    actor: Actor | None = None
    allowance: Allowance | None = None
    _body: bytes | None = None

    async def body(self) -> bytes:
        """Return the whole body; raise LargeBodyError (413), SlowBodyError (408), ClientGoneError."""
        if self._body is None:
            self._body = await self.arriving.read()
        return self._body


def exchange_of(scope: Mapping[str, Any]) -> Exchange:
    """Return what is known of the request."""
    exchange: Exchange = scope[KEY]
    return exchange


class ExchangeRequest(Request[Any, Any, Any]):
    """Litestar's view of a request, which reads the body through its exchange."""

    async def body(self) -> bytes:
        """Return the whole body; raises as `Exchange.body`."""
        return await exchange_of(self.scope).body()
