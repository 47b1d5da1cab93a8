"""Rules about counts and sums: of the group, of each block, of a status, of a request."""

from __future__ import annotations

from typing import Final

from lxml import etree

from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.errors import Layer
from shanraq.standards.iso20022.rules.context import Block, Context, Message, Tally, Transaction
from shanraq.standards.iso20022.rules.registry import Fault, Faults, Scope, rule
from shanraq.standards.iso20022.tree import Node

_GROUPS: Final = "pain.001 pain.007 pain.008 pacs.003 pacs.004 pacs.007 pacs.008 pacs.009 pacs.010"
_TOTALS: Final = ("TtlIntrBkSttlmAmt", "TtlRtrdIntrBkSttlmAmt", "TtlRvsdIntrBkSttlmAmt")


def _wrong_count(element: etree._Element | None, count: int) -> bool:
    value = "" if element is None else (element.text or "").strip()
    return element is not None and value.isascii() and value.isdigit() and int(value) != count


def _wrong_sum(element: etree._Element | None, tally: Tally) -> bool:
    """Tell whether a sum differs; amounts that cannot be read are reported where they stand."""
    value = None if element is None else exact(element.text)
    return value is not None and tally.sum is not None and value != tally.sum


def _is_whole(message: Message) -> bool:
    """Tell whether the group speaks of a whole message, whose transactions are not repeated here."""
    return any(message.head.text(name) in ("true", "1") for name in ("GrpRvsl", "GrpRtr")) or not message.tally.count


@rule("count_group", Scope.MESSAGE, Layer.CROSS, "AM18", messages=_GROUPS)
def count_group(message: Message, _: Context) -> Faults:
    """NbOfTxs of the group header is the number of transactions."""
    element = message.head.first("NbOfTxs")
    if element is not None and not _is_whole(message) and _wrong_count(element, message.tally.count):
        yield Fault(element, f"the message has {message.tally.count} transactions")


@rule("sum_group", Scope.MESSAGE, Layer.CROSS, "AM10", messages=_GROUPS)
def sum_group(message: Message, _: Context) -> Faults:
    """CtrlSum of the group header is the sum of the transactions' amounts, whatever their currencies."""
    element = message.head.first("CtrlSum")
    if element is not None and not _is_whole(message) and _wrong_sum(element, message.tally):
        yield Fault(element, "not the sum of the transactions' amounts")


@rule("count_block", Scope.BLOCK, Layer.CROSS, "AM18", messages="pain.001 pain.008 pacs.010")
def count_block(block: Block, _: Context) -> Faults:
    """NbOfTxs of a block is the number of its transactions."""
    element = block.first("NbOfTxs")
    if element is not None and _wrong_count(element, block.tally.count):
        yield Fault(element, f"the block has {block.tally.count} transactions")


@rule("sum_block", Scope.BLOCK, Layer.CROSS, "AM10", messages="pain.001 pain.008 pacs.010")
def sum_block(block: Block, _: Context) -> Faults:
    """CtrlSum of a block is the sum of its transactions' amounts."""
    element = block.first("CtrlSum")
    if element is not None and _wrong_sum(element, block.tally):
        yield Fault(element, "not the sum of the amounts in the block")


@rule("total_settled", Scope.MESSAGE, Layer.CROSS, "AM10", messages="pacs.003 pacs.004 pacs.007 pacs.008 pacs.009")
def total_settled(message: Message, _: Context) -> Faults:
    """The total settled, returned or reversed is the sum of the transactions, all in its currency."""
    for name in _TOTALS:
        element = message.head.first(name)
        if element is None or not message.tally.count:
            continue
        if message.tally.currencies - {element.get("Ccy") or ""}:
            yield Fault(element, "transactions in another currency than the total", "AM03", "Ccy")
        elif _wrong_sum(element, message.tally):
            yield Fault(element, "not the sum of the transactions' amounts")


@rule("control_data", Scope.MESSAGE, Layer.CROSS, "AM18", messages="camt.055 camt.056")
def control_data(message: Message, _: Context) -> Faults:
    """CtrlData of a cancellation request counts and sums its transactions."""
    found = Node(message.parts.first("CtrlData"))
    if message.whole or not message.tally.count:
        return
    count, total = found.first("NbOfTxs"), found.first("CtrlSum")
    if count is not None and _wrong_count(count, message.tally.count):
        yield Fault(count, f"the request has {message.tally.count} transactions")
    if total is not None and _wrong_sum(total, message.tally):
        yield Fault(total, "not the sum of the transactions' amounts", "AM10")


@rule("reversed_amount", Scope.TRANSACTION, Layer.CROSS, "AM09", messages="pain.007 pacs.004 pacs.007")
def reversed_amount(transaction: Transaction, context: Context) -> Faults:
    """What is returned or reversed is in the currency of the original, and in that currency not more."""
    name = "OrgnlInstdAmt" if context.message.family == "pain.007" else "OrgnlIntrBkSttlmAmt"
    stated, element = transaction.first(name), transaction.amount_element
    original = transaction.original
    currency = (stated.get("Ccy") if stated is not None else "") or (original.currency if original is not None else "")
    amount = exact(stated.text) if stated is not None else original.amount if original is not None else None
    if element is None or not currency:
        return
    if transaction.currency != currency:
        yield Fault(element, "another currency than the original was settled in", "AM03", "Ccy")
    elif transaction.amount is not None and amount is not None and transaction.amount > amount:
        yield Fault(element, "more than the original amount")


@rule("returned_rate", Scope.TRANSACTION, Layer.CROSS, "CH21", messages="pacs.004")
def returned_rate(transaction: Transaction, _: Context) -> Faults:
    """XchgRate is there when the returned instructed amount has another currency than the settled one."""
    instructed = transaction.first("RtrdInstdAmt")
    if (
        instructed is not None
        and transaction.currency
        and instructed.get("Ccy") != transaction.currency
        and "XchgRate" not in transaction
    ):
        yield Fault(instructed, "another currency than RtrdIntrBkSttlmAmt, and no XchgRate")
