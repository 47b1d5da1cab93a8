"""Rules about statuses: of transactions, blocks and groups, their reasons and numbers, and about resolutions of cases."""

from __future__ import annotations

from typing import Final

from lxml import etree

from shanraq.standards.iso20022.errors import Layer
from shanraq.standards.iso20022.identifiers import same_bic
from shanraq.standards.iso20022.rules.context import Block, Context, Message, Tally, Transaction
from shanraq.standards.iso20022.rules.registry import Fault, Faults, Scope, rule
from shanraq.standards.iso20022.store import bic_of
from shanraq.standards.iso20022.tree import Node, child, text

_RESOLUTIONS: Final = {"CNCL": "ACCR", "RJCR": "RJCR", "PDCR": "PDCR"}
_ACCEPTED: Final = frozenset({"ACCP", "ACCC", "ACSC", "ACSP", "ACTC", "ACWC"})


@rule("group_status_of_transaction", Scope.TRANSACTION, Layer.CROSS, "CH16", messages="pain.002 pacs.002")
def group_status_of_transaction(transaction: Transaction, _: Context) -> Faults:
    """PART is a status of groups only."""
    status = transaction.first("TxSts")
    if status is not None and status.text == "PART":
        yield Fault(status, "PART is a status of groups, not of a transaction")


@rule("group_status", Scope.MESSAGE, Layer.CROSS, "CH16", messages="pain.002 pacs.002")
def group_status(message: Message, _: Context) -> Faults:
    """The status of the group agrees with its transactions: alike that status, mixed PART, all rejected RJCT."""
    group = Node(message.parts.first("OrgnlGrpInfAndSts"))
    yield from _status_agrees(group.first("GrpSts"), group.text("OrgnlNbOfTxs"), message.tally)


@rule("block_status", Scope.BLOCK, Layer.CROSS, "CH16", messages="pain.002")
def block_status(block: Block, _: Context) -> Faults:
    """The status of a payment block agrees with its transactions."""
    yield from _status_agrees(block.first("PmtInfSts"), block.text("OrgnlNbOfTxs"), block.tally)


def _status_agrees(element: etree._Element | None, count: str | None, tally: Tally) -> Faults:
    found = {status for status, numbers in tally.by_status.items() if numbers[0] and status}
    if element is None or not found:
        return
    status = element.text or ""
    if status == "RJCT" and found != {"RJCT"}:
        yield Fault(element, "RJCT, and a transaction has another status")
    elif status in _ACCEPTED and "RJCT" in found:
        yield Fault(element, f"{status}, and a transaction is rejected")
    elif status == "PART" and len(found) == 1 and (count or "").strip() == str(tally.count):
        yield Fault(element, "PART, and all transactions have the same status")


@rule("status_count", Scope.MESSAGE, Layer.CROSS, "AM18", messages="pain.002 pacs.002")
def status_count(message: Message, _: Context) -> Faults:
    """The numbers by status agree with the transactions: not less than are listed, and equal where all are listed."""
    group = message.parts.first("OrgnlGrpInfAndSts")
    yield from _counts_agree(Node(group), message.tally)


@rule("status_count_block", Scope.BLOCK, Layer.CROSS, "AM18", messages="pain.002")
def status_count_block(block: Block, _: Context) -> Faults:
    """The same of a payment block."""
    yield from _counts_agree(block, block.tally)


def _counts_agree(place: Node, tally: Tally) -> Faults:
    whole = (place.text("OrgnlNbOfTxs") or "").strip() == str(tally.count) and tally.count > 0
    for part in place.all("NbOfTxsPerSts"):
        element = child(part, "DtldNbOfTxs")
        stated = (element.text or "").strip() if element is not None else ""
        listed = tally.by_status.get(text(part, "DtldSts") or "", [0])[0]
        if (
            element is not None
            and stated.isascii()
            and stated.isdigit()
            and (int(stated) < listed or (whole and int(stated) != listed))
        ):
            yield Fault(element, f"{listed} transactions with this status are listed")


