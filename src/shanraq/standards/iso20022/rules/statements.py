"""Rules about account reports, statements and notifications: balances, summaries, entries and their details.

CdtDbtInd gives the direction of a booking; RvslInd only says that it reverses an earlier one, so the equation of balances does
not look at it. Pending entries and those for information are on no booked balance.
"""

from __future__ import annotations

from typing import Final

from lxml import etree

from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.errors import Layer, Severity
from shanraq.standards.iso20022.rules.context import Block, Context, Details, Transaction
from shanraq.standards.iso20022.rules.originals import opening_balance, signed
from shanraq.standards.iso20022.rules.registry import Fault, Faults, Scope, rule
from shanraq.standards.iso20022.tree import Node, child, text

REPORTS: Final = "camt.052 camt.053 camt.054"
_PAGES: Final = ("StmtPgntn", "RptPgntn", "NtfctnPgntn")
_RECORDS: Final = (("Chrgs", "TtlChrgsAndTaxAmt"), ("Intrst", "TtlIntrstAndTaxAmt"))


@rule("closing_balance", Scope.BLOCK, Layer.CROSS, "", messages="camt.053")
def closing_balance(block: Block, _: Context) -> Faults:
    """The booked closing balance of a statement on one page is the opening balance plus credits less debits that are booked."""
    closing = next((found for found in block.all("Bal") if text(found, "Tp", "CdOrPrtry", "Cd") == "CLBD"), None)
    opening = opening_balance(block)
    if closing is None or opening is None or not _is_complete(block):
        return
    before, after = signed(opening), signed(closing)
    currencies = {_currency(opening), _currency(closing)} | block.tally.currencies
    if before is None or after is None or block.tally.sum is None or len(currencies) > 1:
        return
    if before + block.tally.by_status["BOOK"][1] != after:
        yield Fault(closing, "not the opening balance plus the booked entries")


def _currency(balance: etree._Element) -> str:
    amount = child(balance, "Amt")
    return "" if amount is None else amount.get("Ccy") or ""


def _is_complete(block: Block) -> bool:
    """Tell whether all entries stand here: on one page, and not in total only."""
    page = next((found for name in _PAGES if (found := block.first(name)) is not None), None)
    single = page is None or ((text(page, "PgNb") or "").strip("0") == "1" and text(page, "LastPgInd") in ("true", "1"))
    return single and ("Ntry" in block or "TxsSummry" not in block)


@rule("entries_summary", Scope.BLOCK, Layer.CROSS, "AM10", messages=REPORTS)
def entries_summary(block: Block, _: Context) -> Faults:
    """The summary counts and sums the entries, credits and debits, and its net has their sign."""
    summary = block.first("TxsSummry")
    if summary is None or "Ntry" not in block or not _is_complete(block):
        return
    tally = block.tally
    credited, debited = tally.credits, tally.debits
    both = [credited[0] + debited[0], credited[1] + debited[1]]
    for name, (count, total) in (("TtlNtries", both), ("TtlCdtNtries", credited), ("TtlDbtNtries", debited)):
        part = child(summary, name)
        number, stated = child(part, "NbOfNtries"), child(part, "Sum")
        value = (number.text or "").strip() if number is not None else ""
        if number is not None and value.isascii() and value.isdigit() and int(value) != count:
            yield Fault(number, f"{count} such entries are listed", "AM18")
        if stated is not None and tally.sum is not None and exact(stated.text) not in (None, total):
            yield Fault(stated, "not the sum of these entries")
    yield from _net(child(summary, "TtlNtries"), credited[1] - debited[1], readable=tally.sum is not None)


def _net(part: etree._Element | None, net: int, *, readable: bool) -> Faults:
    found = child(part, "TtlNetNtry")
    if found is not None and readable:
        stated = signed(found)
        if stated is not None and stated != net:
            yield Fault(found, "not credits less debits of the entries")
        return
    amount = child(part, "TtlNetNtryAmt")
    indicator = text(part, "CdtDbtInd")
    value = None if amount is None else exact(amount.text)
    if amount is not None and value is not None and readable and (-value if indicator == "DBIT" else value) != net:
        yield Fault(amount, "not credits less debits of the entries")


@rule("entry_currency", Scope.TRANSACTION, Layer.CROSS, "CURR", messages=REPORTS, reads="Amt@Ccy")
def entry_currency(transaction: Transaction, _: Context) -> Faults:
    """An entry is in the currency of its account."""
    currency = transaction.block.text("Acct", "Ccy") if transaction.block is not None else None
    if (
        currency
        and transaction.amount_element is not None
        and transaction.currency
        and transaction.currency != currency
    ):
        yield Fault(transaction.amount_element, "another currency than the account", attribute="Ccy")


@rule("batch_count", Scope.DETAILS, Layer.CROSS, "AM18", severity=Severity.WARNING, messages=REPORTS)
def batch_count(details: Details, _: Context) -> Faults:
    """NbOfTxs of a batch is the number of its transactions that are listed (warning: they need not be)."""
    number = details.first("Btch", "NbOfTxs")
    if number is not None and details.listed and (number.text or "").strip() != str(details.listed):
        yield Fault(number, f"{details.listed} transactions of the batch are listed")


@rule("entry_details", Scope.TRANSACTION, Layer.CROSS, "AM09", messages=REPORTS)
def entry_details(transaction: Transaction, _: Context) -> Faults:
    """The amount of an entry is the sum of its details, and of its batches."""
    element, details, amount = transaction.amount_element, transaction.details, transaction.amount
    if element is None or amount is None or details is None:
        return
    ours = {transaction.currency}
    total = details.total(transaction.text("CdtDbtInd"))
    if details.listed and details.readable and details.currencies == ours and total != amount:
        yield Fault(element, "not the sum of its details")
    elif details.batches == details.parts and details.batch_currencies == ours and details.batch_total != amount:
        yield Fault(element, "not the sum of its batches")


@rule("entry_charges", Scope.TRANSACTION, Layer.CROSS, "AM10", severity=Severity.WARNING, messages=REPORTS)
def entry_charges(transaction: Transaction, _: Context) -> Faults:
    """The total of charges or interest of an entry is the sum of its records."""
    for name, total_name in _RECORDS:
        part = Node(transaction.first(name))
        total = part.first(total_name)
        records = part.all("Rcrd")
        amounts = [child(found, "Amt") for found in records]
        if total is None or not records or any(one is None or one.get("Ccy") != total.get("Ccy") for one in amounts):
            continue
        values = [exact(text(found, "Amt")) for found in records]
        if all(value is not None for value in values) and exact(total.text) != sum(
            value for value in values if value is not None
        ):
            yield Fault(total, "not the sum of its records")


@rule(
    "booked_entry",
    Scope.TRANSACTION,
    Layer.PROFILE,
    "CH21",
    messages="camt.052 camt.054",
    setting="booked_entry_dated",
    reads="Sts Cd",
)
def booked_entry(transaction: Transaction, _: Context) -> Faults:
    """A booked entry has a booking date or a value date."""
    status = transaction.text("Sts", "Cd") or transaction.text("Sts")
    if (status or "").strip() == "BOOK" and "BookgDt" not in transaction and "ValDt" not in transaction:
        yield Fault(transaction.place, "a booked entry has BookgDt or ValDt")
