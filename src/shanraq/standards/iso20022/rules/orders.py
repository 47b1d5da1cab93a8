"""Rules about one order or settlement: identifiers, levels, charges, agents, instructions, dates, mandates."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.errors import Layer, Severity
from shanraq.standards.iso20022.identifiers import kz_bank_of_iban, kz_bic_of_bank, same_bic
from shanraq.standards.iso20022.paths import local_name
from shanraq.standards.iso20022.rules.context import Block, Context, Message, Transaction, parse_day, parse_moment
from shanraq.standards.iso20022.rules.elements import is_kz_purpose
from shanraq.standards.iso20022.rules.registry import Fault, Faults, Scope, rule
from shanraq.standards.iso20022.store import NOT_PROVIDED, bic_of
from shanraq.standards.iso20022.tree import Node, child, text

ORDERS: Final = "pain.001 pain.008 pacs.003 pacs.008 pacs.009 pacs.010"
SETTLEMENTS: Final = "pacs.003 pacs.008 pacs.009 pacs.010"
_IDENTIFIERS: Final = {"EndToEndId": "DU04", "InstrId": "DU05", "TxId": "DU03", "UETR": "DU03"}
_TWO_LEVELS: Final = {
    "pain": ("PmtTpInf", "ChrgBr", "UltmtDbtr", "UltmtCdtr", "ChrgsAcct", "CdtrSchmeId"),
    "pacs": ("IntrBkSttlmDt", "InstgAgt", "InstdAgt", "PmtTpInf", "SttlmInf"),
}
_ACCOUNTS_OF_AGENTS: Final = (
    "IntrmyAgt1", "IntrmyAgt2", "IntrmyAgt3", "PrvsInstgAgt1", "PrvsInstgAgt2", "PrvsInstgAgt3", "PrvsInstgAgt",
    "DbtrAgt", "CdtrAgt",
)  # fmt: skip
_EXCLUDED: Final = (("CHQB", "HOLD"), ("PHOB", "TELB"))


def _is_duplicate(name: str, value: str, context: Context) -> bool:
    return value not in ("", NOT_PROVIDED) and context.is_repeated(name, value)


@rule(
    "duplicate_id",
    Scope.TRANSACTION,
    Layer.CROSS,
    "AM05",
    messages=ORDERS,
    reads="PmtId/EndToEndId PmtId/InstrId PmtId/TxId PmtId/UETR",
    keeps=True,
    repeats=_is_duplicate,
)
def duplicate_id(transaction: Transaction, context: Context) -> Faults:
    """EndToEndId (but for NOTPROVIDED), InstrId, TxId and UETR do not repeat in a message."""
    identifiers = transaction.first("PmtId")
    for element in () if identifiers is None else identifiers.iterchildren("*"):
        name = local_name(element)
        reason = _IDENTIFIERS.get(name)
        if reason and _is_duplicate(name, element.text or "", context):
            yield Fault(element, f"the same {name} stands in an earlier transaction of the message", reason)


@rule("duplicate_block_id", Scope.BLOCK, Layer.CROSS, "DU02", messages="pain.001 pain.008")
def duplicate_block_id(block: Block, context: Context) -> Faults:
    """PmtInfId does not repeat in a message."""
    element = block.first("PmtInfId")
    if element is not None and element.text and context.is_repeated("PmtInfId", element.text):
        yield Fault(element, "the same PmtInfId stands in an earlier block of the message")


@rule(
    "two_levels",
    Scope.TRANSACTION,
    Layer.CROSS,
    "CH07",
    messages="pain.001 pain.008 pacs.003 pacs.008 pacs.009",
    reads="",
)
def two_levels(transaction: Transaction, context: Context) -> Faults:
    """What stands in the group header or payment block does not stand again in the transaction."""
    message = context.message
    outer: Node | None = transaction.block if message.area == "pain" else message.head
    for name in _TWO_LEVELS[message.area]:
        element = transaction.first(name)
        if element is not None and outer is not None and name in outer:
            yield Fault(element, f"{name} stands already at the level above")


@rule(
    "settlement_date",
    Scope.TRANSACTION,
    Layer.CROSS,
    "CH21",
    severity=Severity.WARNING,
    messages="pacs.003 pacs.008 pacs.009",
    reads="",
)
def settlement_date(transaction: Transaction, context: Context) -> Faults:
    """A settlement has its date, in the group header or in each transaction (warning: a system may imply it)."""
    if "IntrBkSttlmDt" not in transaction and "IntrBkSttlmDt" not in context.message.head:
        yield Fault(transaction.place, "IntrBkSttlmDt is missing here and in the group header")


@rule("cred_charges", Scope.TRANSACTION, Layer.CROSS, "CH21", messages="pacs.008", reads="ChrgBr")
def cred_charges(transaction: Transaction, _: Context) -> Faults:
    """Charges borne by the creditor (CRED) are told in ChrgsInf, zero if none were taken."""
    bearer = transaction.first("ChrgBr")
    if bearer is not None and bearer.text == "CRED" and "ChrgsInf" not in transaction:
        yield Fault(bearer, "CRED needs ChrgsInf, with the amount zero if none")


@rule("debt_charges", Scope.TRANSACTION, Layer.CROSS, "CH16", messages="pacs.008", reads="ChrgBr")
def debt_charges(transaction: Transaction, _: Context) -> Faults:
    """Charges borne by the debtor (DEBT) come in one ChrgsInf at most."""
    found = transaction.all("ChrgsInf")
    if transaction.text("ChrgBr") == "DEBT" and len(found) > 1:
        yield Fault(found[1], "DEBT allows one ChrgsInf")


@rule(
    "exchange_rate",
    Scope.TRANSACTION,
    Layer.CROSS,
    "CH21",
    messages="pacs.003 pacs.008",
    reads="InstdAmt@Ccy IntrBkSttlmAmt@Ccy",
)
def exchange_rate(transaction: Transaction, _: Context) -> Faults:
    """XchgRate is there when instructed and settled currency differ, and only with an instructed amount."""
    instructed, rate = transaction.first("InstdAmt"), transaction.first("XchgRate")
    if instructed is None and rate is not None:
        yield Fault(rate, "XchgRate without InstdAmt", "CH16")
    if (
        instructed is not None
        and rate is None
        and transaction.currency
        and instructed.get("Ccy") != transaction.currency
    ):
        yield Fault(instructed, "another currency than IntrBkSttlmAmt, and no XchgRate")


@rule(
    "agent_order",
    Scope.TRANSACTION,
    Layer.CROSS,
    "RC11",
    messages="pain.001 pacs.004 pacs.007 pacs.008 pacs.009",
    reads="",
)
def agent_order(transaction: Transaction, _: Context) -> Faults:
    """The second intermediary or previous agent comes only with the first, the third only with the second."""
    for kind in ("IntrmyAgt", "PrvsInstgAgt"):
        for number in (2, 3):
            element = transaction.first(f"{kind}{number}")
            if element is not None and f"{kind}{number - 1}" not in transaction:
                yield Fault(element, f"{kind}{number} without {kind}{number - 1}")


@rule("agent_account", Scope.TRANSACTION, Layer.CROSS, "CH17", messages=ORDERS, reads="")
def agent_account(transaction: Transaction, _: Context) -> Faults:
    """An agent's account comes only with the agent."""
    for name in _ACCOUNTS_OF_AGENTS:
        element = transaction.first(f"{name}Acct")
        if (
            element is not None
            and name not in transaction
            and (transaction.block is None or name not in transaction.block)
        ):
            yield Fault(element, f"{name}Acct without {name}")


