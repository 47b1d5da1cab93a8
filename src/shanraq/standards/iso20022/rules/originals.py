"""Rules about earlier messages: duplicates, the originals that replies speak of, chains of statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.errors import Layer, Severity
from shanraq.standards.iso20022.identifiers import same_bic
from shanraq.standards.iso20022.rules.context import Block, Context, Message, Transaction
from shanraq.standards.iso20022.rules.orders import ORDERS
from shanraq.standards.iso20022.rules.registry import Fault, Faults, Scope, rule
from shanraq.standards.iso20022.store import (
    NOT_PROVIDED,
    EarlierMessage,
    EarlierTransaction,
    account_key,
    bic_of,
    block_day,
    fingerprint,
    sender_of,
)
from shanraq.standards.iso20022.tree import Node, child, children, text

REPLIES: Final = "pain.002 pain.007 pacs.002 pacs.004 pacs.007 pacs.028 camt.029 camt.055 camt.056"
_REPLY_FAMILIES: Final = frozenset(REPLIES.split())
_GROUPS: Final = ("OrgnlGrpInfAndSts", "OrgnlGrpInf", "OrgnlGrpInfAndCxl")
_REFERENCES: Final = (
    ("OrgnlInstrId", "instruction_id"), ("OrgnlEndToEndId", "end_to_end_id"), ("OrgnlTxId", "transaction_id"),
    ("OrgnlUETR", "uetr"),
)  # fmt: skip


@rule("repeated_message", Scope.MESSAGE, Layer.STORE, "DU01")
def repeated_message(message: Message, context: Context) -> Faults:
    """The identifier of a message was not used before by the same sender."""
    if context.store is None or not message.message_id:
        return
    sender = sender_of(message.header, message.head)
    for earlier in context.store.messages(message.message_id):
        if earlier.definition[:8] == message.family and earlier.sender == sender:
            element = message.head.first("MsgId")
            element = message.head.first("Id") if element is None else element
            yield Fault(
                message.head_place if element is None else element, "the same sender used this identifier before"
            )
            return


@rule("repeated_payment", Scope.TRANSACTION, Layer.STORE, "AM05", messages=ORDERS)
def repeated_payment(transaction: Transaction, context: Context) -> Faults:
    """A payment was not ordered before: by its UETR (error), or with the same accounts, amount, day and texts (warning)."""
    if context.store is None:
        return
    message = context.message
    uetr = transaction.first("PmtId", "UETR")
    if uetr is not None and uetr.text:
        for earlier in context.store.payments(uetr.text):
            if earlier.definition[:8] == message.family and earlier.message_id != message.message_id:
                yield Fault(uetr, "a payment with this UETR came before", "DU03")
                return
    day = transaction.text("IntrBkSttlmDt") or message.head.text("IntrBkSttlmDt") or block_day(transaction.block)
    mark = fingerprint(transaction, transaction.block, day)
    if mark and any(earlier.definition[:8] == message.family for earlier in context.store.fingerprints(mark)):
        yield Fault(transaction.place, "a payment with the same content came before", severity=Severity.WARNING)


def _group_of(transaction: Transaction, context: Context) -> Node:
    """Return where a transaction names its original message: in itself, its block, or the message."""
    places: list[Node] = [transaction]
    block = transaction.block
    while block is not None:
        places.append(block)
        block = block.outer
    places.append(context.message.parts)
    for place in places:
        for name in _GROUPS:
            found = place.first(name)
            if found is not None:
                return Node(found)
    return Node(None)


def find_original(transaction: Transaction, context: Context) -> EarlierTransaction | None:
    """Return the payment that a reply speaks of: by its UETR, else by the references in the message it names."""
    store = context.store
    if store is None or context.message.family not in _REPLY_FAMILIES:
        return None
    group = _group_of(transaction, context)
    messages = store.messages(group.text("OrgnlMsgId") or "")
    definition = group.text("OrgnlMsgNmId")
    messages = [found for found in messages if definition in (None, found.definition)] or messages
    uetr = transaction.text("OrgnlUETR")
    payments = store.payments(uetr) if uetr else ()
    if payments:
        wanted = {found.message_id for found in messages}
        return min(payments, key=lambda found: found.message_id not in wanted)
    block_id = transaction.block.text("OrgnlPmtInfId") if transaction.block is not None else None
    best, best_score = None, 0
    for message in messages:
        for payment in message.transactions:
            if block_id is not None and payment.block_id is not None and payment.block_id != block_id:
                continue
            named = [(transaction.text(name), getattr(payment, field)) for name, field in _REFERENCES]
            score = sum(ours is not None and ours == theirs and ours != NOT_PROVIDED for ours, theirs in named)
            if score > best_score:
                best, best_score = payment, score
    return best


@rule("original", Scope.TRANSACTION, Layer.STORE, "CH16", messages=REPLIES)
def original(transaction: Transaction, context: Context) -> Faults:
    """A status, return, reversal or cancellation repeats the references, amount and day of a payment that is remembered."""
    if context.store is None:
        return
    found = transaction.original
    if found is None:
        if any(transaction.text(name) for name, _ in _REFERENCES):
            yield Fault(transaction.place, "no original payment with these references is remembered")
        return
    for name, field in _REFERENCES:
        element, theirs = transaction.first(name), getattr(found, field)
        if element is not None and element.text and theirs is not None and element.text != theirs:
            yield Fault(element, f"{name} is not that of the original payment")
    yield from _original_group(_group_of(transaction, context), found, context.store.messages(found.message_id))
    yield from _original_amounts(transaction, found)


def _original_group(group: Node, found: EarlierTransaction, messages: Sequence[EarlierMessage]) -> Faults:
    number, definition, created = group.first("OrgnlMsgId"), group.first("OrgnlMsgNmId"), group.first("OrgnlCreDtTm")
    if number is not None and number.text != found.message_id:
        yield Fault(number, "OrgnlMsgId is not that of the original payment")
    if definition is not None and (definition.text or "")[:8] != found.definition[:8]:
        yield Fault(definition, "OrgnlMsgNmId is not that of the original payment")
    for message in messages:
        if (
            created is not None
            and message.message_id == found.message_id
            and message.created not in (None, created.text)
        ):
            yield Fault(created, "OrgnlCreDtTm is not that of the original message", "DT01")


def _original_amounts(transaction: Transaction, found: EarlierTransaction) -> Faults:
    instructed = found.instructed_amount, found.instructed_currency
    if found.definition.startswith("pain.001"):
        instructed = found.amount, found.currency
    for name, (amount, currency) in (
        ("OrgnlIntrBkSttlmAmt", (found.amount, found.currency)),
        ("OrgnlInstdAmt", instructed),
    ):
        element = transaction.first(name)
        if element is None or amount is None:
            continue
        if exact(element.text) != amount:
            yield Fault(element, f"{name} is not that of the original payment", "AM09")
        if element.get("Ccy") != currency:
            yield Fault(element, f"{name} has another currency than the original payment", "CURR", "Ccy")
    day = transaction.first("OrgnlIntrBkSttlmDt")
    if day is not None and found.settlement_day is not None and (day.text or "").strip() != found.settlement_day:
        yield Fault(day, "OrgnlIntrBkSttlmDt is not that of the original payment", "DT01")


@rule("original_group", Scope.MESSAGE, Layer.STORE, "CH16", messages="pain.002 pacs.002")
def original_group(message: Message, context: Context) -> Faults:
    """A status of a whole message repeats number, sum and time of the message that is remembered."""
    element = message.parts.first("OrgnlGrpInfAndSts")
    if context.store is None or element is None:
        return
    group = Node(element)
    number = group.first("OrgnlMsgId")
    found = context.store.messages((number.text or "") if number is not None else "")
    definition = group.text("OrgnlMsgNmId") or ""
    found = [earlier for earlier in found if earlier.definition == definition] or found
    if not found:
        yield Fault(element if number is None else number, "no message of this identifier is remembered")
        return
    count, total = group.first("OrgnlNbOfTxs"), group.first("OrgnlCtrlSum")
    if count is not None and found[0].count not in (None, count.text):
        yield Fault(count, "OrgnlNbOfTxs is not that of the original message", "AM18")
    if total is not None and found[0].control_sum not in (None, exact(total.text)):
        yield Fault(total, "OrgnlCtrlSum is not that of the original message", "AM10")
    created = group.first("OrgnlCreDtTm")
    if created is not None and not message.tally.count and found[0].created not in (None, created.text):
        yield Fault(created, "OrgnlCreDtTm is not that of the original message", "DT01")


@rule("status_after_final", Scope.TRANSACTION, Layer.STORE, "CH16", messages="pain.002 pacs.002")
def status_after_final(transaction: Transaction, context: Context) -> Faults:
    """No other status follows a final one."""
    uetr, status = transaction.text("OrgnlUETR"), transaction.first("TxSts")
    if context.store is None or not uetr or status is None:
        return
    final = context.store.final_status(uetr)
    if final is not None and status.text != final:
        yield Fault(status, f"the final status {final} was reported before")


@rule("resolved_case", Scope.TRANSACTION, Layer.STORE, "CH16", messages="camt.029")
def resolved_case(transaction: Transaction, context: Context) -> Faults:
    """The case that is resolved was opened."""
    element = transaction.first("RslvdCase", "Id")
    if context.store is not None and element is not None and element.text and not context.store.has_case(element.text):
        yield Fault(element, "no case of this identifier is remembered")


@rule(
    "reply_to_sender", Scope.TRANSACTION, Layer.PROFILE, "CH16", messages="pacs.002 camt.029", setting="reply_to_sender"
)
def reply_to_sender(transaction: Transaction, context: Context) -> Faults:
    """A status or resolution goes to the bank that sent the payment or the request."""
    header = context.message.header
    if header is None:
        return
    receiver = child(header.first("To", "FIId", "FinInstnId"), "BICFI")
    related = header.first("Rltd")
    sender = bic_of(child(related, "Fr", "FIId", "FinInstnId"))
    if not sender and context.store is not None and transaction.original is not None:
        for message in context.store.messages(transaction.original.message_id):
            sender = message.sender
    if (
        receiver is not None
        and sender
        and not same_bic(receiver.text or "", sender)
        and header.text("CpyDplct") not in ("COPY", "CODU")
    ):
        yield Fault(receiver, "the reply goes to a bank that did not send what it answers")


@rule("related_header", Scope.MESSAGE, Layer.STORE, "CH16")
def related_header(message: Message, context: Context) -> Faults:
    """Rltd of the header repeats the header of the message that is answered."""
    if context.store is None or message.header is None:
        return
    for related in message.header.all("Rltd"):
        number = child(related, "BizMsgIdr")
        found = context.store.messages((number.text or "") if number is not None else "")
        earlier = next((one for one in found if one.business_id), None)
        if earlier is None:
            continue
        definition, sender = child(related, "MsgDefIdr"), child(related, "Fr", "FIId", "FinInstnId", "BICFI")
        if definition is not None and definition.text != earlier.definition:
            yield Fault(definition, "the related message is of another definition")
        if sender is not None and not same_bic(sender.text or "", earlier.sender):
            yield Fault(sender, "the related message was sent by another bank")


@rule("partial_return", Scope.TRANSACTION, Layer.PROFILE, "CH21", messages="pacs.004", setting="partial_return_marked")
def partial_return(transaction: Transaction, _: Context) -> Faults:
    """A return of less than the original says so: AddtlInf PART."""
    stated = transaction.first("OrgnlIntrBkSttlmAmt")
    amount = (
        exact(stated.text)
        if stated is not None
        else transaction.original.amount
        if transaction.original is not None
        else None
    )
    if amount is None or transaction.amount is None or transaction.amount >= amount:
        return
    reasons = transaction.all("RtrRsnInf")
    if not any((found.text or "").strip() == "PART" for reason in reasons for found in children(reason, "AddtlInf")):
        yield Fault(reasons[0] if reasons else transaction.place, "a partial return is marked with AddtlInf PART")


@rule("status_sum", Scope.MESSAGE, Layer.CROSS, "AM10", messages="pain.002 pacs.002")
def status_sum(message: Message, _: Context) -> Faults:
    """The sum of a status is that of its original amounts, where all are listed and remembered."""
    group = message.parts.first("OrgnlGrpInfAndSts")
    for part in children(group, "NbOfTxsPerSts"):
        total = child(part, "DtldCtrlSum")
        count, amount, unknown = message.tally.by_status.get(text(part, "DtldSts") or "", (0, 0, 0))
        listed = str(count) == (text(part, "DtldNbOfTxs") or "").strip()
        if total is not None and listed and not unknown and exact(total.text) != amount:
            yield Fault(total, "not the sum of the original amounts of the transactions with this status")


@rule("status_sum_block", Scope.BLOCK, Layer.CROSS, "AM10", messages="pain.002")
def status_sum_block(block: Block, _: Context) -> Faults:
    """The same of a payment block."""
    for part in block.all("NbOfTxsPerSts"):
        total = child(part, "DtldCtrlSum")
        count, amount, unknown = block.tally.by_status.get(text(part, "DtldSts") or "", (0, 0, 0))
        listed = str(count) == (text(part, "DtldNbOfTxs") or "").strip()
        if total is not None and listed and not unknown and exact(total.text) != amount:
            yield Fault(total, "not the sum of the original amounts of the transactions with this status")


@rule("statement_chain", Scope.BLOCK, Layer.STORE, "", messages="camt.053")
def statement_chain(block: Block, context: Context) -> Faults:
    """A statement begins with the closing balance of the one before, and its number follows without a gap; pages share it."""
    account = account_key(block.first("Acct"))
    if context.store is None or not account:
        return
    last = context.store.last_statement(account)
    if last is None:
        return
    number = block.first("ElctrncSeqNb")
    value = (number.text or "").strip() if number is not None else ""
    sequence = int(value) if value.isascii() and value.isdigit() else None
    step = 0 if (block.text("StmtPgntn", "PgNb") or "").lstrip("0") not in ("", "1") else 1
    if number is not None and sequence is not None and last.sequence is not None and sequence != last.sequence + step:
        yield Fault(number, "the number does not follow that of the statement before")
        return
    opening = opening_balance(block)
    if opening is not None and last.closing is not None and signed(opening) != last.closing:
        yield Fault(opening, "not the closing balance of the statement before")


def opening_balance(block: Block) -> etree._Element | None:
    """Return the booked opening balance of a statement: OPBD, or else PRCD."""
    by_code = {text(found, "Tp", "CdOrPrtry", "Cd") or "": found for found in reversed(block.all("Bal"))}
    found = by_code.get("OPBD")
    return found if found is not None else by_code.get("PRCD")


def signed(balance: etree._Element) -> int | None:
    """Return a balance in 1/SCALE, negative for a debit."""
    value = exact(text(balance, "Amt"))
    return -value if value is not None and text(balance, "CdtDbtInd") == "DBIT" else value
