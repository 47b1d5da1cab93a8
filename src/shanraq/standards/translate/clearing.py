"""A leg of card settlement as pacs.009: what one bank owes another for cleared card transactions, over a clearing system."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

from shanraq.standards.iso8583 import Message
from shanraq.standards.iso20022 import Library, Node
from shanraq.standards.translate.account import Account, Parts, Translation
from shanraq.standards.translate.cards import MTI, SECRETS, alphabetic, amount_of, card_values, fee, near_date
from shanraq.standards.translate.draft import Draft, add, put
from shanraq.standards.translate.errors import TranslationError, incomplete
from shanraq.standards.translate.mt103 import BANK
from shanraq.standards.translate.parties import bic_agent
from shanraq.standards.translate.versions import HEADER, NOTHING, Target, moment_text

APPROVED: Final = frozenset({"00", "000"})
_CREDITS: Final = frozenset({"20", "21", "22", "23", "24", "25", "26", "27", "28", "29"})
"""Transaction types in favour of the card holder: the issuer receives (DE3 positions 1 and 2, 20 to 29)."""

_CARD: Final = frozenset({2, 14, 23, 55})


def card_settlement(
    messages: Sequence[Message],
    *,
    issuer: str,
    acquirer: str,
    identifier: str,
    system: str = "",
    to: str = BANK,
    header: str = HEADER,
    created: dt.datetime | None = None,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[Parts]:
    """Return a pacs.009 with one transfer a cleared card message: STAN in InstrId, retrieval reference in TxId.

    Purchases flow from the issuer's BIC to the acquirer's, refunds and reversals the other way. Amounts are those of settlement
    (DE5, DE50), else of the transaction (DE4, DE49); the day is DE15, else the day of `created`. `identifier` becomes MsgId,
    `system` the proprietary name of the clearing system. Raises TranslationError: `not_cleared` for a message that moved no
    money.
    """
    if not messages:
        raise TranslationError("another_message", "", "there is no message")
    target = Target.of(to, "pacs.009", header, created, supply, definitions)
    prefixes = [f"message[{number}]/" if len(messages) > 1 else "" for number in range(1, len(messages) + 1)]
    account = Account(
        (prefix + path, value)
        for prefix, message in zip(prefixes, messages, strict=True)
        for path, value in card_values(message)
    )
    draft = Draft(target.known.definition(BANK))
    _group(account, draft, target, identifier, str(len(messages)), system)
    for prefix, message in zip(prefixes, messages, strict=True):
        _transfer(account, prefix, message, add(draft.top, "CdtTrfTxInf"), issuer, acquirer, target.created)
    return target.finish(draft, account, "ISO 8583", issuer, acquirer, identifier)


def totals_settlement(
    message: Message,
    *,
    debtor: str,
    creditor: str,
    identifier: str,
    system: str = "",
    to: str = BANK,
    header: str = HEADER,
    created: dt.datetime | None = None,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[Parts]:
    """Return a pacs.009 of one transfer for the net of a reconciliation (x5xx): DE97 in the currency of DE50.

    A net debit (D) flows from `debtor`'s BIC to `creditor`'s, a net credit (C) back. Raises TranslationError.
    """
    if message.mti[1:2] != "5":
        raise TranslationError("another_message", MTI, "totals are in a reconciliation, class 5")
    target = Target.of(to, "pacs.009", header, created, supply, definitions)
    account = Account(card_values(message))
    draft = Draft(target.known.definition(BANK))
    _group(account, draft, target, identifier, "1", system)
    transfer = add(draft.top, "CdtTrfTxInf")
    fields = message.fields
    net = fee(fields.get(97, ""))
    if net is None:
        raise incomplete("97", "97", "the reconciliation has no net amount")
    currency = fields.get(50)
    if currency is None:
        raise incomplete("50", "50", "the reconciliation has no currency of settlement")
    _references(account, "", message, transfer)
    _amount(account, "97", net[1], "50", currency, transfer)
    _day(account, "", message, transfer, target.created)
    parties = (debtor, creditor) if net[0] == "DBIT" else (creditor, debtor)
    _banks(account, transfer, *parties)
    _secrets(account, "", message)
    return target.finish(draft, account, f"ISO 8583 {message.mti}", *parties, identifier)


def _group(account: Account, draft: Draft, target: Target, identifier: str, number: str, system: str) -> None:
    group = add(draft.top, "GrpHdr")
    moment = moment_text(target.created)
    for name, text, source, why in (
        ("MsgId", identifier, "parameter", ""), ("CreDtTm", moment, "default", "the moment of the translation"),
        ("NbOfTxs", number, "derived", "one transfer a card message"),
    ):  # fmt: skip
        account.supply((put(group, name, text), ""), text, source, why)
    account.supply(
        (put(group, "SttlmInf/SttlmMtd", "CLRG"), ""), "CLRG", "default", "card schemes settle in clearing systems"
    )
    if system:
        account.supply((put(group, "SttlmInf/ClrSys/Prtry", system), ""), system, "parameter")


def _transfer(
    account: Account, prefix: str, message: Message, transfer: Node, issuer: str, acquirer: str, created: dt.datetime
) -> None:
    fields = message.fields
    if message.mti[1:2] not in ("2", "4") or fields.get(39, "00") not in APPROVED:
        raise TranslationError("not_cleared", prefix + MTI, "only approved financial messages and reversals move money")
    _references(account, prefix, message, transfer)
    amount, unit = (5, 50) if 5 in fields and 50 in fields else (4, 49)
    if amount not in fields or unit not in fields:
        raise incomplete(f"{prefix}{amount}", str(amount), "the message has no amount with its currency")
    _amount(account, f"{prefix}{amount}", fields[amount], f"{prefix}{unit}", fields[unit], transfer)
    _day(account, prefix, message, transfer, created)
    refund = fields.get(3, "")[:2] in _CREDITS
    if f"{prefix}3/type" in account:
        account.imply(f"{prefix}3/type")
    reversal = message.mti[1] == "4"
    account.imply(prefix + MTI)
    if 39 in fields:
        account.imply(f"{prefix}39")
    parties = (acquirer, issuer) if refund != reversal else (issuer, acquirer)
    _banks(account, transfer, *parties)
    _secrets(account, prefix, message)


def _references(account: Account, prefix: str, message: Message, transfer: Node) -> None:
    fields = message.fields
    if (stan := fields.get(11)) is not None:
        account.keep(f"{prefix}11", (put(transfer, "PmtId/InstrId", stan), ""))
    reference = fields.get(37, "").strip()
    if reference:
        account.keep(f"{prefix}37", (put(transfer, "PmtId/TxId", reference), ""), reference)
    known = reference or fields.get(11, "")
    if known:
        why = "the retrieval reference" if reference else "the trace number"
        account.supply((put(transfer, "PmtId/EndToEndId", known), ""), known, "derived", why)


def _amount(account: Account, place: str, digits: str, unit_place: str, unit: str, transfer: Node) -> None:
    amount = amount_of(digits, unit, place)
    currency = alphabetic(unit, unit_place)
    made = put(transfer, "IntrBkSttlmAmt", amount, Ccy=currency)
    account.keep(place, (made, ""), amount)
    account.keep(unit_place, (made, "/@Ccy"), currency)


def _day(account: Account, prefix: str, message: Message, transfer: Node, created: dt.datetime) -> None:
    digits = message.fields.get(15)
    if digits is not None:
        day = str(near_date(digits[-4:], created, f"{prefix}15"))
        account.keep(f"{prefix}15", (put(transfer, "IntrBkSttlmDt", day), ""), day)
        return
    day = str(created.date())
    account.supply((put(transfer, "IntrBkSttlmDt", day), ""), day, "default", "the day of the translation")


def _banks(account: Account, transfer: Node, debtor: str, creditor: str) -> None:
    for name, bic in (("Dbtr", debtor), ("Cdtr", creditor)):
        account.supply((bic_agent(transfer, name, bic), ""), bic, "parameter")


def _secrets(account: Account, prefix: str, message: Message) -> None:
    """Card data has no business in a transfer between banks."""
    for number in message.fields:
        if (number in SECRETS or number in _CARD) and account.is_open(f"{prefix}{number}"):
            account.drop(f"{prefix}{number}", "secret")
