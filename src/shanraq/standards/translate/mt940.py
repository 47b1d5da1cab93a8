"""MT940 as camt.053, MT942 as camt.052."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from shanraq.standards import mt
from shanraq.standards.iso20022 import Library, Node
from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.identifiers import iban_fault
from shanraq.standards.mt import Field, Message
from shanraq.standards.translate.account import Account, Parts, Translation
from shanraq.standards.translate.draft import Draft, add, at, element_of, put
from shanraq.standards.translate.errors import TranslationError
from shanraq.standards.translate.information import WIDTH, Information, read_information
from shanraq.standards.translate.parties import is_bic, put_account
from shanraq.standards.translate.texts import amount_from_fin, cut, join
from shanraq.standards.translate.versions import HEADER, NOTHING, Target, moment_text

STATEMENT: Final = "camt.053.001.08"
REPORT: Final = "camt.052.001.08"
NO_REFERENCE: Final = "NONREF"
BALANCES: Final = {"60": "OPBD", "62": "CLBD", "64": "CLAV", "65": "FWAV"}
INTERMEDIATE: Final = "INTM"
ISSUER: Final = "SWIFT"
REFERENCE_61: Final = "61"

_TEXT: Final = 500
_REMITTANCE: Final = 140
_REFERENCE: Final = 35
_NAME: Final = 140
_SERVICER: Final = re.compile(r"([A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)/(.+)")
_CREDITS: Final = {"C": "CRDT", "D": "DBIT"}

Places = list[tuple[str, Field]]


def mt940_to_camt053(
    messages: Sequence[Message],
    *,
    to: str = STATEMENT,
    header: str = HEADER,
    created: dt.datetime | None = None,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[Parts]:
    """Return MT940s as the statements of one camt.053, and what became of every value.

    Pages of one statement (28C) that follow each other from 60F to 62F become one statement; a page without the others
    becomes a statement of its own, with StmtPgntn and intermediate balances. `notes` tell where opening balance and entries
    do not give the closing balance. Raises TranslationError.
    """
    return _translate(messages, "940", "camt.053", to, header, created, supply, definitions)


def mt942_to_camt052(
    messages: Sequence[Message],
    *,
    to: str = REPORT,
    header: str = HEADER,
    created: dt.datetime | None = None,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[Parts]:
    """Return MT942s as the reports of one camt.052, and what became of every value.

    `notes` tell where 90D and 90C do not fit the entries. Raises TranslationError.
    """
    return _translate(messages, "942", "camt.052", to, header, created, supply, definitions)


def _translate(
    messages: Sequence[Message],
    message_type: str,
    kind: str,
    to: str,
    header: str,
    created: dt.datetime | None,
    supply: Mapping[str, str],
    definitions: Library | None,
) -> Translation[Parts]:
    if not messages:
        raise TranslationError("another_message", "", "there is no message")
    for message in messages:
        if message.kind != message_type:
            raise TranslationError(
                "another_message", "{2:}", f"a {kind} is made of MT{message_type}, not of a MT{message.kind}"
            )
    target = Target.of(to, kind, header, created, supply, definitions)
    prefixes = [f"message[{number}]/" if len(messages) > 1 else "" for number in range(1, len(messages) + 1)]
    account = Account(
        (prefix + path, value)
        for prefix, message in zip(prefixes, messages, strict=True)
        for path, value in mt.values(message)
    )
    draft = Draft(target.known.definition(STATEMENT if kind == "camt.053" else REPORT))
    group = add(draft.top, "GrpHdr")
    first = messages[0].fields[0].text
    account.supply((put(group, "MsgId", first), ""), first, "derived", "field 20")
    moment = moment_text(target.created)
    account.supply((put(group, "CreDtTm", moment), ""), moment, "default", "the moment of the translation")
    notes: list[str] = []
    for pages in _statements(list(zip(prefixes, messages, strict=True))):
        node = add(draft.top, "Stmt" if kind == "camt.053" else "Rpt")
        if kind == "camt.053":
            account.supply((put(node, "CreDtTm", moment), ""), moment, "default", "the moment of the translation")
        statement = _Statement(account, node, group, pages)
        notes += statement.fill()
    _headers(account, prefixes)
    translation = target.finish(draft, account, f"MT{message_type}", messages[0].sender, messages[0].receiver, first)
    return replace(translation, notes=tuple(notes))


def _headers(account: Account, prefixes: Iterable[str]) -> None:
    for prefix in prefixes:
        for path in ("{1:}/application", "{1:}/service", "{2:}/message_type"):
            if prefix + path in account:
                account.imply(prefix + path)


def _statements(pages: list[tuple[str, Message]]) -> list[list[tuple[str, Message]]]:
    """Put pages of one statement together where all are there, from the first opening balance to the last closing one."""
    found: list[list[tuple[str, Message]]] = []
    for _, several in groupby(pages, key=lambda each: _identity(each[1])):
        group = list(several)
        start = 0
        for position, (_, message) in enumerate(group):
            opens = group[start][1].find("60F") is not None
            if message.find("62F") is not None and opens:
                found.append(group[start : position + 1])
                start = position + 1
            elif not opens or message.find("60F", "60M") is None:
                found += [[page] for page in group[start : position + 1]]
                start = position + 1
        found += [[page] for page in group[start:]]
    return found


def _identity(message: Message) -> tuple[str, str]:
    holder, number = message.find("25", "25P"), message.find("28C")
    assert holder is not None and number is not None  # the structure demands them
    return holder.parts["account"], number.parts["number"]


class _Statement:
    """One statement or report in the making, of one page or of all of its pages."""

    def __init__(self, account: Account, node: Node, group: Node, pages: list[tuple[str, Message]]) -> None:
        self._account = account
        self._node = node
        self._group = group
        self._pages = pages
        self._fields: Places = [
            (prefix + path, each)
            for prefix, message in pages
            for path, each in zip(mt.field_paths(message.fields), message.fields, strict=True)
        ]
        self._currency = ""
        self._closing = ""
        self._sums = {"CRDT": 0, "DBIT": 0}
        self._counts = {"CRDT": 0, "DBIT": 0}

    def fill(self) -> list[str]:
        """Put everything into the statement; return what does not hold in it."""
        first = self._pages[0][1]
        balance = next(each for _, each in self._fields if "currency" in each.parts)
        self._currency = balance.parts["currency"]
        closing = next((each for _, each in reversed(self._fields) if each.number in ("62", "13")), None)
        self._closing = "" if closing is None else closing.parts["date"]
        self._identification(first)
        self._holder(first)
        notes = self._balances() + self._entries()
        return notes + self._check()

    def _all(self, number: str) -> Places:
        return [(path, each) for path, each in self._fields if each.number == number]

    def _identification(self, first: Message) -> None:
        made = put(self._node, "Id", first.fields[0].text)
        for path, each in self._all("20"):
            if each.text == first.fields[0].text:
                self._account.keep(f"{path}/reference", (made, ""))
        for path, each in self._all("21"):
            if not any(child.name == "OrgnlBizQry" for child in self._group.children):
                query = put(self._group, "OrgnlBizQry/MsgId", each.text)
                self._account.keep(f"{path}/reference", (query, ""))
        numbers = self._all("28")
        sequence = put(self._node, "ElctrncSeqNb", str(int(numbers[0][1].parts["number"])))
        for path, each in numbers:
            self._account.keep(f"{path}/number", (sequence, ""), sequence.text)
            if "page" not in each.parts:
                continue
            if len(self._pages) > 1:
                self._account.move(f"{path}/page", (sequence, ""), "joined")
                continue
            pages = at(self._node, "StmtPgntn" if self._node.name == "Stmt" else "RptPgntn")
            number = str(int(each.parts["page"]))
            self._account.keep(f"{path}/page", (put(pages, "PgNb", number), ""), number)
            last = "false" if first.find("62M") is not None else "true"
            why = "62F closes the statement, 62M does not"
            self._account.supply((put(pages, "LastPgInd", last), ""), last, "derived", why)
        for path, each in self._all("13"):
            parts = each.parts
            moment = (
                f"{mt.calendar_date(parts['date'])}T{parts['time'][:2]}:{parts['time'][2:]}:00"
                f"{parts['sign']}{parts['offset'][:2]}:{parts['offset'][2:]}"
            )
            written = put(self._node, "CreDtTm", moment)
            for name in ("date", "time", "sign", "offset"):
                self._account.keep(f"{path}/{name}", (written, ""), moment)

    def _holder(self, first: Message) -> None:
        number_of_account: Node | None = None
        for path, each in self._all("25"):
            parts = each.parts
            found = _SERVICER.fullmatch(parts["account"])
            value = parts["account"] if found is None else found[2]
            if number_of_account is not None:
                self._account.move(f"{path}/account", (number_of_account, ""), "joined")
                if "bic" in parts:
                    self._account.move(f"{path}/bic", (at(self._node, "Acct/Ownr/Id/OrgId/AnyBIC"), ""), "joined")
                continue
            number_of_account = put_account(self._account, f"{path}/account", value, self._node, "Acct")
            holder = at(self._node, "Acct")
            made = put(holder, "Ccy", self._currency)
            self._account.supply((made, ""), self._currency, "derived", "the currency of the balances")
            if "bic" in parts:
                self._account.keep(f"{path}/bic", (put(holder, "Ownr/Id/OrgId/AnyBIC", parts["bic"]), ""))
            servicer = first.sender if found is None else found[1]
            if servicer:
                made = put(holder, "Svcr/FinInstnId/BICFI", servicer)
                why = "the sender" if found is None else "field 25"
                self._account.supply((made, ""), servicer, "derived", why)

    def _balances(self) -> list[str]:
        notes: list[str] = []
        between = self._fields_between()
        for (path, each), joined in zip(self._fields, between, strict=True):
            code = BALANCES.get(each.number)
            if code is None:
                continue
            parts = each.parts
            if joined:
                for name in ("mark", "date", "currency", "amount"):
                    self._account.imply(f"{path}/{name}")
                continue
            balance = add(self._node, "Bal")
            put(balance, "Tp/CdOrPrtry/Cd", code)
            if each.tag[2:] == "M":
                put(balance, "Tp/SubTp/Cd", INTERMEDIATE)
            self._money(path, parts, balance)
            side = _CREDITS[parts["mark"]]
            self._account.keep(f"{path}/mark", (put(balance, "CdtDbtInd", side), ""), side)
            day = str(mt.calendar_date(parts["date"]))
            self._account.keep(f"{path}/date", (put(balance, "Dt/Dt", day), ""), day)
        notes += self._page_breaks(between)
        return notes

    def _fields_between(self) -> list[bool]:
        """Tell of each field whether it is a balance between two pages that were joined."""
        last = len(self._pages) - 1
        found = []
        for number, (_, message) in enumerate(self._pages):
            for each in message.fields:
                inner = (each.number == "60" and number > 0) or (each.number == "62" and number < last)
                found.append(inner)
        return found

    def _page_breaks(self, between: list[bool]) -> list[str]:
        inner = [each for (_, each), joined in zip(self._fields, between, strict=True) if joined]
        notes = []
        for closing, opening in zip(inner[::2], inner[1::2], strict=True):
            if closing.text != opening.text:
                notes.append(
                    f"statement {self._name}: a page does not open with the balance the page before closed with"
                )
        return notes

    @property
    def _name(self) -> str:
        return self._all("28")[0][1].parts["number"]

    def _money(self, path: str, parts: Mapping[str, str], parent: Node) -> Node:
        amount = amount_from_fin(parts["amount"], parts["currency"], path)
        made = put(parent, "Amt", amount, Ccy=parts["currency"])
        self._account.keep(f"{path}/amount", (made, ""), amount)
        self._account.keep(f"{path}/currency", (made, "/@Ccy"))
        return made

    def _entries(self) -> list[str]:
        entry: Node | None = None
        texts: list[str] = []
        for path, each in self._fields:
            if each.number == "61":
                entry = self._entry(path, each)
            elif each.number == "86" and entry is not None:
                self._information(path, each, entry)
                entry = None
            elif each.number == "86":
                texts.append(path)
            else:
                entry = None
        by_path = dict(self._fields)
        if texts:
            name = "AddtlStmtInf" if self._node.name == "Stmt" else "AddtlRptInf"
            written, code = cut(" ".join(join(by_path[path].lines, WIDTH) for path in texts), _TEXT)
            made = put(self._node, name, written)
            for path in texts:
                for number, line in enumerate(by_path[path].lines, 1):
                    self._account.change(f"{path}/line[{number}]", (made, ""), line, code)
        return self._totals()

    def _entry(self, path: str, each: Field) -> Node:
        account, parts = self._account, each.parts
        entry = add(self._node, "Ntry")
        amount = amount_from_fin(parts["amount"], self._currency, path)
        made = put(entry, "Amt", amount, Ccy=self._currency)
        account.keep(f"{path}/amount", (made, ""), amount)
        account.supply((made, "/@Ccy"), self._currency, "derived", "the currency of the balances")
        mark = parts["mark"]
        reversal = mark[0] == "R"
        side = _CREDITS[mark[-1]]
        if reversal:  # RC takes a credit back: it is a debit
            side = "DBIT" if side == "CRDT" else "CRDT"
            put(entry, "RvslInd", "true")
        account.keep(f"{path}/mark", (put(entry, "CdtDbtInd", side), ""), side)
        status = "PDNG" if mark[0] == "E" else "BOOK"
        account.supply((put(entry, "Sts/Cd", status), ""), status, "derived", "E marks an expected entry")
        day = mt.calendar_date(parts["value_date"])
        assert day is not None  # the reader has looked
        account.keep(f"{path}/value_date", (put(entry, "ValDt/Dt", str(day)), ""), str(day))
        if "entry_date" in parts:
            booked = self._entry_date(parts["entry_date"], day)
            account.keep(f"{path}/entry_date", (put(entry, "BookgDt/Dt", str(booked)), ""), str(booked))
        if (letter := parts.get("funds")) is not None and letter == self._currency[2]:
            account.imply(f"{path}/funds")
        code = put(entry, "BkTxCd/Prtry/Cd", parts["type"])
        put(entry, "BkTxCd/Prtry/Issr", ISSUER)
        account.keep(f"{path}/type", (code, ""))
        details = at(entry, "NtryDtls/TxDtls")
        if parts["reference"] == NO_REFERENCE:
            account.imply(f"{path}/reference")
        else:
            account.keep(f"{path}/reference", (put(details, "Refs/EndToEndId", parts["reference"]), ""))
        if "bank_reference" in parts:
            account.keep(f"{path}/bank_reference", (put(entry, "AcctSvcrRef", parts["bank_reference"]), ""))
        if "supplementary" in parts:
            account.keep(f"{path}/supplementary", (put(entry, "AddtlNtryInf", parts["supplementary"]), ""))
        # An entry in FIN is one transaction, and stands so: amount and sign again, as newer versions demand it.
        why = "an entry is one transaction"
        account.supply((put(details, "Amt", amount, Ccy=self._currency), ""), amount, "derived", why)
        account.supply((put(details, "CdtDbtInd", side), ""), side, "derived", why)
        if status == "BOOK":
            self._sums[side] += exact(amount) or 0
            self._counts[side] += 1
        return entry

    def _entry_date(self, text: str, value: dt.date) -> dt.date:
        """Return the day of MMDD that is nearest to the closing balance, or to the value date where there is none."""
        near = (mt.calendar_date(self._closing) if self._closing else None) or value
        days = [
            dt.date(year, int(text[:2]), int(text[2:]))
            for year in (near.year - 1, near.year, near.year + 1)
            if _is_day(year, text)
        ]
        if not days:
            raise TranslationError("not_of_type", "61/entry_date", "there is no such day in a year near the statement")
        return min(days, key=lambda day: abs(day - near))

    def _information(self, path: str, each: Field, entry: Node) -> None:
        told = read_information(each.lines)
        details = at(entry, "NtryDtls/TxDtls")
        cut_off = self._references(told, details)
        if told.business:
            code = at(entry, "BkTxCd/Prtry/Cd")
            code.text = f"{code.text}+{told.business}"
        side = at(entry, "CdtDbtInd").text
        party = ("Dbtr", "DbtrAcct", "DbtrAgt") if side == "CRDT" else ("Cdtr", "CdtrAcct", "CdtrAgt")
        if told.name:
            written, code_ = cut(told.name, _NAME)
            put(details, f"RltdPties/{party[0]}/Pty/Nm", written)
            cut_off = cut_off or code_
        if told.account and len(told.account) <= 34:
            put_holder(details, party[1], told.account)
        elif told.account:
            told.rest += f"?31{told.account}"
        if told.bank and is_bic(told.bank):
            put(details, f"RltdAgts/{party[2]}/FinInstnId/BICFI", told.bank)
        elif told.bank and len(told.bank) <= _REFERENCE:
            put(details, f"RltdAgts/{party[2]}/FinInstnId/ClrSysMmbId/MmbId", told.bank)
        elif told.bank:
            told.rest += f"?30{told.bank}"
        for start in range(0, len(told.remittance), _REMITTANCE):
            put(details, "RmtInf/Ustrd", told.remittance[start : start + _REMITTANCE])
        if told.rest:
            written, code_ = cut(told.rest, _TEXT)
            put(details, "AddtlTxInf", written)
            cut_off = cut_off or code_
        target = _told_in(details)
        for number, line in enumerate(each.lines, 1):
            if cut_off:
                self._account.change(f"{path}/line[{number}]", (target, ""), line, cut_off)
            elif told.free:
                self._account.keep(f"{path}/line[{number}]", (at(details, "AddtlTxInf"), ""))
            else:
                self._account.move(f"{path}/line[{number}]", (target, ""), "taken_apart")

    def _references(self, told: Information, details: Node) -> str:
        """Put the references; the one of field 61 gives way to an end-to-end reference. Return the code of a change."""
        refs = at(details, "Refs") if any((told.end_to_end, told.instruction, told.mandate, told.payment)) else None
        code = ""
        if refs is None:
            return code
        for name, text in (("InstrId", told.instruction), ("MndtId", told.mandate), ("PmtInfId", told.payment)):
            if text:
                written, cut_off = cut(text, _REFERENCE)
                put(refs, name, written)
                code = code or cut_off
        if told.end_to_end:
            written, cut_off = cut(told.end_to_end, _REFERENCE)
            code = code or cut_off
            own = next((child for child in refs.children if child.name == "EndToEndId"), None)
            if own is None:
                put(refs, "EndToEndId", written)
            elif own.text != written:
                # The account has the node of field 61's reference already: it moves, and takes another name.
                refs.children.remove(own)
                named = add(refs, "Prtry")
                put(named, "Tp", REFERENCE_61)
                own.element = element_of(named, "Ref")
                named.children.append(own)
                put(refs, "EndToEndId", written)
        return code

    def _totals(self) -> list[str]:
        notes = []
        for path, each in self._all("90"):
            parts = each.parts
            side, name = ("DBIT", "TtlDbtNtries") if each.tag == "90D" else ("CRDT", "TtlCdtNtries")
            total = at(self._node, f"TxsSummry/{name}")
            number = str(int(parts["number"]))
            self._account.keep(f"{path}/number", (put(total, "NbOfNtries", number), ""), number)
            amount = amount_from_fin(parts["amount"], parts["currency"], path)
            self._account.keep(f"{path}/amount", (put(total, "Sum", amount), ""), amount)
            if parts["currency"] == self._currency:
                self._account.imply(f"{path}/currency")
            if int(number) != self._counts[side] or exact(amount) != self._sums[side]:
                notes.append(f"report {self._name}: {each.tag} is not the number and sum of its entries")
        return notes

    def _check(self) -> list[str]:
        """Check that opening balance and booked entries give the closing balance."""
        opening = self._all("60")[:1]
        closing = self._all("62")[-1:]
        if not opening or not closing:
            return []
        ends = [self._signed(each) for _, each in (*opening, *closing)]
        if ends[0] + self._sums["CRDT"] - self._sums["DBIT"] != ends[1]:
            return [f"statement {self._name}: opening balance and entries do not give the closing balance"]
        return []

    def _signed(self, each: Field) -> int:
        amount = exact(amount_from_fin(each.parts["amount"], self._currency, each.tag)) or 0
        return amount if each.parts["mark"] == "C" else -amount


def put_holder(details: Node, name: str, number: str) -> None:
    """Put the account of the other party of an entry."""
    put(details, f"RltdPties/{name}/Id/{'IBAN' if iban_fault(number) is None else 'Othr/Id'}", number)


def _told_in(details: Node) -> Node:
    """Return the value of a transaction that stands for all that field 86 told of it."""
    named = {child.name: child for child in details.children}
    node = next(
        named[name] for name in ("RmtInf", "AddtlTxInf", "RltdPties", "RltdAgts", "Refs", "Amt") if name in named
    )
    while node.children:
        node = node.children[0]
    return node


def _is_day(year: int, text: str) -> bool:
    try:
        dt.date(year, int(text[:2]), int(text[2:]))
    except ValueError:
        return False
    return True
