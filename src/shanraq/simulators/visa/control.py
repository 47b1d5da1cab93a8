"""The control API under `/__sim/`: how a test drives the simulator. It has its own token and knows no merchants.

`POST reset` · `GET`, `POST`, `DELETE faults` · `PUT index-lag {seconds}` · `PUT idempotency {enabled}` ·
`POST clock {advance_seconds}` · `POST cutoff` · `GET journal`. Every request carries `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Any, Protocol

import msgspec

from shanraq.simulators.serve import Reply, Request
from shanraq.simulators.visa.faults import Fault, FaultKind
from shanraq.simulators.visa.render import json_reply
from shanraq.simulators.visa.route import Verb

PREFIX = "/__sim/"

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=10 * 366 * 86400)]


class Controlled(Protocol):
    """What the control API drives."""

    index_lag_seconds: float
    idempotency: bool

    def reset(self) -> None: ...
    def inject(self, fault: Fault) -> None: ...
    def waiting_faults(self) -> list[Fault]: ...
    def clear_faults(self) -> None: ...
    def advance_clock(self, seconds: float) -> None: ...
    def cut_off(self) -> int: ...
    def journal(self) -> list[dict[str, Any]]: ...


class _Fault(msgspec.Struct, forbid_unknown_fields=True):
    kind: FaultKind
    operation: Verb | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    processed: bool = False


class _IndexLag(msgspec.Struct, forbid_unknown_fields=True):
    seconds: _Seconds


class _Idempotency(msgspec.Struct, forbid_unknown_fields=True):
    enabled: bool


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: _Seconds


def control(simulator: Controlled, request: Request, token: str) -> Reply:
    """Answer one request of the control API: 401 without its token, 400 for a body it cannot use, 404 for others."""
    presented = request.headers.get("authorization", "").encode("latin-1")
    if not hmac.compare_digest(presented, f"Bearer {token}".encode()):
        return json_reply(401, {"error": "the control token is missing or wrong"})
    try:
        return json_reply(200, _command(simulator, request))
    except (ValueError, RecursionError) as error:
        return json_reply(400, {"error": str(error)})
    except OSError as error:
        return json_reply(500, {"error": f"the journal cannot be written: {error.strerror}"})
    except LookupError:
        return json_reply(404, {"error": "no such control"})


def _command(simulator: Controlled, request: Request) -> dict[str, Any]:
    path = request.target.partition("?")[0].removeprefix(PREFIX).removesuffix("/")
    match request.method, path:
        case "POST", "reset":
            simulator.reset()
        case "POST", "faults":
            asked = msgspec.json.decode(request.body, type=_Fault)
            simulator.inject(Fault(asked.kind, asked.operation, asked.count, asked.seconds, asked.processed))
        case "GET", "faults":
            return {"faults": [_describe(fault) for fault in simulator.waiting_faults()]}
        case "DELETE", "faults":
            simulator.clear_faults()
        case "PUT", "index-lag":
            simulator.index_lag_seconds = msgspec.json.decode(request.body, type=_IndexLag).seconds
        case "PUT", "idempotency":
            simulator.idempotency = msgspec.json.decode(request.body, type=_Idempotency).enabled
        case "POST", "clock":
            simulator.advance_clock(msgspec.json.decode(request.body, type=_Clock).advance_seconds)
        case "POST", "cutoff":
            return {"transmitted": simulator.cut_off()}
        case "GET", "journal":
            return {"operations": simulator.journal()}
        case _:
            raise LookupError(path)
    return {"ok": True}


def _describe(fault: Fault) -> dict[str, Any]:
    return {
        "kind": fault.kind.value,
        "operation": fault.verb.value if fault.verb is not None else None,
        "count": fault.count,
        "seconds": fault.seconds,
        "processed": fault.processed,
    }
