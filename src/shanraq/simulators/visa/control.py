"""The control API under `/__sim/`: how a test drives the simulator. It has its own token and knows no merchants.

| request | what it does |
|---|---|
| `POST reset` | forget everything but used tokens |
| `GET state` | clock, settings, counts |
| `GET journal` | every operation of every merchant |
| `GET`, `POST`, `DELETE faults` | troubles of the next requests |
| `GET`, `POST`, `DELETE script` | answers of the next requests: `{operation, reason, count}` |
| `PUT index-lag {seconds}` | how far the search is behind |
| `PUT idempotency {enabled}` | whether `v-c-idempotency-id` counts |
| `PUT challenge {required}` | whether validation waits for the challenge page |
| `PUT report-delay {seconds}` | how long a report is being made |
| `POST clock {advance_seconds}`, `POST cutoff` | time, and the end of the day |
| `GET keys`, `POST keys {merchant_id, key_id, secret}` | keys of merchants, and a new one |
| `DELETE keys {key_id}` | the end of a key |
| `GET`, `PUT fees` | the fee schedule |
| `GET`, `POST chargebacks`, `POST chargebacks/{dispute}` | disputes, and their next stage |
| `GET batches` | batches of all merchants with gross, fee and net of each transaction in minor units |
| `GET`, `DELETE notifications` | what was sent to webhooks |
| `POST notifications {merchant_id, event_type, data}` | send one by hand |
| `GET`, `POST`, `DELETE webhook-faults` | troubles of the next notifications |

Every request carries `Authorization: Bearer <token>`.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec

from shanraq.simulators.outbox import NotificationFault, NotificationFaultKind
from shanraq.simulators.serve import Reply, Request
from shanraq.simulators.visa.faults import Fault, FaultKind
from shanraq.simulators.visa.model import Batch, Kind
from shanraq.simulators.visa.render import json_reply
from shanraq.simulators.visa.resources import Chargeback, FeeSchedule
from shanraq.simulators.visa.route import Verb
from shanraq.simulators.visa.script import ScriptedAnswer
from shanraq.simulators.visa.services import Services
from shanraq.simulators.visa.settle import fees_text, settlement_of
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.verify import MerchantKey, Verifier
from shanraq.standards.jose import HmacKey

PREFIX = "/__sim/"

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=10 * 366 * 86400)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_BasisPoints = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
_Minor = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
_Stage = Literal[
    "retrieval",
    "pre_dispute",
    "chargeback",
    "representment",
    "pre_arbitration",
    "arbitration",
    "won",
    "lost",
    "accepted",
]


class Controlled(Protocol):
    """What the control API drives."""

    index_lag_seconds: float
    idempotency: bool

    @property
    def verifier(self) -> Verifier: ...
    @property
    def services(self) -> Services: ...
    @property
    def store(self) -> Store: ...
    def reset(self) -> None: ...
    def inject(self, fault: Fault) -> None: ...
    def waiting_faults(self) -> list[Fault]: ...
    def clear_faults(self) -> None: ...
    def advance_clock(self, seconds: float) -> None: ...
    def cut_off(self) -> int: ...
    def set_fees(self, fees: FeeSchedule) -> None: ...
    def journal(self) -> list[dict[str, Any]]: ...


class _Fault(msgspec.Struct, forbid_unknown_fields=True):
    kind: FaultKind
    operation: Verb | None = None
    count: _Count = 1
    seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    processed: bool = False
    reason: Literal["SYSTEM_ERROR", "SERVER_TIMEOUT", "SERVICE_TIMEOUT"] = "SYSTEM_ERROR"


class _WebhookFault(msgspec.Struct, forbid_unknown_fields=True):
    kind: NotificationFaultKind
    count: _Count = 1
    seconds: _Seconds = 0.0


class _Scripted(msgspec.Struct, forbid_unknown_fields=True):
    operation: Verb
    reason: str
    count: _Count = 1


class _SecondsOf(msgspec.Struct, forbid_unknown_fields=True):
    seconds: _Seconds


class _Enabled(msgspec.Struct, forbid_unknown_fields=True):
    enabled: bool


class _Required(msgspec.Struct, forbid_unknown_fields=True):
    required: bool


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: _Seconds


class _Fees(msgspec.Struct, forbid_unknown_fields=True):
    interchange_basis_points: _BasisPoints = 0
    interchange_per_item: _Minor = 0
    assessment_basis_points: _BasisPoints = 0
    discount_basis_points: _BasisPoints = 0
    discount_per_item: _Minor = 0
    refund_per_item: _Minor = 0
    chargeback_per_item: _Minor = 0


class _Dispute(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    reason_code: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z.]{1,8}$")] = "10.4"
    stage: Literal["retrieval", "pre_dispute", "chargeback"] = "chargeback"
    amount_minor: _Minor | None = None


class _Stages(msgspec.Struct, forbid_unknown_fields=True):
    stage: _Stage


class _Notice(msgspec.Struct, forbid_unknown_fields=True):
    merchant_id: str
    event_type: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9._-]{1,100}$")]
    data: dict[str, Any] = {}


class _NewKey(msgspec.Struct, forbid_unknown_fields=True):
    merchant_id: str
    key_id: str
    secret: str


class _OldKey(msgspec.Struct, forbid_unknown_fields=True):
    key_id: str


def control(simulator: Controlled, request: Request, token: str) -> Reply:
    """Answer one request of the control API: 401 without its token, 400 for a body it cannot use, 404 for others."""
    presented = request.headers.get("authorization", "").encode("latin-1")
    if not hmac.compare_digest(presented, f"Bearer {token}".encode()):
        return json_reply(401, {"error": "the control token is missing or wrong"})
    path = request.target.partition("?")[0].removeprefix(PREFIX).removesuffix("/")
    name, _, argument = path.partition("/")
    command = _COMMANDS.get((request.method, name))
    if command is None or (argument and (request.method, name) != ("POST", "chargebacks")):
        return json_reply(404, {"error": "no such control"})
    try:
        return json_reply(200, command(simulator, request.body, argument))
    except (ValueError, RecursionError) as error:
        return json_reply(400, {"error": str(error)})
    except OSError as error:
        return json_reply(500, {"error": f"the journal cannot be written: {error.strerror}"})


_Command = Callable[[Controlled, bytes, str], dict[str, Any]]
_OK: Final = {"ok": True}


def _reset(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.reset()
    return _OK


def _state(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    services, store = simulator.services, simulator.store
    return {
        "time": services.gateway.now().isoformat(),
        "clock_offset_seconds": store.clock_offset_seconds,
        "index_lag_seconds": simulator.index_lag_seconds,
        "idempotency": simulator.idempotency,
        "challenge_required": services.payer.challenge_required,
        "report_delay_seconds": services.reports.delay_seconds,
        "operations": len(store.records),
        "pending": len(store.pending()),
        "batches": len(store.batches),
        "faults": len(simulator.waiting_faults()),
        "scripted": len(services.gateway.script.waiting),
        "notifications_waiting": services.deliveries.waiting,
        "fees": fees_text(store.fees),
    }


def _journal(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    return {"operations": simulator.journal()}


def _add_fault(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    asked = msgspec.json.decode(body, type=_Fault)
    simulator.inject(Fault(asked.kind, asked.operation, asked.count, asked.seconds, asked.processed, asked.reason))
    return _OK


def _list_faults(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    return {
        "faults": [
            {
                "kind": fault.kind.value,
                "operation": fault.verb.value if fault.verb is not None else None,
                "count": fault.count,
                "seconds": fault.seconds,
                "processed": fault.processed,
            }
            | ({"reason": fault.reason} if fault.kind is FaultKind.HTTP_502 else {})
            for fault in simulator.waiting_faults()
        ]
    }


def _clear_faults(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.clear_faults()
    return _OK


def _add_script(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    asked = msgspec.json.decode(body, type=_Scripted)
    simulator.services.gateway.script.waiting.append(ScriptedAnswer(asked.operation, asked.reason, asked.count))
    return _OK


def _list_script(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    waiting = simulator.services.gateway.script.waiting
    return {"script": [{"operation": one.verb.value, "reason": one.reason, "count": one.count} for one in waiting]}


def _clear_script(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.services.gateway.script.waiting.clear()
    return _OK


def _set_index_lag(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.index_lag_seconds = msgspec.json.decode(body, type=_SecondsOf).seconds
    return _OK


def _set_idempotency(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.idempotency = msgspec.json.decode(body, type=_Enabled).enabled
    return _OK


def _set_challenge(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.services.payer.challenge_required = msgspec.json.decode(body, type=_Required).required
    return _OK


def _set_report_delay(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.services.reports.delay_seconds = msgspec.json.decode(body, type=_SecondsOf).seconds
    return _OK


def _advance_clock(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.advance_clock(msgspec.json.decode(body, type=_Clock).advance_seconds)
    return _OK


def _cut_off(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    return {"transmitted": simulator.cut_off()}


def _list_keys(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    known = simulator.verifier.keys()
    return {
        "keys": [
            {"key_id": key_id, "merchant_id": key.merchant_id, "owner": key.owner, "algorithm": key.key.algorithm}
            for key_id, key in known.items()
        ]
    }


def _add_key(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    asked = msgspec.json.decode(body, type=_NewKey)
    owners = {key.owner for key in simulator.verifier.keys().values() if key.owner == key.merchant_id}
    if asked.merchant_id not in owners:
        raise ValueError("no merchant has this id")
    try:
        secret = base64.b64decode(asked.secret, validate=True)
    except ValueError:
        raise ValueError("secret must be base64") from None
    key = MerchantKey(asked.merchant_id, asked.merchant_id, HmacKey(secret))
    simulator.verifier.add_key(asked.key_id, key)
    return {"ok": True}


def _remove_key(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.verifier.remove_key(msgspec.json.decode(body, type=_OldKey).key_id)
    return {"ok": True}


def _get_fees(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    return fees_text(simulator.store.fees)


def _set_fees(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    asked = msgspec.json.decode(body, type=_Fees)
    simulator.set_fees(FeeSchedule(**{name: getattr(asked, name) for name in asked.__struct_fields__}))
    return _OK


def _open_chargeback(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    disputes = simulator.services.disputes
    if argument:
        return _describe_dispute(disputes.advance(argument, msgspec.json.decode(body, type=_Stages).stage))
    asked = msgspec.json.decode(body, type=_Dispute)
    return _describe_dispute(disputes.open(asked.id, asked.stage, asked.reason_code, asked.amount_minor))


def _list_chargebacks(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    return {"chargebacks": [_describe_dispute(step) for step in simulator.store.all_resources(Chargeback)]}


def _describe_dispute(step: Chargeback) -> dict[str, Any]:
    return {
        "dispute": step.dispute_id,
        "merchant_id": step.merchant_id,
        "id": step.target_id,
        "time": step.time.isoformat(),
        "stage": step.stage,
        "reason_code": step.reason_code,
        "amount_minor": step.amount,
        "currency": step.currency,
        "moved_minor": step.money,
        "fee_minor": step.fee,
    }


def _list_batches(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    return {"batches": [_describe_batch(batch) for batch in simulator.store.batches.values()]}


def _describe_batch(batch: Batch) -> dict[str, Any]:
    lines = [settlement_of(record, batch) for record in batch.records]
    return {
        "id": batch.id,
        "merchant_id": batch.merchant_id,
        "time": batch.time.isoformat(),
        "transactions": [
            {
                "id": line.record.operation.id,
                "kind": "sale"
                if line.record.operation.kind is Kind.AUTHORIZATION
                else line.record.operation.kind.value,
                "code": line.record.operation.code,
                "currency": line.record.operation.currency,
                "gross_minor": line.sign * line.gross,
                "fee_minor": line.fee,
                "net_minor": line.net,
            }
            for line in lines
        ],
    }


def _list_notifications(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    deliveries = simulator.services.deliveries
    return {
        "waiting": deliveries.waiting,
        "sent": [
            {
                "id": one.notification.id,
                "webhook_id": one.notification.webhook_id,
                "event_type": one.notification.event_type,
                "url": one.notification.url,
                "attempt": one.notification.attempt,
                "status": one.status,
                "error": one.error,
            }
            for one in deliveries.log
        ],
    }


def _clear_notifications(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.services.deliveries.forget()
    return _OK


def _send_notification(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    asked = msgspec.json.decode(body, type=_Notice)
    sent = simulator.services.notifications.send_by_hand(asked.merchant_id, asked.event_type, asked.data)
    return {"sent": sent}


def _add_webhook_fault(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    asked = msgspec.json.decode(body, type=_WebhookFault)
    simulator.services.deliveries.faults.append(NotificationFault(asked.kind, asked.count, asked.seconds))
    return _OK


def _list_webhook_faults(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    faults = simulator.services.deliveries.faults
    return {"faults": [{"kind": one.kind.value, "count": one.count, "seconds": one.seconds} for one in faults]}


def _clear_webhook_faults(simulator: Controlled, body: bytes, argument: str) -> dict[str, Any]:
    simulator.services.deliveries.faults.clear()
    return _OK


_COMMANDS: Final[dict[tuple[str, str], _Command]] = {
    ("POST", "reset"): _reset,
    ("GET", "state"): _state,
    ("GET", "journal"): _journal,
    ("POST", "faults"): _add_fault,
    ("GET", "faults"): _list_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "script"): _add_script,
    ("GET", "script"): _list_script,
    ("DELETE", "script"): _clear_script,
    ("PUT", "index-lag"): _set_index_lag,
    ("PUT", "idempotency"): _set_idempotency,
    ("PUT", "challenge"): _set_challenge,
    ("PUT", "report-delay"): _set_report_delay,
    ("POST", "clock"): _advance_clock,
    ("POST", "cutoff"): _cut_off,
    ("GET", "keys"): _list_keys,
    ("POST", "keys"): _add_key,
    ("DELETE", "keys"): _remove_key,
    ("GET", "fees"): _get_fees,
    ("PUT", "fees"): _set_fees,
    ("GET", "chargebacks"): _list_chargebacks,
    ("POST", "chargebacks"): _open_chargeback,
    ("GET", "batches"): _list_batches,
    ("GET", "notifications"): _list_notifications,
    ("DELETE", "notifications"): _clear_notifications,
    ("POST", "notifications"): _send_notification,
    ("GET", "webhook-faults"): _list_webhook_faults,
    ("POST", "webhook-faults"): _add_webhook_fault,
    ("DELETE", "webhook-faults"): _clear_webhook_faults,
}