@rule(
    "rejection_reason",
    Scope.TRANSACTION,
    Layer.CROSS,
    "CH21",
    messages="pain.002 pacs.002",
    setting="reject_needs_reason",
)
def rejection_reason(transaction: Transaction, _: Context) -> Faults:
    """A rejected transaction has a reason."""
    status = transaction.first("TxSts")
    if status is not None and status.text == "RJCT" and transaction.first("StsRsnInf", "Rsn") is None:
        yield Fault(transaction.place, "RJCT needs a reason")


@rule(
    "group_rejection_reason",
    Scope.MESSAGE,
    Layer.CROSS,
    "CH21",
    messages="pain.002 pacs.002",
    setting="reject_needs_reason",
)
def group_rejection_reason(message: Message, _: Context) -> Faults:
    """A rejected group has a reason, its own or those of its transactions."""
    group = message.parts.first("OrgnlGrpInfAndSts")
    if group is None or text(group, "GrpSts") != "RJCT" or message.tally.count or message.block_gives_reason:
        return
    if child(group, "StsRsnInf", "Rsn") is None:
        yield Fault(group, "RJCT needs a reason")


@rule(
    "rejected_settlement", Scope.TRANSACTION, Layer.PROFILE, "CH17", messages="pacs.002", setting="reject_needs_reason"
)
def rejected_settlement(transaction: Transaction, _: Context) -> Faults:
    """A rejected payment has no effective settlement date."""
    element = transaction.first("FctvIntrBkSttlmDt")
    if element is not None and transaction.text("TxSts") == "RJCT":
        yield Fault(element, "a rejected payment was not settled")


@rule("cancellation_reason", Scope.TRANSACTION, Layer.CROSS, "CH21", messages="camt.029", setting="reject_needs_reason")
def cancellation_reason(transaction: Transaction, _: Context) -> Faults:
    """A refused cancellation (RJCR) has a reason."""
    status = transaction.first("TxCxlSts")
    if status is not None and status.text == "RJCR" and transaction.first("CxlStsRsnInf", "Rsn") is None:
        yield Fault(transaction.place, "RJCR needs a reason")


@rule(
    "return_reason",
    Scope.TRANSACTION,
    Layer.PROFILE,
    "CH21",
    messages="pacs.004 pacs.007 pain.007 camt.056",
    setting="reject_needs_reason",
)
def return_reason(transaction: Transaction, _: Context) -> Faults:
    """A return, reversal or cancellation request has a reason."""
    names = ("RtrRsnInf", "RvslRsnInf", "CxlRsnInf")
    if all(transaction.first(name, "Rsn") is None for name in names):
        yield Fault(transaction.place, "the reason is missing")


@rule("resolution", Scope.TRANSACTION, Layer.CROSS, "CH16", messages="camt.029")
def resolution(transaction: Transaction, context: Context) -> Faults:
    """The outcome of a case agrees with its transactions: CNCL with ACCR, RJCR with RJCR, PDCR with PDCR."""
    outcome = text(context.message.parts.first("Sts"), "Conf") or ""
    status = transaction.first("TxCxlSts")
    if status is not None and outcome in _RESOLUTIONS and status.text != _RESOLUTIONS[outcome]:
        yield Fault(status, f"the case is {outcome}, the transaction is not")


@rule(
    "assignment",
    Scope.MESSAGE,
    Layer.CROSS,
    "CH16",
    messages="camt.026 camt.027 camt.028 camt.029 camt.055 camt.056 camt.087",
)
def assignment(message: Message, _: Context) -> Faults:
    """A case is not assigned to the one who assigns it."""
    element = message.head.first("Assgne", "Agt", "FinInstnId")
    left, right = bic_of(message.head.first("Assgnr", "Agt", "FinInstnId")), bic_of(element)
    if element is not None and left and right and same_bic(left, right):
        yield Fault(element, "assigner and assignee are the same")