@rule("creditor_instructions", Scope.TRANSACTION, Layer.CROSS, "CH16", messages="pain.001 pacs.008", reads="Cd")
def creditor_instructions(transaction: Transaction, _: Context) -> Faults:
    """Instructions for the creditor's agent do not repeat; CHQB excludes HOLD and an account, PHOB excludes TELB."""
    by_code: dict[str, etree._Element] = {}
    for element in transaction.all("InstrForCdtrAgt"):
        code = text(element, "Cd")
        if code and code in by_code:
            yield Fault(element, f"{code} is there twice")
        elif code:
            by_code[code] = element
    for left, right in _EXCLUDED:
        if left in by_code and right in by_code:
            yield Fault(by_code[right], f"{left} and {right} exclude each other")
    account = transaction.first("CdtrAcct")
    if "CHQB" in by_code and account is not None:
        yield Fault(account, "a payment by cheque (CHQB) has no creditor's account", "CH17")


@rule("settlement_method", Scope.MESSAGE, Layer.CROSS, "CH21", messages="pacs.003 pacs.004 pacs.007 pacs.008 pacs.009")
def settlement_method(message: Message, _: Context) -> Faults:
    """COVE needs a reimbursement agent (between banks: warning), CLRG has none and names its clearing system (warning)."""
    settlement = message.head.first("SttlmInf")
    if settlement is None:
        return
    found = Node(settlement)
    method = found.text("SttlmMtd")
    agents = [name for name in ("InstgRmbrsmntAgt", "InstdRmbrsmntAgt", "ThrdRmbrsmntAgt") if name in found]
    if method == "COVE" and not agents:
        softer = Severity.WARNING if message.family == "pacs.009" else None
        yield Fault(settlement, "COVE needs a reimbursement agent", severity=softer)
    if method == "CLRG" and agents:
        element = found.first(agents[0])
        assert element is not None
        yield Fault(element, "CLRG has no reimbursement agents", "CH17")
    if method == "CLRG" and "ClrSys" not in found:
        yield Fault(settlement, "CLRG names no clearing system", severity=Severity.WARNING)
    for name in ("InstgRmbrsmntAgt", "InstdRmbrsmntAgt", "ThrdRmbrsmntAgt"):
        element = found.first(f"{name}Acct")
        if element is not None and name not in found:
            yield Fault(element, f"{name}Acct without {name}", "CH17")


