"""The control API under /__sim/: look into the simulator and make it go wrong; off without a token."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from shanraq.simulators.mastercard.faults import Fault, FaultKind
from shanraq.simulators.mastercard.gateway import Scripted
from shanraq.simulators.mastercard.triggers import GATEWAY_CODES
from shanraq.simulators.mastercard.validate import OPERATIONS
from shanraq.simulators.serve import Reply, Request

if TYPE_CHECKING:
    from shanraq.simulators.mastercard.simulator import MastercardSimulator

PREFIX: Final = "/__sim/"

_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class _Fault(msgspec.Struct, forbid_unknown_fields=True):
    kind: FaultKind
    operation: str = ""
    count: _Count = 1
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    processed: bool = False


class _Script(msgspec.Struct, forbid_unknown_fields=True):
    gateway_code: str
    operation: str = ""
    approved_minor: Annotated[int, msgspec.Meta(ge=0)] = 0
    count: _Count = 1


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: Annotated[float, msgspec.Meta(ge=0, le=10 * 366 * 86_400)]


class _Triggers(msgspec.Struct, forbid_unknown_fields=True):
    expiry: dict[str, str]


def control(simulator: MastercardSimulator, request: Request, token: str) -> Reply:
    """Answer one request of the control API: 401 without its token, 400 for a body it cannot use, 404 for others."""
    presented = request.headers.get("authorization", "").encode("latin-1")
    if not hmac.compare_digest(presented, f"Bearer {token}".encode()):
        return _json(401, {"error": "the control token is missing or wrong"})
    try:
        return _json(200, _command(simulator, request))
    except (ValueError, RecursionError) as error:
        return _json(400, {"error": str(error)})
    except OSError as error:
        return _json(500, {"error": f"the journal cannot be written: {error.strerror}"})
    except LookupError:
        return _json(404, {"error": "no such control"})


def _command(simulator: MastercardSimulator, request: Request) -> dict[str, Any]:
    path = request.target.partition("?")[0].removeprefix(PREFIX).removesuffix("/")
    match request.method, path:
        case "POST", "reset":
            simulator.reset()
        case "POST", "faults":
            asked = msgspec.json.decode(request.body, type=_Fault)
            simulator.inject(Fault(asked.kind, asked.operation, asked.count, asked.seconds, asked.processed))
        case "GET", "faults":
            return {"faults": [msgspec.to_builtins(fault) for fault in simulator.waiting_faults()]}
        case "DELETE", "faults":
            simulator.clear_faults()
        case "POST", "script":
            script = msgspec.json.decode(request.body, type=_Script)
            if script.gateway_code not in GATEWAY_CODES:
                raise ValueError("gateway_code is not one of the gateway's")
            if script.operation and script.operation not in OPERATIONS:
                raise ValueError("operation is not one of the gateway's")
            simulator.gateway.scripted += [
                Scripted(script.gateway_code, script.operation, script.approved_minor) for _ in range(script.count)
            ]
        case "PUT", "triggers":
            simulator.gateway.triggers.replace_expiry(msgspec.json.decode(request.body, type=_Triggers).expiry)
        case "POST", "clock":
            simulator.advance_clock(msgspec.json.decode(request.body, type=_Clock).advance_seconds)
        case "POST", "cutoff":
            return {"settled": simulator.cut_off()}
        case "GET", "journal":
            return {"transactions": simulator.journal()}
        case "GET", "orders":
            return {"orders": simulator.orders()}
        case _:
            return simulator.control_more(request.method, path, request)
    return {"ok": True}


def _json(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, msgspec.json.encode(body))
