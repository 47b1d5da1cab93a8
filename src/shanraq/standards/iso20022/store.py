"""What earlier messages are remembered for: duplicates, originals of statuses, returns and cancellations, chains of statements.

store = MemoryStore()
store.add(record(document, header))         # once a message is accepted
check_rules(document, store=store, ...)     # the rules of the store layer are on

`Store` is what the rules ask; a database answers the same questions. Records hold references, amounts, days and bank codes, no
names; accounts only as the hash that compares them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Protocol

import msgspec
from lxml import etree

from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.paths import namespace_of
from shanraq.standards.iso20022.tree import Node, child, children, text

NOT_PROVIDED: Final = "NOTPROVIDED"
FINAL_STATUSES: Final = frozenset({"RJCT", "CANC", "ACCC", "BLCK"})
_PAYMENTS: Final = {
    "pain.001": ("PmtInf", "CdtTrfTxInf", ("Amt", "InstdAmt")),
    "pain.008": ("PmtInf", "DrctDbtTxInf", ("InstdAmt",)),
    "pacs.003": ("", "DrctDbtTxInf", ("IntrBkSttlmAmt",)),
    "pacs.008": ("", "CdtTrfTxInf", ("IntrBkSttlmAmt",)),
    "pacs.009": ("", "CdtTrfTxInf", ("IntrBkSttlmAmt",)),
    "pacs.010": ("CdtInstr", "DrctDbtTxInf", ("IntrBkSttlmAmt",)),
    "pacs.004": ("", "TxInf", ("RtrdIntrBkSttlmAmt",)),
}


class EarlierTransaction(msgspec.Struct):
    """One payment of an earlier message; amounts are integers of 1/SCALE of their currency, days ISO text."""

    message_id: str
    definition: str
    block_id: str | None = None
    instruction_id: str | None = None
    end_to_end_id: str | None = None
    transaction_id: str | None = None
    uetr: str | None = None
    amount: int | None = None
    currency: str = ""
    instructed_amount: int | None = None
    instructed_currency: str = ""
    settlement_day: str | None = None
    fingerprint: str = ""


class EarlierMessage(msgspec.Struct):
    """An earlier message: its identifiers, who sent it to whom (BIC, or the initiating party's identifier), its totals."""

    definition: str
    message_id: str
    sender: str = ""
    receiver: str = ""
    business_id: str = ""
    created: str | None = None
    count: str | None = None
    control_sum: int | None = None
    case_ids: tuple[str, ...] = ()
    transactions: tuple[EarlierTransaction, ...] = ()
    statements: tuple[EarlierStatement, ...] = ()
    final_statuses: tuple[tuple[str, str], ...] = ()


class EarlierStatement(msgspec.Struct):
    """The end of an earlier statement: its number, and the booked closing balance, negative for a debit."""

    account: str
    currency: str
    sequence: int | None
    closing: int | None


class Store(Protocol):
    """The questions the rules ask of earlier messages; an answer that is empty means that nothing is remembered."""

    def messages(self, message_id: str) -> Sequence[EarlierMessage]:
        """Return the messages with this identifier, of any sender and definition."""
        ...

    def payments(self, uetr: str) -> Sequence[EarlierTransaction]:
        """Return the payments with this UETR."""
        ...

    def fingerprints(self, fingerprint: str) -> Sequence[EarlierTransaction]:
        """Return the payments with the same content."""
        ...

    def final_status(self, uetr: str) -> str | None:
        """Return the final status already reported for a UETR."""
        ...

    def last_statement(self, account: str) -> EarlierStatement | None:
        """Return the last statement of an account, by the hash of `account_key`."""
        ...

    def has_case(self, case_id: str) -> bool:
        """Tell whether a case of this identifier was opened."""
        ...


class MemoryStore:
    """A store in memory, for tests, tools and files of one day."""

    def __init__(self) -> None:
        self._messages: defaultdict[str, list[EarlierMessage]] = defaultdict(list)
        self._by_uetr: defaultdict[str, list[EarlierTransaction]] = defaultdict(list)
        self._by_content: defaultdict[str, list[EarlierTransaction]] = defaultdict(list)
        self._final: dict[str, str] = {}
        self._statements: dict[str, EarlierStatement] = {}
        self._cases: set[str] = set()

    def add(self, message: EarlierMessage) -> None:
        """Remember a message."""
        self._messages[message.message_id].append(message)
        for payment in message.transactions:
            if payment.uetr:
                self._by_uetr[payment.uetr].append(payment)
            if payment.fingerprint:
                self._by_content[payment.fingerprint].append(payment)
        for statement in message.statements:
            self._statements[statement.account] = statement
        self._final.update(message.final_statuses)
        self._cases.update(message.case_ids)

    def messages(self, message_id: str) -> Sequence[EarlierMessage]:
        """Return the messages with this identifier."""
        return self._messages.get(message_id, ())

    def payments(self, uetr: str) -> Sequence[EarlierTransaction]:
        """Return the payments with this UETR."""
        return self._by_uetr.get(uetr, ())

    def fingerprints(self, fingerprint: str) -> Sequence[EarlierTransaction]:
        """Return the payments with the same content."""
        return self._by_content.get(fingerprint, ())

    def final_status(self, uetr: str) -> str | None:
        """Return the final status reported for a UETR."""
        return self._final.get(uetr)

    def last_statement(self, account: str) -> EarlierStatement | None:
        """Return the last statement of an account."""
        return self._statements.get(account)

    def has_case(self, case_id: str) -> bool:
        """Tell whether a case of this identifier was opened."""
        return case_id in self._cases


def sender_of(header: Node | None, head: Node) -> str:
    """Return who sent a message: From of the header, else the instructing or assigning agent, else the initiating party."""
    found = bic_of(header.first("Fr", "FIId", "FinInstnId")) if header is not None else ""
    for agent in (head.first("InstgAgt", "FinInstnId"), head.first("Assgnr", "Agt", "FinInstnId")):
        found = found or bic_of(agent)
    party = head.first("InitgPty", "Id")
    if not found and party is not None:
        found = next(
            (e.text or "" for e in party.iter("{*}AnyBIC", "{*}BICOrBEI", "{*}LEI", "{*}Id") if not len(e)), ""
        )
    return found


def receiver_of(header: Node | None, head: Node) -> str:
    """Return whom a message was sent to: To of the header, else the instructed agent or the assignee."""
    found = bic_of(header.first("To", "FIId", "FinInstnId")) if header is not None else ""
    for agent in (head.first("InstdAgt", "FinInstnId"), head.first("Assgne", "Agt", "FinInstnId")):
        found = found or bic_of(agent)
    return found


def bic_of(institution: etree._Element | None) -> str:
    """Return the BIC of a financial institution, "" without one."""
    return text(institution, "BICFI") or text(institution, "BIC") or ""


def account_key(account: etree._Element | None) -> str:
    """Return the hash by which an account is compared, "" without one."""
    number = text(account, "Id", "IBAN") or text(account, "Id", "Othr", "Id")
    return sha256(number.upper().encode()).hexdigest()[:32] if number else ""


def fingerprint(transaction: Node, block: Node | None, day: str | None) -> str:
    """Return a hash of what makes two orders the same payment: accounts, amount, day, reference and remittance text."""
    ours = [account_key(transaction.first(name)) for name in ("DbtrAcct", "CdtrAcct")]
    if block is not None:
        ours += [account_key(block.first(name)) for name in ("DbtrAcct", "CdtrAcct")]
    amount = transaction.first("Amt", "InstdAmt")
    for name in ("InstdAmt", "IntrBkSttlmAmt"):
        amount = amount if amount is not None else transaction.first(name)
    if amount is None or not any(ours):
        return ""
    parts = [
        *ours,
        str(exact(amount.text)),
        amount.get("Ccy") or "",
        day or "",
        transaction.text("PmtId", "EndToEndId") or "",
    ]
    parts += [found.text or "" for found in children(transaction.first("RmtInf"), "Ustrd")]
    return sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def record(document: etree._Element, header: etree._Element | None = None) -> EarlierMessage:
    """Return what is remembered of a message, given its Document and its header."""
    definition = namespace_of(document).rpartition(":")[2]
    family = definition[:8]
    body = next(document.iterchildren("*"))
    head = Node(child(body, "GrpHdr") if child(body, "GrpHdr") is not None else child(body, "Assgnmt"))
    top = None if header is None else Node(header)
    return EarlierMessage(
        definition=definition,
        message_id=head.text("MsgId") or head.text("Id") or "",
        sender=sender_of(top, head),
        receiver=receiver_of(top, head),
        business_id=(top.text("BizMsgIdr") or "") if top is not None else "",
        created=head.text("CreDtTm"),
        count=head.text("NbOfTxs"),
        control_sum=exact(head.text("CtrlSum")),
        case_ids=tuple(found.text or "" for case in body.iter("{*}Case") for found in children(case, "Id")),
        transactions=tuple(_payments(family, definition, body, head)) if family in _PAYMENTS else (),
        statements=tuple(_statement(found) for found in children(body, "Stmt")),
        final_statuses=tuple(_final_statuses(body)),
    )


def _payments(family: str, definition: str, body: etree._Element, head: Node) -> list[EarlierTransaction]:
    block_name, name, amount_path = _PAYMENTS[family]
    message_id = head.text("MsgId") or ""
    found = []
    for block in children(body, block_name) if block_name else [body]:
        outer = Node(block) if block_name else None
        for element in children(block, name):
            payment = Node(element)
            amount = payment.first(*amount_path)
            instructed = payment.first("InstdAmt")
            day = payment.text("IntrBkSttlmDt") or head.text("IntrBkSttlmDt")
            found.append(
                EarlierTransaction(
                    message_id, definition,
                    outer.text("PmtInfId") if outer is not None else None,
                    payment.text("PmtId", "InstrId"), payment.text("PmtId", "EndToEndId"), payment.text("PmtId", "TxId"),
                    payment.text("PmtId", "UETR"),
                    None if amount is None else exact(amount.text), "" if amount is None else amount.get("Ccy") or "",
                    None if instructed is None else exact(instructed.text),
                    "" if instructed is None else instructed.get("Ccy") or "",
                    day, fingerprint(payment, outer, day or block_day(outer)),
                )
            )  # fmt: skip
    return found


def block_day(block: Node | None) -> str | None:
    """Return the day on which a block of payments is to be executed or collected."""
    if block is None:
        return None
    moment = block.text("ReqdExctnDt", "Dt") or block.text("ReqdExctnDt", "DtTm") or block.text("ReqdExctnDt")
    return (moment or block.text("ReqdColltnDt") or "").strip()[:10] or None


def _final_statuses(body: etree._Element) -> list[tuple[str, str]]:
    found = []
    for element in body.iter("{*}TxInfAndSts"):
        uetr, status = text(element, "OrgnlUETR"), text(element, "TxSts")
        if uetr and status in FINAL_STATUSES:
            found.append((uetr, str(status)))
    return found


def _statement(element: etree._Element) -> EarlierStatement:
    number = text(element, "ElctrncSeqNb") or ""
    closing = None
    for balance in children(element, "Bal"):
        if text(balance, "Tp", "CdOrPrtry", "Cd") == "CLBD":
            closing = signed_amount(balance)
    return EarlierStatement(
        account_key(child(element, "Acct")),
        text(element, "Acct", "Ccy") or "",
        int(number) if number.isascii() and number.isdigit() else None,
        closing,
    )


def signed_amount(element: etree._Element) -> int | None:
    """Return the amount of a balance, entry or net with the sign of its indicator, in 1/SCALE; None if it cannot be read."""
    value = exact(text(element, "Amt"))
    return -value if value is not None and text(element, "CdtDbtInd") == "DBIT" else value
