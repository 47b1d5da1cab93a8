"""Write account reports as XML: camt.052.001.08, camt.053.001.08 and camt.054.001.08, which share their entries.

A report is written piece by piece, so that its length does not matter: what comes before the entries, each entry, the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape

from shanraq import accounts, ledger
from shanraq.standards.iso20022.codes import code_edition
from shanraq.standards.iso20022.identifiers import bic_fault, iban_fault
from shanraq.statements.bookings import Booking
from shanraq.statements.codes import ISSUER, domain_of, own_code_of
from shanraq.statements.institution import Institution

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"
_ACCOUNT_SCHEME: Final = "SHANRAQ_ACCOUNT_ID"
_NOT_PROVIDED: Final = "NOTPROVIDED"
# What XML 1.0 cannot hold, and what ends a line or a column there.
_UNWRITABLE: Final = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")
_NAME_LIMIT: Final = 140
_TEXT_LIMIT: Final = 140
_REFERENCE_LIMIT: Final = 35
_NUMBER_LIMIT: Final = 34


class Form(Enum):
    """A message: its definition and the names of its elements."""

    INTRADAY = "camt.052.001.08", "BkToCstmrAcctRpt", "Rpt", "RptPgntn"
    STATEMENT = "camt.053.001.08", "BkToCstmrStmt", "Stmt", "StmtPgntn"
    NOTIFICATION = "camt.054.001.08", "BkToCstmrDbtCdtNtfctn", "Ntfctn", "NtfctnPgntn"

    @property
    def definition(self) -> str:
        """Return the message identifier, such as camt.053.001.08."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class HeldBalance:
    """A balance of a report: its type, minor units (negative: a debit), and when; `intermediate` at the edge of a page."""

    code: str
    minor: int
    at: date | datetime
    intermediate: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the entries. Times are in the zone of the institution; `turnover` only where it is summed up."""

    form: Form
    message_id: str
    report_id: str
    created_at: datetime
    account: accounts.Account
    institution: Institution
    page: int = 1
    last_page: bool = True
    number: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    balances: tuple[HeldBalance, ...] = ()
    turnover: ledger.Turnover | None = None


def write_head(head: Head) -> bytes:
    """Return the beginning of a message, up to its first entry."""
    return "".join(_head(head)).encode()


def write_entries(head: Head, bookings: Iterable[Booking]) -> bytes:
    """Return the entries of bookings, in their order."""
    writer = _EntryWriter(head.account, head.institution)
    return "".join([piece for booking in bookings for piece in writer.entry(booking)]).encode()


def write_end(form: Form) -> bytes:
    """Return the end of a message, after its last entry."""
    _, message, report, _ = form.value
    return f"</{report}></{message}></Document>\n".encode()


def _head(head: Head) -> Iterator[str]:
    definition, message, report, pagination = head.form.value
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<Document xmlns="{_NAMESPACE}{definition}"><{message}>'
    created = head.created_at.isoformat(timespec="milliseconds")
    yield f"<GrpHdr><MsgId>{head.message_id}</MsgId><CreDtTm>{created}</CreDtTm></GrpHdr>"
    last = "true" if head.last_page else "false"
    yield f"<{report}><Id>{head.report_id}</Id>"
    yield f"<{pagination}><PgNb>{head.page}</PgNb><LastPgInd>{last}</LastPgInd></{pagination}>"
    if head.number is not None:
        yield f"<ElctrncSeqNb>{head.number}</ElctrncSeqNb>"
    yield f"<CreDtTm>{created}</CreDtTm>"
    if head.since is not None and head.until is not None:
        since, until = (moment.isoformat(timespec="milliseconds") for moment in (head.since, head.until))
        yield f"<FrToDt><FrDtTm>{since}</FrDtTm><ToDtTm>{until}</ToDtTm></FrToDt>"
    yield from _account(head.account, head.institution)
    for balance in head.balances:
        yield from _balance(balance, head.account)
    if head.turnover is not None:
        yield from _summary(head.turnover, head.account)


def _account(account: accounts.Account, institution: Institution) -> Iterator[str]:
    yield f"<Acct>{_account_id(account.iban or account.id)}<Ccy>{account.currency}</Ccy>"
    if name := _text(account.name, _NAME_LIMIT):
        yield f"<Ownr><Nm>{name}</Nm></Ownr>"
    if institution.bic:
        yield f"<Svcr><FinInstnId><BICFI>{institution.bic}</BICFI></FinInstnId></Svcr>"
    yield "</Acct>"


def _balance(balance: HeldBalance, account: accounts.Account) -> Iterator[str]:
    yield f"<Bal><Tp><CdOrPrtry><Cd>{balance.code}</Cd></CdOrPrtry>"
    if balance.intermediate:
        yield "<SubTp><Cd>INTM</Cd></SubTp>"
    amount = decimal_text(abs(balance.minor), account.money.exponent)
    yield f'</Tp><Amt Ccy="{account.currency}">{amount}</Amt><CdtDbtInd>{_sign(balance.minor)}</CdtDbtInd>'
    if isinstance(balance.at, datetime):
        yield f"<Dt><DtTm>{balance.at.isoformat(timespec='milliseconds')}</DtTm></Dt></Bal>"
    else:
        yield f"<Dt><Dt>{balance.at.isoformat()}</Dt></Dt></Bal>"


def _summary(turnover: ledger.Turnover, account: accounts.Account) -> Iterator[str]:
    digits = account.money.exponent
    net = turnover.credited - turnover.debited
    yield f"<TxsSummry><TtlNtries><NbOfNtries>{turnover.credits + turnover.debits}</NbOfNtries>"
    yield f"<Sum>{decimal_text(turnover.credited + turnover.debited, digits)}</Sum>"
    yield f"<TtlNetNtry><Amt>{decimal_text(abs(net), digits)}</Amt><CdtDbtInd>{_sign(net)}</CdtDbtInd></TtlNetNtry></TtlNtries>"
    yield f"<TtlCdtNtries><NbOfNtries>{turnover.credits}</NbOfNtries>"
    yield f"<Sum>{decimal_text(turnover.credited, digits)}</Sum></TtlCdtNtries>"
    yield f"<TtlDbtNtries><NbOfNtries>{turnover.debits}</NbOfNtries>"
    yield f"<Sum>{decimal_text(turnover.debited, digits)}</Sum></TtlDbtNtries></TxsSummry>"


class _EntryWriter:
    """Writes the entries of one account."""

    def __init__(self, account: accounts.Account, institution: Institution) -> None:
        self._currency = account.currency
        self._digits = account.money.exponent
        self._institution = institution

    def entry(self, booking: Booking) -> Iterator[str]:
        """Yield the pieces of an entry (ReportEntry10)."""
        entry = booking.entry
        at = self._institution.local(ledger.instant_of(entry.timestamp))
        amount = f'<Amt Ccy="{self._currency}">{decimal_text(entry.amount, self._digits)}</Amt>'
        sign = "<CdtDbtInd>CRDT</CdtDbtInd>" if booking.credit else "<CdtDbtInd>DBIT</CdtDbtInd>"
        yield f"<Ntry><NtryRef>{entry.seq}</NtryRef>{amount}{sign}"
        if booking.reversal:
            yield "<RvslInd>true</RvslInd>"
        yield f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><DtTm>{at.isoformat(timespec='milliseconds')}</DtTm></BookgDt>"
        yield f"<ValDt><Dt>{at.date().isoformat()}</Dt></ValDt><AcctSvcrRef>{booking.transaction_id}</AcctSvcrRef>"
        yield f"{_codes(booking)}<NtryDtls><TxDtls>"
        yield from _references(booking)
        yield f"{amount}{sign}"
        yield from _parties(booking)
        yield from self._agents(booking)
        yield from _purpose(booking)
        yield "</TxDtls></NtryDtls></Ntry>"

    def _agents(self, booking: Booking) -> Iterator[str]:
        if booking.details is None:
            return
        ours = _agent(self._institution.bic)
        here = booking.creditor is not None and _own(booking.creditor)
        theirs = _agent(booking.details.creditor_agent) or (ours if here else "")
        if ours or theirs:
            yield "<RltdAgts>"
            if ours:
                yield f"<DbtrAgt>{ours}</DbtrAgt>"
            if theirs:
                yield f"<CdtrAgt>{theirs}</CdtrAgt>"
            yield "</RltdAgts>"


def _codes(booking: Booking) -> str:
    domain = domain_of(booking)
    named = (
        ""
        if domain is None
        else f"<Domn><Cd>{domain[0]}</Cd><Fmly><Cd>{domain[1]}</Cd><SubFmlyCd>{domain[2]}</SubFmlyCd></Fmly></Domn>"
    )
    return f"<BkTxCd>{named}<Prtry><Cd>{own_code_of(booking)}</Cd><Issr>{ISSUER}</Issr></Prtry></BkTxCd>"


def _references(booking: Booking) -> Iterator[str]:
    transfer = booking.transfer
    yield f"<Refs><AcctSvcrRef>{booking.transaction_id}</AcctSvcrRef>"
    if transfer is None:
        yield f"<EndToEndId>{_NOT_PROVIDED}</EndToEndId><TxId>{booking.transaction_id}</TxId>"
        reference = booking.transaction.reference if booking.transaction is not None else ""
        if len(reference) <= _REFERENCE_LIMIT and (written := _text(reference, _REFERENCE_LIMIT)):
            yield f"<AcctOwnrTxId>{written}</AcctOwnrTxId>"
    else:
        if block_id := _text(transfer.block_id, _REFERENCE_LIMIT):
            yield f"<PmtInfId>{block_id}</PmtInfId>"
        if instruction_id := _text(transfer.instruction_id, _REFERENCE_LIMIT):
            yield f"<InstrId>{instruction_id}</InstrId>"
        yield f"<EndToEndId>{_text(transfer.end_to_end_id, _REFERENCE_LIMIT) or _NOT_PROVIDED}</EndToEndId>"
        if transfer.uetr:
            yield f"<UETR>{transfer.uetr}</UETR>"
        yield f"<TxId>{transfer.id}</TxId>"
    yield "</Refs>"


def _parties(booking: Booking) -> Iterator[str]:
    details = booking.details
    if details is None:
        pieces = [
            *_end("Dbtr", _own_name(booking.debtor), _own_number(booking.debtor)),
            *_end("Cdtr", _own_name(booking.creditor), _own_number(booking.creditor)),
        ]
    else:
        carried = details.carried
        pieces = [
            *_end("Dbtr", carried.get("Dbtr") or _named(details.debtor_name), details.debtor_account),
            *_ultimate("UltmtDbtr", carried),
            *_end("Cdtr", carried.get("Cdtr") or _named(details.creditor_name), details.creditor_account),
            *_ultimate("UltmtCdtr", carried),
        ]
    if pieces:
        yield "<RltdPties>"
        yield from pieces
        yield "</RltdPties>"


def _end(name: str, party: str, number: str) -> Iterator[str]:
    if party:
        yield f"<{name}>{_inside(party, name)}</{name}>"
    if number and len(number) <= _NUMBER_LIMIT:
        yield f"<{name}Acct>{_account_id(number)}</{name}Acct>"


def _inside(party: str, name: str) -> str:
    """Return a party as a choice of parties: what is carried on is a whole element of its name."""
    content = party.removeprefix(f"<{name}>").removesuffix(f"</{name}>")
    return f"<Pty>{content}</Pty>"


def _ultimate(name: str, carried: dict[str, str]) -> Iterator[str]:
    if name in carried:
        yield f"<{name}>{_inside(carried[name], name)}</{name}>"


def _named(name: str) -> str:
    written = _text(name, _NAME_LIMIT)
    return f"<Nm>{written}</Nm>" if written else ""


def _own(account: accounts.Account) -> bool:
    return account.kind is not accounts.AccountKind.SYSTEM


def _own_name(account: accounts.Account | None) -> str:
    return _named(account.name) if account is not None and _own(account) else ""


def _own_number(account: accounts.Account | None) -> str:
    return account.iban or account.id if account is not None and _own(account) else ""


def _agent(agent: str) -> str:
    """Return a bank by its BIC, or by its member id in a clearing system."""
    if not agent:
        return ""
    if bic_fault(agent) is None:
        return f"<FinInstnId><BICFI>{agent}</BICFI></FinInstnId>"
    return f"<FinInstnId><ClrSysMmbId><MmbId>{_text(agent, _REFERENCE_LIMIT)}</MmbId></ClrSysMmbId></FinInstnId>"


def _purpose(booking: Booking) -> Iterator[str]:
    details, transfer = booking.details, booking.transfer
    if details is None or transfer is None:
        yield from _remittance(booking.transaction.description if booking.transaction is not None else "")
    else:
        yield details.carried.get("Purp", "")
        if "RmtInf" in details.carried:
            yield details.carried["RmtInf"]
        else:
            yield from _remittance(details.remittance)
        if booking.returned:
            yield from _return(transfer.reason, transfer.reason_text)
    if booking.transaction is not None and len(booking.transaction.reference) > _REFERENCE_LIMIT:
        yield f"<AddtlTxInf>{_text(booking.transaction.reference, 500)}</AddtlTxInf>"


def _remittance(remittance: str) -> Iterator[str]:
    clean = _UNWRITABLE.sub(" ", remittance).strip()
    lines = [clean[start : start + _TEXT_LIMIT].strip() for start in range(0, len(clean), _TEXT_LIMIT)]
    if any(lines):
        yield "<RmtInf>"
        yield from (f"<Ustrd>{escape(line)}</Ustrd>" for line in lines if line)
        yield "</RmtInf>"


def _return(reason: str, words: str) -> Iterator[str]:
    yield "<RtrInf>"
    if reason:
        known = reason in _return_reasons()
        yield (
            f"<Rsn><Cd>{reason}</Cd></Rsn>" if known else f"<Rsn><Prtry>{_text(reason, _REFERENCE_LIMIT)}</Prtry></Rsn>"
        )
    clean = _UNWRITABLE.sub(" ", words).strip()
    for start in range(0, len(clean), 105):
        if line := clean[start : start + 105].strip():
            yield f"<AddtlInf>{escape(line)}</AddtlInf>"
    yield "</RtrInf>"


@lru_cache(maxsize=1)
def _return_reasons() -> frozenset[str]:
    return frozenset(code_edition().sets["ExternalReturnReason1Code"])


@lru_cache(maxsize=4096)
def _account_id(number: str) -> str:
    if iban_fault(number) is None:
        return f"<Id><IBAN>{number}</IBAN></Id>"
    scheme = f"<SchmeNm><Prtry>{_ACCOUNT_SCHEME}</Prtry></SchmeNm>" if number.startswith("acc_") else ""
    return f"<Id><Othr><Id>{_text(number, _NUMBER_LIMIT)}</Id>{scheme}</Othr></Id>"


def _text(value: str, limit: int) -> str:
    """Return a text as XML, cut to a limit; "" where nothing is left of it."""
    return escape(_UNWRITABLE.sub(" ", value).strip()[:limit].strip())


def _sign(minor: int) -> str:
    return "DBIT" if minor < 0 else "CRDT"


def decimal_text(minor: int, digits: int) -> str:
    """Write minor units, not negative, as a decimal number of the currency."""
    if not digits:
        return str(minor)
    text = str(minor).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}"
