"""Call a route straight: the writes at fixed paths, which are most of what a payment platform is asked for.

Litestar declares, documents and checks these routes at start like all others; at run time its router, its dependencies and its
stack of handlers took about 15 % of the server's time. What a client sees is the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.types import Send

from shanraq.api.answer import Answer
from shanraq.api.exchange import Exchange
from shanraq.api.gate import Gate, Policy
from shanraq.api.strict import decode

_KEY_HEADER: Final = b"idempotency-key"
_PARAMETERS: Final = frozenset(("data", "actor", "services", "idempotency_key"))


@dataclass(frozen=True, slots=True)
class Direct:
    """A route that takes a body, its actor, the services and perhaps an Idempotency-Key, and nothing else."""

    path: str
    gate: Gate
    policy: Policy
    body_type: Any
    keyed: bool
    services: object
    status_code: int
    function: Callable[..., Awaitable[Any]]

    async def __call__(self, scope: MutableMapping[str, Any], exchange: Exchange, send: Send) -> None:
        """Answer the request; raise what refuses it."""
        scope["path_template"] = self.path
        await self.gate.admit(scope, exchange, self.policy)
        given: dict[str, Any] = {
            "data": decode(await exchange.body(), self.body_type),
            "actor": exchange.actor,
            "services": self.services,
        }
        if self.keyed:
            key = exchange.headers.get(_KEY_HEADER)
            given["idempotency_key"] = None if key is None else key.decode("latin-1")
        value = await self.function(**given)
        answer = value if isinstance(value, Answer) else Answer(value)
        await answer.to_asgi_response(None, None, status_code=self.status_code)(scope, exchange.arriving, send)


def direct_routes(app: Litestar, gate: Gate, services: object) -> dict[tuple[str, str], Direct]:
    """Return the routes of an application that are called straight, by method and path."""
    found: dict[tuple[str, str], Direct] = {}
    for route in app.routes:
        if isinstance(route, HTTPRoute) and not route.path_parameters:
            for handler in route.route_handlers:
                names = set(handler.parsed_fn_signature.parameters)
                if handler.http_methods == {"POST"} and {"data", "actor", "services"} <= names <= _PARAMETERS:
                    found["POST", route.path] = Direct(
                        path=route.path,
                        gate=gate,
                        policy=gate.policy_of(handler),
                        body_type=handler.parsed_fn_signature.parameters["data"].annotation,
                        keyed="idempotency_key" in names,
                        services=services,
                        status_code=handler.status_code,
                        function=handler.fn,
                    )
    return found
