"""The control interface: look into the simulator and make others do things, with the control token."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from shanraq.simulators.iso20022.clearing import OTHER_BANK, UnknownPaymentError
from shanraq.simulators.iso20022.faults import Fault, FaultKind
from shanraq.simulators.iso20022.write import Incoming
from shanraq.simulators.serve import Reply, Request
from shanraq.standards.iso20022.codes import is_code
from shanraq.standards.iso20022.identifiers import iban_fault, same_bic

if TYPE_CHECKING:
    from shanraq.simulators.iso20022.simulator import ClearingSimulator

_NO_CONTROLS: Final = r"^[^\x00-\x1f\ufffe\uffff]*$"
_Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400 * 400)]


class _Fault(msgspec.Struct, forbid_unknown_fields=True):
    kind: FaultKind
    count: _Count = 1
    seconds: _Seconds = 1.0


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    uetr: str
    reason: str


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: _Seconds


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=140, pattern=_NO_CONTROLS)]
_Account = Annotated[str, msgspec.Meta(min_length=1, max_length=34, pattern="^[A-Za-z0-9]+$")]
_Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=35, pattern=_NO_CONTROLS)]
_Remittance = Annotated[str, msgspec.Meta(max_length=140, pattern=_NO_CONTROLS)]


class _Credit(msgspec.Struct, forbid_unknown_fields=True):
    creditor_account: _Account
    amount: Annotated[int, msgspec.Meta(ge=1, le=10**14)]
    currency: str = "KZT"
    participant: str = ""
    creditor: _Name = "Creditor"
    debtor: _Name = "Debtor"
    debtor_account: _Account = "KZ306010000000000077"
    end_to_end_id: _Reference = "NOTPROVIDED"
    remittance: _Remittance = ""


def control(simulator: ClearingSimulator, request: Request, name: str) -> Reply:
    """Carry out one request of the control interface."""
    try:
        match request.method, name:
            case "GET", "state":
                return _json(_state(simulator))
            case "GET", "payments":
                return _payments(simulator, request)
            case "POST", "faults":
                fault = msgspec.json.decode(request.body, type=_Fault)
                simulator.faults.waiting.append(Fault(fault.kind, fault.count, fault.seconds))
            case "POST", "return":
                named = _named(request, "ExternalReturnReason1Code")
                simulator.clearing.return_payment(named.uetr, named.reason)
            case "POST", "recall":
                named = _named(request, "ExternalCancellationReason1Code")
                simulator.clearing.recall(named.uetr, named.reason)
            case "POST", "credit":
                return _credit(simulator, msgspec.json.decode(request.body, type=_Credit))
            case "POST", "close-day":
                return _json({"statements": simulator.clearing.close_day()})
            case "POST", "clock":
                simulator.clearing.advance(msgspec.json.decode(request.body, type=_Clock).advance_seconds)
                while simulator.clearing.carry_on():
                    pass
            case _:
                return _json({"code": "not_found", "detail": f"there is no {request.method} /control/{name}"}, 404)
    except (msgspec.MsgspecError, ValueError) as error:
        return _json({"code": "malformed", "detail": str(error)}, 400)
    except UnknownPaymentError:
        return _json({"code": "unknown_payment", "detail": "no payment with this UETR is in the state for it"}, 404)
    return _json(_state(simulator))


def _named(request: Request, codes: str) -> _Named:
    named = msgspec.json.decode(request.body, type=_Named)
    if not is_code(codes, named.reason):
        raise ValueError(f"reason is not a code of {codes}")
    return named


def _credit(simulator: ClearingSimulator, credit: _Credit) -> Reply:
    participants = simulator.credentials.participants
    participant = credit.participant or next(iter(participants))
    if participant not in participants or credit.currency not in simulator.configuration.currencies:
        raise ValueError("participant or currency is not known here")
    if same_bic(participant, OTHER_BANK):
        raise ValueError(f"{OTHER_BANK} is the bank that pays")
    for name, account in (("creditor_account", credit.creditor_account), ("debtor_account", credit.debtor_account)):
        if account[:2].isalpha() and iban_fault(account) is not None:
            raise ValueError(f"{name} begins like an IBAN and is none")
    uetr = str(uuid.uuid4())
    incoming = Incoming(
        uetr, credit.end_to_end_id, credit.amount, credit.currency, credit.debtor, credit.debtor_account,
        credit.creditor, credit.creditor_account, credit.remittance,
    )  # fmt: skip
    return _json({"uetr": uetr, "business_message_id": simulator.clearing.credit(participant, incoming)})


def _state(simulator: ClearingSimulator) -> dict[str, object]:
    return {
        "clearing": simulator.credentials.clearing.bic,
        "participants": sorted(simulator.credentials.participants),
        "day": simulator.clearing.day,
        "balances": simulator.books.balances(),
        "payments": simulator.books.counts(),
        "messages": simulator.books.count_sent(),
        "faults": [{"kind": fault.kind, "count": fault.count} for fault in simulator.faults.waiting],
    }


def _payments(simulator: ClearingSimulator, request: Request) -> Reply:
    query = parse_qs(urlsplit(request.target).query)
    books = simulator.books
    for name, find in (
        ("uetr", books.by_uetr), ("end_to_end_id", books.by_end_to_end_id), ("message_id", books.by_message),
    ):  # fmt: skip
        if name in query:
            found = find(query[name][0])
            return _json({"payments": [msgspec.to_builtins(one) | {"answers": books.answers(one)} for one in found]})
    raise ValueError("ask for uetr, end_to_end_id or message_id")


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(value))