@rule("requested_date", Scope.BLOCK, Layer.CROSS, "DT01", messages="pain.001 pain.008")
def requested_date(block: Block, context: Context) -> Faults:
    """The requested day of execution or collection is not past, and not further ahead than the profile allows."""
    element = block.first("ReqdExctnDt") if context.message.family == "pain.001" else block.first("ReqdColltnDt")
    if element is None or context.day is None:
        return
    inner = next(element.iterchildren("*"), element)
    day = parse_day(inner.text)
    if day is None:
        return
    ahead = context.profile.max_days_ahead
    if day < context.day:
        yield Fault(inner, "the requested day is past", "CH04")
    elif ahead is not None and day > context.day + timedelta(days=ahead):
        yield Fault(inner, f"the requested day is more than {ahead} days ahead", "CH03")
    yield from _closed(inner, context)


@rule(
    "settlement_day",
    Scope.TRANSACTION,
    Layer.CROSS,
    "DT01",
    severity=Severity.WARNING,
    messages=SETTLEMENTS,
    reads="IntrBkSttlmDt",
)
def settlement_day(transaction: Transaction, context: Context) -> Faults:
    """The settlement day is a day on which the system is open, by the weekdays and holidays of the profile."""
    yield from _closed(transaction.first("IntrBkSttlmDt"), context)


@rule("settlement_day_of_group", Scope.MESSAGE, Layer.CROSS, "DT01", severity=Severity.WARNING, messages=SETTLEMENTS)
def settlement_day_of_group(message: Message, context: Context) -> Faults:
    """The same of the settlement day in the group header."""
    yield from _closed(message.head.first("IntrBkSttlmDt"), context)


def _closed(element: etree._Element | None, context: Context) -> Faults:
    """Yield a warning where a day is a closed weekday or a holiday of the clearing system that the group header names."""
    profile = context.profile
    if element is None or not (profile.closed_weekdays or profile.holidays):
        return
    day = parse_day(element.text)
    system = context.message.head.first("SttlmInf", "ClrSys")
    name = text(system, "Cd") or text(system, "Prtry") or ""
    if day is not None and profile.is_closed(day, name):
        yield Fault(element, "the system is closed on that day", severity=Severity.WARNING)


@rule("creation_time", Scope.MESSAGE, Layer.CROSS, "DT02")
def creation_time(message: Message, context: Context) -> Faults:
    """A message is not made in the future (one day of tolerance), nor longer ago than references stay unique."""
    element = message.head.first("CreDtTm")
    moment = None if element is None else parse_moment(element.text)
    if element is None or moment is None or context.as_of is None:
        return
    if moment > context.as_of + timedelta(days=1):
        yield Fault(element, "the message was made in the future")
    elif moment < context.as_of - timedelta(days=context.profile.max_age_days):
        yield Fault(element, f"the message was made more than {context.profile.max_age_days} days ago")


@rule(
    "one_transaction",
    Scope.MESSAGE,
    Layer.PROFILE,
    "AM18",
    messages="pacs.004 pacs.008 pacs.009",
    setting="one_transaction",
)
def one_transaction(message: Message, _: Context) -> Faults:
    """A message carries one transaction."""
    if message.tally.count != 1:
        yield Fault(message.head_place, "a message carries one transaction")


@rule(
    "uetr_required",
    Scope.TRANSACTION,
    Layer.PROFILE,
    "CH21",
    messages="pacs.008 pacs.009",
    versions=(8, 99),
    setting="uetr_required",
    reads="",
)
def uetr_required(transaction: Transaction, _: Context) -> Faults:
    """Each payment has a UETR."""
    identifiers = transaction.first("PmtId")
    if identifiers is not None and child(identifiers, "UETR") is None:
        yield Fault(identifiers, "the UETR is missing")


