"""Read what participants send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree

from shanraq.simulators.iso20022.books import Payment
from shanraq.simulators.iso20022.refusals import RefusedError
from shanraq.standards.iso20022.amounts import SCALE, exact
from shanraq.standards.iso20022.codes import minor_units
from shanraq.standards.iso20022.paths import local_name


@dataclass(frozen=True, slots=True)
class Named:
    """A payment as another message names it."""

    message_id: str
    instruction_id: str
    end_to_end_id: str
    transaction_id: str
    uetr: str
    status: str = ""
    reason: str = ""
    case_id: str = ""
    definition: str = ""
    amount: int = 0
    currency: str = ""

    @property
    def is_whole_message(self) -> bool:
        """Tell whether nothing but a message is named."""
        return not (self.instruction_id or self.end_to_end_id or self.transaction_id or self.uetr)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A report that a camt.060 asks for: its definition, whose account (BIC), in which currency; "" where it does not say."""

    definition: str
    owner: str
    currency: str


def message_id_of(document: etree._Element) -> str:
    """Return GrpHdr/MsgId, or Assgnmt/Id of a case."""
    body = _first(document)
    head = child(body, "GrpHdr")
    if head is not None:
        return text(head, "MsgId")
    head = child(body, "Assgnmt")
    return "" if head is None else text(head, "Id")


def payments_of(document: etree._Element, definition: str, participant: str, day: str) -> list[Payment]:
    """Return the payments of a pacs.008 or pacs.009, in their order. Raises RefusedError."""
    body = _first(document)
    message_id = message_id_of(document)
    found = []
    for transaction in children(body, "CdtTrfTxInf"):
        ids = child(transaction, "PmtId")
        amount = child(transaction, "IntrBkSttlmAmt")
        assert ids is not None and amount is not None, "the schema asks for them"
        bank = transaction.findtext("{*}CdtrAgt/{*}FinInstnId/{*}BICFI") or transaction.findtext(
            "{*}Cdtr/{*}FinInstnId/{*}BICFI"
        )
        currency = amount.get("Ccy") or ""
        found.append(
            Payment(
                participant=participant, message_id=message_id, definition=definition,
                instruction_id=text(ids, "InstrId"), end_to_end_id=text(ids, "EndToEndId"),
                transaction_id=text(ids, "TxId"), uetr=text(ids, "UETR"), amount=minor(value(amount), currency),
                currency=currency, day=day, bank=bank or "",
            )
        )  # fmt: skip
    return found


def named_in(document: etree._Element) -> Iterator[Named]:
    """Yield the payments, or whole messages, that a pacs.028, pacs.002, pacs.004, camt.056 or camt.029 names.

    Raises RefusedError.
    """
    body = _first(document)
    case = _case(body)
    for holder in (body, *children(body, "Undrlyg"), *children(body, "CxlDtls")):
        group = next((each for name in _GROUPS for each in children(holder, name)), None)
        default = "" if group is None else text(group, "OrgnlMsgId")
        definition = "" if group is None else text(group, "OrgnlMsgNmId")
        transactions = [each for name in ("TxInf", "TxInfAndSts") for each in children(holder, name)]
        for transaction in transactions:
            own = child(transaction, "OrgnlGrpInf")
            original = (default, definition) if own is None else (text(own, "OrgnlMsgId"), text(own, "OrgnlMsgNmId"))
            yield _named(transaction, *original, case)
        for whole in () if transactions else (each for name in _GROUPS for each in children(holder, name)):
            yield _named(whole, text(whole, "OrgnlMsgId"), text(whole, "OrgnlMsgNmId"), case)


def _named(element: etree._Element, message_id: str, definition: str, case: str) -> Named:
    amount = child(element, "RtrdIntrBkSttlmAmt")
    currency = "" if amount is None else amount.get("Ccy") or ""
    reasons = (element.findtext(f"{{*}}{name}/{{*}}Rsn/{{*}}Cd") for name in _REASONS)
    return Named(
        message_id=message_id,
        instruction_id=text(element, "OrgnlInstrId"),
        end_to_end_id=text(element, "OrgnlEndToEndId"),
        transaction_id=text(element, "OrgnlTxId"),
        uetr=text(element, "OrgnlUETR"),
        status=text(element, "TxSts") or text(element, "TxCxlSts") or text(element, "GrpSts"),
        reason=next((reason.strip() for reason in reasons if reason), ""),
        case_id=_case(element) or case,
        definition=definition,
        amount=0 if amount is None else minor(value(amount), currency),
        currency=currency,
    )


def _case(element: etree._Element) -> str:
    found = child(element, "Case")
    return "" if found is None else text(found, "Id")


_GROUPS: Final = ("OrgnlGrpInf", "OrgnlGrpInfAndSts", "OrgnlGrpInfAndCxl")
_REASONS: Final = ("RtrRsnInf", "CxlRsnInf", "StsRsnInf", "CxlStsRsnInf")


def reports_wanted(document: etree._Element) -> list[Wanted]:
    """Return the reports that a camt.060 asks for."""
    return [
        Wanted(
            text(request, "ReqdMsgNmId"),
            (request.findtext("{*}AcctOwnr/{*}Agt/{*}FinInstnId/{*}BICFI") or "").strip(),
            (request.findtext("{*}Acct/{*}Ccy") or "").strip(),
        )
        for request in children(_first(document), "RptgReq")
    ]


def minor(decimal: str, currency: str) -> int:
    """Return an amount in minor units of its currency, exactly. Raises RefusedError."""
    exponent, number = minor_units(currency), exact(decimal)
    if exponent is None or number is None or number * 10**exponent % SCALE:
        raise RefusedError(422, "rules_violated", f"an amount that {currency} does not have")
    return int(number * 10**exponent // SCALE)


def child(element: etree._Element, name: str) -> etree._Element | None:
    """Return the first child of a name, in any namespace."""
    return next(children(element, name), None)


def children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    """Yield the children of a name, in any namespace."""
    return (each for each in element.iterchildren("*") if local_name(each) == name)


def text(element: etree._Element, name: str) -> str:
    """Return the text of a child, "" without one."""
    found = child(element, name)
    return "" if found is None else value(found)


def value(element: etree._Element) -> str:
    """Return the text of an element without white space around it."""
    return (element.text or "").strip()


def _first(document: etree._Element) -> etree._Element:
    return next(document.iterchildren("*"))
