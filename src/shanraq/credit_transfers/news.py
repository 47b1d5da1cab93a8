"""Read what a clearing system says about transfers: pacs.002, pacs.004, camt.029."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lxml import etree

from shanraq.core.money import Currency, Money
from shanraq.standards.iso20022.paths import local_name

_DEFAULT_REASON: Final = "MS03"


@dataclass(frozen=True, slots=True)
class Original:
    """Which transfer is meant, as far as a message says: the identifiers that we gave it."""

    message_id: str
    transaction_id: str = ""
    uetr: str = ""
    end_to_end_id: str = ""


@dataclass(frozen=True, slots=True)
class StatusNews:
    """A status of one transfer, or, with an original that names only a message, of all of it that nothing else is said of."""

    original: Original
    status: str
    reason: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReturnNews:
    """A settled transfer came back, all or part of it."""

    original: Original
    amount: Money
    reason: str


@dataclass(frozen=True, slots=True)
class RecallNews:
    """What the other bank says to a recall: ACCR, RJCR or PDCR."""

    original: Original
    case_id: str
    status: str
    reason: str


News = StatusNews | ReturnNews | RecallNews


def read_news(definition: str, document: etree._Element) -> list[News]:
    """Return what a message says, in its order; nothing for messages of other kinds. Raises UnknownCurrencyError."""
    body = next(document.iterchildren("*"))
    match definition[:8]:
        case "pacs.002":
            return list(_statuses(body))
        case "pacs.004":
            return list(_returns(body))
        case "camt.029":
            return list(_resolutions(body))
        case _:
            return []


def _statuses(body: etree._Element) -> Iterator[StatusNews]:
    groups = [group for group in body if local_name(group) == "OrgnlGrpInfAndSts"]
    default = _text(groups[0], "OrgnlMsgId") if groups else ""
    for transaction in _children(body, "TxInfAndSts"):
        reason, text = _reason(transaction, "StsRsnInf")
        yield StatusNews(_original(transaction, default), _text(transaction, "TxSts"), reason, text)
    # The status of the group comes last: it holds for what was not named.
    for group in groups:
        if status := _text(group, "GrpSts"):
            reason, text = _reason(group, "StsRsnInf")
            yield StatusNews(Original(_text(group, "OrgnlMsgId")), status, reason, text)


def _returns(body: etree._Element) -> Iterator[ReturnNews]:
    group = _child(body, "OrgnlGrpInf")
    default = "" if group is None else _text(group, "OrgnlMsgId")
    for transaction in _children(body, "TxInf"):
        amount = _child(transaction, "RtrdIntrBkSttlmAmt")
        assert amount is not None, "the schema asks for it"
        currency = Currency.of(amount.get("Ccy") or "")
        reason, _ = _reason(transaction, "RtrRsnInf")
        yield ReturnNews(_original(transaction, default), _money(_value(amount), currency), reason or _DEFAULT_REASON)


def _resolutions(body: etree._Element) -> Iterator[RecallNews]:
    resolved = _child(body, "RslvdCase")
    case = "" if resolved is None else _text(resolved, "Id")
    for details in _children(body, "CxlDtls"):
        for transaction in _children(details, "TxInfAndSts"):
            own = _child(transaction, "RslvdCase")
            reason, _ = _reason(transaction, "CxlStsRsnInf")
            yield RecallNews(
                _original(transaction, ""),
                case if own is None else _text(own, "Id"),
                _text(transaction, "TxCxlSts"),
                reason,
            )


def _money(text: str, currency: Currency) -> Money:
    # The schema allows five decimals; zeros beyond those of the currency mean nothing.
    whole, _, fraction = text.partition(".")
    fraction = fraction[: currency.exponent] + fraction[currency.exponent :].rstrip("0")
    return Money.parse(f"{whole}.{fraction}" if fraction else whole, currency)


def _original(transaction: etree._Element, default: str) -> Original:
    group = _child(transaction, "OrgnlGrpInf")
    return Original(
        default if group is None else _text(group, "OrgnlMsgId"),
        _text(transaction, "OrgnlTxId"),
        _text(transaction, "OrgnlUETR"),
        _text(transaction, "OrgnlEndToEndId"),
    )


def _reason(element: etree._Element, name: str) -> tuple[str, str]:
    for found in _children(element, name):
        reason = _child(found, "Rsn")
        words = " ".join(_value(each) for each in _children(found, "AddtlInf"))
        if reason is not None:
            return _text(reason, "Cd") or _text(reason, "Prtry"), words
    return "", ""


def _children(element: etree._Element, name: str) -> Iterator[etree._Element]:
    return (child for child in element.iterchildren("*") if local_name(child) == name)


def _child(element: etree._Element, name: str) -> etree._Element | None:
    return next(_children(element, name), None)


def _text(element: etree._Element, name: str) -> str:
    child = _child(element, name)
    return "" if child is None else _value(child)


def _value(element: etree._Element) -> str:
    return (element.text or "").strip()