@rule(
    "remittance_place",
    Scope.TRANSACTION,
    Layer.PROFILE,
    "RR07",
    messages="pacs.008 pacs.009",
    setting="remittance_length",
    reads="",
)
def remittance_place(transaction: Transaction, _: Context) -> Faults:
    """RltdRmtInf and RmtInf exclude each other."""
    element = transaction.first("RltdRmtInf")
    if element is not None and "RmtInf" in transaction:
        yield Fault(element, "RltdRmtInf and RmtInf exclude each other")


@rule(
    "clearing_code_country",
    Scope.TRANSACTION,
    Layer.PROFILE,
    "CH21",
    messages="pacs.004 pacs.008 pacs.009",
    setting="clearing_code_in_one_country",
    reads="BIC BICFI Ctry Cd",
)
def clearing_code_country(transaction: Transaction, context: Context) -> Faults:
    """An agent is named by a clearing code alone only where all agents are in one country."""
    alone, countries = [], set()
    head = [context.message.head.first(name, "FinInstnId") for name in ("InstgAgt", "InstdAgt")]
    for agent in (*head, *transaction.place.iter("{*}FinInstnId")):
        if agent is None:
            continue
        bic, code = bic_of(agent), child(agent, "ClrSysMmbId")
        # Codes of clearing systems begin with their country: DEBLZ, USABA.
        system = text(code, "ClrSysId", "Cd") or ""
        countries.add(bic[4:6] or text(agent, "PstlAdr", "Ctry") or system[:2])
        if code is not None and not bic and child(agent, "Nm") is None:
            alone.append(agent)
    if len(countries - {""}) > 1:
        for agent in alone:
            yield Fault(agent, "a clearing code alone, and the agents are not all in one country")


@rule("charge_bearer", Scope.ELEMENT, Layer.PROFILE, "CH16", names="ChrgBr", setting="charge_bearers")
def charge_bearer(element: etree._Element, value: str, context: Context) -> Faults:
    """The charge bearer is one of the profile."""
    if value not in context.profile.charge_bearers:
        yield Fault(element, f"the scheme has only {', '.join(context.profile.charge_bearers)}")


@rule("iban_required", Scope.ELEMENT, Layer.PROFILE, "AC01", names="DbtrAcct CdtrAcct", setting="iban_required")
def iban_required(element: etree._Element, _: str, __: Context) -> Faults:
    """Accounts of debtor and creditor are IBANs."""
    if child(element, "Id", "IBAN") is None:
        yield Fault(element, "the scheme needs an IBAN")


@rule("mandate", Scope.TRANSACTION, Layer.CROSS, "MD02", messages="pain.008 pacs.003", keeps=True)
def mandate(transaction: Transaction, context: Context) -> Faults:
    """A mandate is signed before the collection, tells amendments only when amended, and collects once if OOFF."""
    related = transaction.first("DrctDbtTx", "MndtRltdInf")
    if related is None:
        return
    found = Node(related)
    block = transaction.block
    signed = found.first("DtOfSgntr")
    day = (block.text("ReqdColltnDt") if block is not None else None) or transaction.text("ReqdColltnDt")
    signed_on, collected_on = parse_day(None if signed is None else signed.text), parse_day(day)
    if signed is not None and signed_on is not None and collected_on is not None and signed_on > collected_on:
        yield Fault(signed, "the mandate is signed after the collection", "DT01")
    amendment = found.first("AmdmntInfDtls")
    if amendment is not None and found.text("AmdmntInd") not in ("true", "1"):
        yield Fault(amendment, "details of an amendment, and AmdmntInd is not true")
    sequence = transaction.text("PmtTpInf", "SeqTp") or (block.text("PmtTpInf", "SeqTp") if block is not None else None)
    number = found.first("MndtId")
    if sequence == "OOFF" and number is not None and number.text and context.is_repeated("OOFF", number.text):
        yield Fault(number, "a one-off mandate (OOFF) is collected twice", "MD01")


@rule(
    "mandate_required",
    Scope.TRANSACTION,
    Layer.PROFILE,
    "MD02",
    messages="pain.008 pacs.003",
    setting="mandate_required",
    reads="",
)
def mandate_required(transaction: Transaction, _: Context) -> Faults:
    """A direct debit names its mandate, the day of signature and the sequence type."""
    related = transaction.first("DrctDbtTx", "MndtRltdInf")
    for name in ("MndtId", "DtOfSgntr"):
        if related is None or child(related, name) is None:
            yield Fault(transaction.place if related is None else related, f"{name} is missing")
    block = transaction.block
    if transaction.first("PmtTpInf", "SeqTp") is None and (block is None or block.first("PmtTpInf", "SeqTp") is None):
        yield Fault(transaction.place, "the sequence type (SeqTp) is missing")


