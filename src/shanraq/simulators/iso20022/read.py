"""Read what participants send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from shanraq.simulators.iso20022.books import Payment
from shanraq.standards.iso20022.codes import minor_units
from shanraq.standards.iso20022.paths import local_name


class UnreadableAmountError(ValueError):
    """An amount has more decimals than its currency, or a currency that is not known."""


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


def message_id_of(document: etree._Element) -> str:
    """Return GrpHdr/MsgId, or Assgnmt/Id of a case."""
    body = _first(document)
    head = child(body, "GrpHdr")
    if head is not None:
        return text(head, "MsgId")
    head = child(body, "Assgnmt")
    return "" if head is None else text(head, "Id")


def payments_of(document: etree._Element, definition: str, participant: str, day: str) -> list[Payment]:
    """Return the payments of a pacs.008 or pacs.009, in their order. Raises UnreadableAmountError."""
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
    """Yield the payments that a pacs.028, pacs.002, pacs.004, camt.056 or camt.029 names."""
    body = _first(document)
    group = child(body, "OrgnlGrpInf")
    default = "" if group is None else text(group, "OrgnlMsgId")
    for holder in (body, *children(body, "Undrlyg"), *children(body, "CxlDtls")):
        for name in ("TxInf", "TxInfAndSts"):
            for transaction in children(holder, name):
                own = child(transaction, "OrgnlGrpInf")
                case = child(transaction, "Case")
                reason = transaction.findtext("{*}RtrRsnInf/{*}Rsn/{*}Cd") or transaction.findtext(
                    "{*}CxlRsnInf/{*}Rsn/{*}Cd"
                )
                yield Named(
                    message_id=default if own is None else text(own, "OrgnlMsgId"),
                    instruction_id=text(transaction, "OrgnlInstrId"),
                    end_to_end_id=text(transaction, "OrgnlEndToEndId"),
                    transaction_id=text(transaction, "OrgnlTxId"),
                    uetr=text(transaction, "OrgnlUETR"),
                    status=text(transaction, "TxSts") or text(transaction, "TxCxlSts"),
                    reason=reason or "",
                    case_id="" if case is None else text(case, "Id"),
                )


def minor(decimal: str, currency: str) -> int:
    """Return an amount in minor units of its currency, exactly. Raises UnreadableAmountError."""
    exponent = minor_units(currency)
    whole, _, fraction = decimal.partition(".")
    fraction = fraction.rstrip("0")
    if exponent is None or len(fraction) > exponent or not (whole + fraction).isdigit() or not decimal.isascii():
        raise UnreadableAmountError(f"{decimal} {currency}")
    return int(whole + fraction.ljust(exponent, "0"))


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
