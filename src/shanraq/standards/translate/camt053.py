"""camt.053 as MT940, camt.052 as MT942."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from lxml import etree

from shanraq.standards import iso20022, mt
from shanraq.standards.iso20022 import Library
from shanraq.standards.iso20022.amounts import exact
from shanraq.standards.iso20022.tree import child, children, text
from shanraq.standards.mt import BasicHeader, Field, InputHeader, Message
from shanraq.standards.translate.account import Account, Translation
from shanraq.standards.translate.errors import TranslationError, incomplete
from shanraq.standards.translate.information import WIDTH, Information, write_information
from shanraq.standards.translate.mt940 import (
    BALANCES,
    INTERMEDIATE,
    ISSUER,
    NO_REFERENCE,
    REFERENCE_61,
    REPORT,
    STATEMENT,
)
from shanraq.standards.translate.parties import is_bic
from shanraq.standards.translate.texts import (
    REFERENCE,
    amount_to_fin,
    cut,
    is_reference,
    text_of,
    to_fin,
    worst,
    wrap,
)
from shanraq.standards.translate.versions import NOTHING, in_base, of_input

_SUPPLEMENTARY: Final = 34
_LINES: Final = 6
_NUMBER: Final = 5
_TYPE: Final = re.compile(r"([NSF][A-Z0-9]{3})(?:\+([0-9]{3}))?", re.ASCII)
_OTHER_TYPE: Final = "NMSC"
_NOT_PROVIDED: Final = "NOTPROVIDED"
_TAGS: Final = {code: number for number, code in BALANCES.items()}
_MOMENT: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<rest>[0-9]{2}(?:\.[0-9]+)?)"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_SUPPLIED: Final = frozenset({"sender", "receiver", "20", "25", "28C", "60F", "62F", "34F", "13D"})


def camt053_to_mt940(
    document: etree._Element,
    header: etree._Element | None = None,
    *,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[tuple[Message, ...]]:
    """Return the statements of a camt.053 of any version as one MT940 each, and what became of every value.

    Messages have headers when sender and receiver are known, from the business header or `supply`; else the fields alone. Only
    booked entries are in a statement. `notes` tell where opening balance and entries do not give the closing balance. Raises
    TranslationError, and MtError where a value has no form in FIN.
    """
    return _translate(document, header, "camt.053", STATEMENT, supply, definitions)


def camt052_to_mt942(
    document: etree._Element,
    header: etree._Element | None = None,
    *,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[tuple[Message, ...]]:
    """Return the reports of a camt.052 of any version as one MT942 each, and what became of every value.

    The floor limit (34F) is 0 unless supplied: a report tells of all entries. Raises as `camt053_to_mt940`.
    """
    return _translate(document, header, "camt.052", REPORT, supply, definitions)


def _translate(
    document: etree._Element,
    header: etree._Element | None,
    kind: str,
    base: str,
    supply: Mapping[str, str],
    definitions: Library | None,
) -> Translation[tuple[Message, ...]]:
    known = definitions or iso20022.library()
    if unknown := sorted(supply.keys() - _SUPPLIED):
        raise TranslationError("supply", unknown[0][:8], f"only {', '.join(sorted(_SUPPLIED))} can be supplied")
    message_id, source, before = in_base(document, kind, base, known)
    heading = None if header is None else iso20022.cut_out(header)
    account = Account.of_elements([each for each in (heading, source) if each is not None], known)
    statements = children(source[0], "Stmt" if kind == "camt.053" else "Rpt")
    messages: list[Message] = []
    notes: list[str] = []
    for number, statement in enumerate(statements, 1):
        prefix = f"message[{number}]/" if len(statements) > 1 else ""
        writer = _Statement(account, source[0], statement, heading, prefix, supply)
        messages.append(writer.message("940" if kind == "camt.053" else "942"))
        notes += writer.notes
    if (definition := child(heading, "MsgDefIdr")) is not None:
        account.imply(account.place(definition))
    traces = of_input(before, account.traces({}))
    message_type = "MT940" if kind == "camt.053" else "MT942"
    return Translation(tuple(messages), message_id, message_type, traces, account.supplied({}), tuple(notes))


class _Statement:
    """One statement or report on its way into FIN."""

    def __init__(
        self,
        account: Account,
        top: etree._Element,
        statement: etree._Element,
        header: etree._Element | None,
        prefix: str,
        supply: Mapping[str, str],
    ) -> None:
        self.notes: list[str] = []
        self._account = account
        self._top = top
        self._statement = statement
        self._header = header
        self._prefix = prefix
        self._supply = supply
        self._fields: list[Field] = []
        self._currency = ""
        self._sums = {"CRDT": 0, "DBIT": 0}
        self._counts = {"CRDT": 0, "DBIT": 0}
        self._closing = ""

    def message(self, message_type: str) -> Message:
        """Return the message; raise TranslationError or MtError."""
        report = message_type == "942"
        self._identification()
        self._number()
        balances = {} if report else self._balances()
        entries = [each for each in children(self._statement, "Ntry") if _is_told(each, report=report)]
        if report:
            self._currency = self._report_currency(entries)
            self._limit()
            self._moment()
        else:
            self._fields += balances.pop("60")
        for number, entry in enumerate(entries, 1):
            self._entry(entry, f"[{number}]" if len(entries) > 1 else "")
        self._summary(report=report)
        for tag in ("62", "64", "65"):
            self._fields += balances.get(tag, [])
        self._information()
        if not report:
            self._check()
        basic, application = self._headers(message_type)
        return mt.check(Message(message_type, tuple(self._fields), basic, application))

    def _keep(self, element: etree._Element, target: str, new: str | None = None) -> None:
        self._account.keep(self._account.place(element), self._prefix + target, new)

    def _change(self, element: etree._Element, target: str, new: str, code: str) -> None:
        self._account.change(self._account.place(element), self._prefix + target, new, code)

    def _given(self, key: str, target: str) -> str:
        value = self._supply[key]
        self._account.supply(self._prefix + target, value, "parameter")
        return value

    def _headers(self, message_type: str) -> tuple[BasicHeader | None, InputHeader | None]:
        addresses: list[str] = []
        for role, name, block, terminal in (("sender", "Fr", "{1:}", "A"), ("receiver", "To", "{2:}", "X")):
            found = child(self._header, name, "FIId", "FinInstnId", "BICFI")
            bic = self._given(role, f"{block}/address") if role in self._supply else text_of(found)
            if not bic:
                continue
            if not is_bic(bic):
                raise TranslationError("not_of_type", f"{block}/address", f"the {role} is no BIC that FIN takes")
            addresses.append(mt.address_of(bic, terminal))
            if found is not None and bic == found.text:
                self._keep(found, f"{block}/address", addresses[-1])
        if len(addresses) < 2:
            return None, None
        return BasicHeader("F", "01", addresses[0], "0000", "000000"), InputHeader(message_type, addresses[1], "N")

    def _identification(self) -> None:
        identifier = child(self._statement, "Id")
        assert identifier is not None  # the schema demands it
        if "20" in self._supply:
            reference = self._given("20", "20/reference")
        else:
            reference, code = identifier.text or "", ""
            if not is_reference(reference):
                written, changed = to_fin(reference)
                reference, shortened = cut(written.strip("/ ").replace("//", "/"), REFERENCE)
                code = worst(shortened, changed) or "replaced"
            if not is_reference(reference):
                raise incomplete("20", "20", "the identification of the statement can be no reference of FIN")
            self._change(identifier, "20/reference", reference, code)
            message = child(self._top, "GrpHdr", "MsgId")
            heading = child(self._header, "BizMsgIdr")
            for each in (message, heading):
                if each is not None and each.text == reference:
                    self._keep(each, "20/reference")
        self._fields.append(Field("20", reference))
        query = child(self._top, "GrpHdr", "OrgnlBizQry", "MsgId")
        if query is not None and is_reference(query.text or ""):
            self._keep(query, "21/reference")
            self._fields.append(Field("21", query.text or ""))
        number = child(self._statement, "Acct", "Id", "IBAN")
        if number is None:
            number = child(self._statement, "Acct", "Id", "Othr", "Id")
        if number is None or to_fin(number.text or "") != (number.text, "") or "25" in self._supply:
            if "25" not in self._supply:
                raise incomplete("25", "25", "the statement has no account that FIN can write")
            holder = self._given("25", "25/account")
        else:
            holder = number.text or ""
            self._keep(number, "25/account")
        owner = child(self._statement, "Acct", "Ownr", "Id", "OrgId", "AnyBIC")
        if owner is not None and is_bic(owner.text or ""):
            self._keep(owner, "25P/bic")
            self._fields.append(Field("25P", f"{holder}\n{owner.text}"))
        else:
            self._fields.append(Field("25", holder))

    def _number(self) -> None:
        number = child(self._statement, "ElctrncSeqNb")
        if number is None:
            number = child(self._statement, "LglSeqNb")
        if number is not None:
            digits = (number.text or "").partition(".")[0].lstrip("+0") or "0"
            written = digits[-_NUMBER:]
            self._change(number, "28C/number", written, "" if written == digits else "shortened")
        elif "28C" in self._supply:
            written = self._given("28C", "28C")
        else:
            written = "00000"
            self._account.supply(f"{self._prefix}28C/number", written, "default", "the statement has no number")
        page = child(self._statement, "StmtPgntn", "PgNb")
        if page is None:
            page = child(self._statement, "RptPgntn", "PgNb")
        if page is not None and len(page.text or "") <= _NUMBER:
            self._keep(page, "28C/page")
            written += f"/{page.text}"
            pagination = page.getparent()
            if (last := child(pagination, "LastPgInd")) is not None:
                self._account.imply(self._account.place(last))
        self._fields.append(Field("28C", written))

    def _balances(self) -> dict[str, list[Field]]:
        found: dict[str, list[Field]] = {}
        balances = children(self._statement, "Bal")
        codes = {text(each, "Tp", "CdOrPrtry", "Cd") for each in balances}
        for balance in balances:
            code = text(balance, "Tp", "CdOrPrtry", "Cd")
            number = _TAGS.get("OPBD" if code == "PRCD" and "OPBD" not in codes else code or "")
            if number is None or (number != "65" and number in found):
                continue
            found.setdefault(number, []).append(self._balance(balance, number, len(found.get("65", []))))
        for number, key in (("60", "60F"), ("62", "62F")):
            if number not in found:
                if key not in self._supply:
                    raise incomplete(f"{number}a", key, "the statement has no such balance")
                found[number] = [Field(key, self._given(key, key))]
                mt.check_field(found[number][0])
        parts = found["60"][0].parts
        self._currency = parts["currency"]
        self._closing = found["62"][0].parts["date"]
        return found

    def _balance(self, balance: etree._Element, number: str, before: int) -> Field:
        kind, subtype = child(balance, "Tp", "CdOrPrtry", "Cd"), child(balance, "Tp", "SubTp", "Cd")
        amount, side = child(balance, "Amt"), child(balance, "CdtDbtInd")
        day = child(balance, "Dt", "Dt")
        moment = child(balance, "Dt", "DtTm")
        assert kind is not None and amount is not None and side is not None  # the schema demands them
        option = "" if number in ("64", "65") else "M" if subtype is not None and subtype.text == INTERMEDIATE else "F"
        tag = f"{number}{option}"
        target = f"{tag}[{before + 1}]" if number == "65" and before else tag
        self._account.imply(self._account.place(kind))
        if subtype is not None and option == "M":
            self._account.imply(self._account.place(subtype))
        mark = "C" if side.text == "CRDT" else "D"
        self._keep(side, f"{target}/mark", mark)
        when = day if day is not None else moment
        assert when is not None  # one of both
        written = (when.text or "")[2:10].replace("-", "")
        self._change(when, f"{target}/date", written, "" if moment is None else "time_left_out")
        currency, path = amount.get("Ccy", ""), self._account.place(amount)
        value = amount_to_fin(amount.text or "", currency, path)
        self._keep(amount, f"{target}/amount", value)
        self._account.keep(f"{path}/@Ccy", f"{self._prefix}{target}/currency")
        return Field(tag, f"{mark}{written}{currency}{value}")

    def _report_currency(self, entries: list[etree._Element]) -> str:
        holder = child(self._statement, "Acct", "Ccy")
        amount = child(entries[0], "Amt") if entries else None
        currency = (
            text_of(holder) or ("" if amount is None else amount.get("Ccy", "")) or self._supply.get("34F", "")[:3]
        )
        if not currency:
            raise incomplete("34F", "34F", "the report has no currency; give currency and floor limit")
        return currency

    def _limit(self) -> None:
        if "34F" in self._supply:
            self._fields.append(Field("34F", self._given("34F", "34F")))
            return
        self._account.supply(f"{self._prefix}34F/amount", "0,", "default", "a report tells of all entries")
        self._fields.append(Field("34F", f"{self._currency}0,"))

    def _moment(self) -> None:
        element = child(self._statement, "CreDtTm")
        if element is None:
            element = child(self._top, "GrpHdr", "CreDtTm")
        found = _MOMENT.fullmatch(text_of(element))
        if found is None or element is None:
            if "13D" not in self._supply:
                raise incomplete("13D", "13D", "the report has no moment of its making")
            self._fields.append(Field("13D", self._given("13D", "13D")))
            return
        zone = found["zone"] or "Z"
        offset = "+0000" if zone == "Z" else zone.replace(":", "")
        if found["zone"] is None:
            self._account.supply(f"{self._prefix}13D/offset", "0000", "default", "the moment has no offset")
        written = f"{found['date'][2:].replace('-', '')}{found['hour']}{found['minute']}{offset}"
        self._change(element, "13D/time", written, "" if not found["rest"].strip("0.") else "shortened")
        self._fields.append(Field("13D", written))

    def _entry(self, entry: etree._Element, index: str) -> None:
        amount, side = child(entry, "Amt"), child(entry, "CdtDbtInd")
        assert amount is not None and side is not None  # the schema demands them
        path = self._account.place(amount)
        if amount.get("Ccy") != self._currency:
            raise TranslationError("currency", path, "the entry is in another currency than the account")
        value = amount_to_fin(amount.text or "", self._currency, path)
        self._keep(amount, f"61{index}/amount", value)
        self._account.imply(f"{path}/@Ccy")
        mark = "C" if side.text == "CRDT" else "D"
        reversal = child(entry, "RvslInd")
        status = child(entry, "Sts", "Cd")
        if reversal is not None and (reversal.text or "").strip() in ("true", "1"):
            mark = "RD" if mark == "C" else "RC"
        elif status is not None and status.text == "PDNG":
            mark = f"E{mark}"
        for each in (reversal, status):
            if each is not None:
                self._account.imply(self._account.place(each))
        self._keep(side, f"61{index}/mark", mark)
        if status is None or status.text != "PDNG":
            self._sums[side.text or ""] += exact(amount.text) or 0
            self._counts[side.text or ""] += 1
        kind, business = self._type(entry, index)
        details = children(child(entry, "NtryDtls"), "TxDtls")
        first = details[0] if details else None
        reference, owner = self._reference(first, index)
        line = f"{self._dates(entry, index)}{mark}{value}{kind}{reference}"
        servicer = child(entry, "AcctSvcrRef")
        if servicer is not None and 0 < len(servicer.text or "") <= REFERENCE and mt.in_x(servicer.text or ""):
            self._keep(servicer, f"61{index}/bank_reference")
            line += f"//{servicer.text}"
        elif servicer is not None:
            self._account.drop(self._account.place(servicer), "not_of_type")
        more = child(entry, "AddtlNtryInf")
        if more is not None:
            written, code = to_fin(more.text or "")
            shown, shortened = cut(written, _SUPPLEMENTARY)
            if shown[0] in ":-":
                shown, code = "." + shown[1:], worst(code, "replaced")
            self._change(more, f"61{index}/supplementary", shown, worst(code, shortened))
            line += f"\n{shown}"
        self._fields.append(Field("61", line))
        if first is not None:
            self._details(entry, first, side.text or "", owner, business, index)

    def _dates(self, entry: etree._Element, index: str) -> str:
        dates: list[etree._Element | None] = []
        for name in ("ValDt", "BookgDt"):
            day = child(entry, name, "Dt")
            dates.append(child(entry, name, "DtTm") if day is None else day)
        value, booked = dates
        if value is not None:
            valued = (value.text or "")[2:10].replace("-", "")
            self._change(value, f"61{index}/value_date", valued, "" if len(value.text or "") == 10 else "time_left_out")
        elif booked is not None:
            valued = (booked.text or "")[2:10].replace("-", "")
            self._account.supply(f"{self._prefix}61{index}/value_date", valued, "derived", "the booking date")
        elif self._closing:
            valued = self._closing
            self._account.supply(f"{self._prefix}61{index}/value_date", valued, "derived", "the closing balance")
        else:
            place = self._account.place(entry)
            raise TranslationError("incomplete", place, "the entry has neither value date nor booking date")
        if booked is None:
            return valued
        written = (booked.text or "")[5:10].replace("-", "")
        self._change(booked, f"61{index}/entry_date", written, "" if len(booked.text or "") == 10 else "time_left_out")
        return valued + written

    def _type(self, entry: etree._Element, index: str) -> tuple[str, str]:
        code, issuer = child(entry, "BkTxCd", "Prtry", "Cd"), child(entry, "BkTxCd", "Prtry", "Issr")
        found = _TYPE.fullmatch(text_of(code))
        if code is None or found is None:
            self._account.supply(f"{self._prefix}61{index}/type", _OTHER_TYPE, "default", "the code is none of FIN")
            return _OTHER_TYPE, ""
        self._keep(code, f"61{index}/type", found[1])
        if issuer is not None and issuer.text == ISSUER:
            self._account.imply(self._account.place(issuer))
        return found[1], found[2] or ""

    def _reference(self, details: etree._Element | None, index: str) -> tuple[str, etree._Element | None]:
        """Return the reference of the holder of the account, and its element."""
        references = child(details, "Refs")
        own = [child(each, "Ref") for each in children(references, "Prtry") if text(each, "Tp") == REFERENCE_61] + [
            child(references, "EndToEndId")
        ]
        for each in own:
            if each is not None and is_reference(each.text or "") and each.text != _NOT_PROVIDED:
                self._keep(each, f"61{index}/reference")
                if (kind := child(each.getparent(), "Tp")) is not None:
                    self._account.imply(self._account.place(kind))
                return each.text or "", each
        if own[-1] is not None and own[-1].text == _NOT_PROVIDED:
            self._account.imply(self._account.place(own[-1]))
        self._account.supply(
            f"{self._prefix}61{index}/reference", NO_REFERENCE, "default", "no reference of 16 characters"
        )
        return NO_REFERENCE, own[-1] if own[-1] is not None and own[-1].text == _NOT_PROVIDED else None

    def _details(
        self,
        entry: etree._Element,
        details: etree._Element,
        side: str,
        owner: etree._Element | None,
        business: str,
        index: str,
    ) -> None:
        """Write field 86 of the first transaction of an entry, and settle what it has."""
        for name in ("Amt", "CdtDbtInd"):
            mine, whole = child(details, name), child(entry, name)
            if (
                mine is not None
                and whole is not None
                and mine.text == whole.text
                and mine.get("Ccy") == whole.get("Ccy")
            ):
                self._account.imply(self._account.place(mine))
                if name == "Amt":
                    self._account.imply(f"{self._account.place(mine)}/@Ccy")
        told = Information(business=business)
        used: list[tuple[etree._Element, str]] = []
        party = ("Dbtr", "DbtrAcct", "DbtrAgt") if side == "CRDT" else ("Cdtr", "CdtrAcct", "CdtrAgt")
        for name, way in (
            ("end_to_end", ("Refs", "EndToEndId")), ("instruction", ("Refs", "InstrId")), ("mandate", ("Refs", "MndtId")),
            ("payment", ("Refs", "PmtInfId")), ("name", ("RltdPties", party[0], "Pty", "Nm")),
            ("account", ("RltdPties", party[1], "Id", "IBAN")), ("account", ("RltdPties", party[1], "Id", "Othr", "Id")),
            ("bank", ("RltdAgts", party[2], "FinInstnId", "BICFI")),
            ("bank", ("RltdAgts", party[2], "FinInstnId", "ClrSysMmbId", "MmbId")), ("rest", ("AddtlTxInf",)),
        ):  # fmt: skip
            element = child(details, *way)
            if element is None or element is owner or getattr(told, name):
                continue
            written, code = to_fin(element.text or "")
            setattr(told, name, written)
            used.append((element, code))
        remittance = children(child(details, "RmtInf"), "Ustrd")
        for element in remittance:
            written, code = to_fin(element.text or "")
            told.remittance += written
            used.append((element, code))
        whole_text = write_information(told)
        lines, shortened = wrap(whole_text, WIDTH, _LINES)
        if not lines:
            return
        self._fields.append(Field("86", "\n".join(lines)))
        shown = "".join(lines)
        for element, code in used:
            written = to_fin(element.text or "")[0]
            if written in shown:
                self._change(element, f"86{index}", written, code)
            elif shortened or told.business:
                common = next((n for n in range(len(written), 0, -1) if written[:n] in shown), 0)
                if common > 1:
                    self._change(element, f"86{index}", written[:common], "shortened" if shortened else "")
                else:
                    self._account.drop(self._account.place(element), "no_space")

    def _summary(self, *, report: bool) -> None:
        if not report:
            return
        for tag, name, side in (("90D", "TtlDbtNtries", "DBIT"), ("90C", "TtlCdtNtries", "CRDT")):
            number = child(self._statement, "TxsSummry", name, "NbOfNtries")
            total = child(self._statement, "TxsSummry", name, "Sum")
            if number is None or total is None:
                continue
            value = amount_to_fin(total.text or "", self._currency, self._account.place(total))
            digits = (number.text or "").lstrip("0") or "0"
            self._keep(number, f"{tag}/number", digits)
            self._keep(total, f"{tag}/amount", value)
            self._fields.append(Field(tag, f"{digits}{self._currency}{value}"))
            if int(digits) != self._counts[side] or exact(total.text) != self._sums[side]:
                self.notes.append(f"{tag} is not the number and sum of the booked entries")

    def _information(self) -> None:
        element = child(self._statement, "AddtlStmtInf")
        if element is None:
            element = child(self._statement, "AddtlRptInf")
        if element is None:
            return
        written, code = to_fin(element.text or "")
        lines, shortened = wrap(written, WIDTH, _LINES)
        # Behind an entry the field would be the entry's: a statement ends with its balances, a report may end with an entry.
        if self._fields[-1].tag == "61":
            self._account.drop(self._account.place(element), "no_space")
            return
        self._change(element, "86", "".join(lines), worst(code, shortened))
        self._fields.append(Field("86", "\n".join(lines)))

    def _check(self) -> None:
        opening = next(each for each in self._fields if each.number == "60")
        closing = next(each for each in self._fields if each.number == "62")
        ends = [_signed(each) for each in (opening, closing)]
        if ends[0] + self._sums["CRDT"] - self._sums["DBIT"] != ends[1]:
            self.notes.append("opening balance and booked entries do not give the closing balance")


def _signed(each: Field) -> int:
    value = exact(each.parts["amount"].rstrip(",").replace(",", ".")) or 0
    return value if each.parts["mark"] == "C" else -value


def _is_told(entry: etree._Element, *, report: bool) -> bool:
    """Tell whether an entry belongs into the message: booked ones do, expected ones into a report only."""
    status = text(entry, "Sts", "Cd")
    return status == "BOOK" or (report and status == "PDNG")