@rule(
    "bank_of_account",
    Scope.TRANSACTION,
    Layer.IDENTIFIERS,
    "RC04",
    severity=Severity.WARNING,
    messages="pain.001 pacs.008",
    setting="bank_of_account",
    reads="IBAN BIC BICFI",
)
def bank_of_account(transaction: Transaction, _: Context) -> Faults:
    """The bank code in a Kazakh IBAN is that of the agent's BIC (warning: the table of banks is a default)."""
    yield from _bank_agrees(
        transaction.first("CdtrAcct", "Id", "IBAN"), transaction.first("CdtrAgt", "FinInstnId"), "RC04"
    )
    yield from _bank_agrees(
        transaction.first("DbtrAcct", "Id", "IBAN"), transaction.first("DbtrAgt", "FinInstnId"), "RC03"
    )


@rule(
    "bank_of_debtor",
    Scope.BLOCK,
    Layer.IDENTIFIERS,
    "RC03",
    severity=Severity.WARNING,
    messages="pain.001",
    setting="bank_of_account",
)
def bank_of_debtor(block: Block, _: Context) -> Faults:
    """The bank code in the debtor's Kazakh IBAN is that of the debtor agent's BIC."""
    yield from _bank_agrees(block.first("DbtrAcct", "Id", "IBAN"), block.first("DbtrAgt", "FinInstnId"), "RC03")


def _bank_agrees(account: etree._Element | None, institution: etree._Element | None, reason: str) -> Faults:
    bic = bic_of(institution)
    bank = kz_bank_of_iban(account.text or "") if account is not None else None
    expected = kz_bic_of_bank(bank) if bank is not None else None
    if account is not None and bic and expected is not None and not same_bic(bic[:8], expected):
        yield Fault(account, "the bank code of the IBAN is not that of the agent's BIC", reason)


@rule(
    "account_currency",
    Scope.TRANSACTION,
    Layer.CROSS,
    "AM03",
    severity=Severity.WARNING,
    messages="pain.001",
    reads="InstdAmt@Ccy Amt@Ccy",
)
def account_currency(transaction: Transaction, _: Context) -> Faults:
    """The currency of the amount is that of the debtor's account (warning: the bank may convert)."""
    currency = transaction.block.text("DbtrAcct", "Ccy") if transaction.block is not None else None
    if (
        currency
        and transaction.amount_element is not None
        and transaction.currency
        and transaction.currency != currency
    ):
        yield Fault(transaction.amount_element, "another currency than the debtor's account", attribute="Ccy")


@rule(
    "purpose_code",
    Scope.TRANSACTION,
    Layer.PROFILE,
    "FF07",
    messages="pain.001 pacs.008 pacs.009",
    setting="purpose_code",
)
def purpose_code(transaction: Transaction, context: Context) -> Faults:
    """The national purpose code (КНП) has three digits, and is there where the profile requires it."""
    wanted = context.profile.purpose_code
    assert wanted is not None
    element = transaction.first(*wanted.path)
    if element is None:
        if wanted.required:
            yield Fault(transaction.place, "the purpose code (КНП) is missing")
    elif not is_kz_purpose(element.text or ""):
        yield Fault(element, "the purpose code (КНП) has three digits")


@rule("grouped_whole", Scope.MESSAGE, Layer.CROSS, "CH17", messages="pain.007 pacs.004 pacs.007")
def grouped_whole(message: Message, _: Context) -> Faults:
    """A reversal or return of a whole group has no single transactions below."""
    for name in ("GrpRvsl", "GrpRtr"):
        element = message.head.first(name)
        if element is not None and element.text in ("true", "1") and message.tally.count:
            yield Fault(element, f"{name} is true, and single transactions follow")


@rule("block_whole", Scope.BLOCK, Layer.CROSS, "CH17", messages="pain.007 camt.055 camt.056")
def block_whole(block: Block, _: Context) -> Faults:
    """A reversal or cancellation of a whole payment block or group has no single transactions of it below."""
    for path in (("PmtInfRvsl",), ("PmtInfCxl",), ("OrgnlGrpInfAndCxl", "GrpCxl")):
        element = block.first(*path)
        if element is not None and element.text in ("true", "1") and block.tally.count:
            yield Fault(element, f"{path[-1]} is true, and single transactions follow")
