"""pacs.008 as MT103."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from lxml import etree

from shanraq.standards import iso20022, mt
from shanraq.standards.iso20022 import Library
from shanraq.standards.iso20022.tree import child, children, text
from shanraq.standards.mt import BasicHeader, Field, InputHeader, Message
from shanraq.standards.translate.account import Account, Translation
from shanraq.standards.translate.errors import TranslationError, incomplete
from shanraq.standards.translate.mt103 import (
    BEARERS,
    CUSTOMER,
    INDICATIONS,
    NO_REFERENCE,
    RESIDENTS,
    TIMES,
    TO_CREDITOR,
)
from shanraq.standards.translate.parties import agent_field, is_bic, party_field
from shanraq.standards.translate.texts import (
    REFERENCE,
    amount_to_fin,
    cut,
    is_reference,
    rate_to_fin,
    to_fin,
    worst,
    wrap,
)
from shanraq.standards.translate.versions import NOTHING, in_base, of_input

_LINE: Final = 35
_REGULATION: Final = 3
_BEARERS: Final = {code: word for word, code in BEARERS.items()}
_ZONED: Final = re.compile(
    r"(?:(?P<day>[0-9-]{10})T)?(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<rest>[0-9]{2}(?:\.[0-9]+)?)(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_ORDER: Final = (
    "20", "13C", "23B", "23E", "26T", "32A", "33B", "36", "50", "51A", "52", "53", "54", "55", "56", "57", "59", "70", "71A",
    "71F", "71G", "72", "77B",
)  # fmt: skip
_LEVELS: Final = frozenset({"SPRI", "SSTD", "SPAY", "CRTS"})
FLAGS: Final = frozenset({"", "STP"})


def pacs008_to_mt103(
    document: etree._Element,
    header: etree._Element | None = None,
    *,
    flag: str = "",
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[tuple[Message, ...]]:
    """Return the transfers of a pacs.008 of any version as MT103, and what became of every value.

    `flag` STP asks for what {119:STP} demands. `supply` has fields by their tags (`71F`, `50K`), or `sender` and `receiver`; a
    field that the message gives is not replaced. Raises TranslationError, and MtError where a rule of the MT103 does not hold.
    """
    known = definitions or iso20022.library()
    if flag not in FLAGS:
        raise TranslationError("supply", "{3:}/119", "the flag of a MT103 from a pacs.008 is STP or none")
    message_id, source, before = in_base(document, "pacs.008", CUSTOMER, known)
    heading = None if header is None else iso20022.cut_out(header)
    account = Account.of_elements([each for each in (heading, source) if each is not None], known)
    top = source[0]
    transfers = children(top, "CdtTrfTxInf")
    messages = []
    for number, transfer in enumerate(transfers, 1):
        prefix = f"message[{number}]/" if len(transfers) > 1 else ""
        messages.append(_Transfer(account, top, transfer, heading, prefix, flag, supply).message())
    number_of_transfers = child(top, "GrpHdr", "NbOfTxs")
    assert number_of_transfers is not None  # the schema demands it
    account.imply(account.place(number_of_transfers))
    traces = of_input(before, account.traces({}))
    return Translation(tuple(messages), message_id, "MT103", traces, account.supplied({}))


class _Transfer:
    """One transfer on its way into a MT103."""

    def __init__(
        self,
        account: Account,
        top: etree._Element,
        transfer: etree._Element,
        header: etree._Element | None,
        prefix: str,
        flag: str,
        supply: Mapping[str, str],
    ) -> None:
        self._account = account
        self._top = top
        self._transfer = transfer
        self._header = header
        self._prefix = prefix
        self._flag = flag
        self._supply = supply
        self._fields: list[Field] = []

    def message(self) -> Message:
        """Return the MT103; raise TranslationError or MtError."""
        basic, application = self._headers()
        user = self._user()
        self._references()
        self._times()
        self._instructions()
        self._money()
        self._parties()
        self._banks()
        self._remittance()
        self._information()
        self._regulation()
        self._supplied()
        order = {number: place for place, number in enumerate(_ORDER)}
        fields = sorted(self._fields, key=lambda each: order.get(each.tag, order.get(each.number, len(order))))
        self._demand({each.number for each in fields}, fields)
        return mt.check(Message("103", tuple(fields), basic, application, user))

    def _demand(self, there: set[str], fields: list[Field]) -> None:
        """Raise TranslationError for what a MT103 must have beside what there is, with the key that gives it."""
        needed = ["50", "59"]
        needed += ["57"] if "56" in there else []
        needed += ["53", "54"] if "55" in there else []
        for number in needed:
            if number not in there:
                key = {"50": "50K", "59": "59"}.get(number, f"{number}A")
                raise incomplete(f"{number}a", key, f"a MT103 must have field {number}a here")
        borne = any(each.text == "BEN" for each in fields if each.tag == "71A")
        if borne and not any(each.tag == "71F" for each in fields):
            raise incomplete("71F", "71F", "with charges BEN a MT103 tells them in 71F")

    def _find(self, *names: str) -> etree._Element | None:
        return child(self._transfer, *names)

    def _keep(self, element: etree._Element, target: str, new: str | None = None) -> None:
        self._account.keep(self._account.place(element), self._prefix + target, new)

    def _headers(self) -> tuple[BasicHeader, InputHeader]:
        addresses = []
        for role, name, terminal in (("sender", "InstgAgt", "A"), ("receiver", "InstdAgt", "X")):
            block = "{1:}" if role == "sender" else "{2:}"
            own = child(self._transfer, name, "FinInstnId", "BICFI")
            shared = child(self._top, "GrpHdr", name, "FinInstnId", "BICFI")
            heading = child(self._header, "Fr" if role == "sender" else "To", "FIId", "FinInstnId", "BICFI")
            found = next((each for each in (own, shared, heading) if each is not None), None)
            bic = "" if found is None else found.text or ""
            if found is None:
                bic = self._supply.get(role, "")
                if not bic:
                    raise incomplete(f"{block}/address", role, f"neither the message nor its header names the {role}")
                self._account.supply(f"{self._prefix}{block}/address", bic, "parameter")
            if not is_bic(bic):
                raise TranslationError("not_of_type", f"{block}/address", f"the {role} is no BIC that FIN takes")
            address = mt.address_of(bic, terminal)
            for each in (own, shared, heading):
                if each is not None:
                    self._keep(each, f"{block}/address", address)
            addresses.append(address)
        priority = text(self._transfer, "PmtTpInf", "InstrPrty")
        if (element := self._find("PmtTpInf", "InstrPrty")) is not None:
            self._keep(element, "{2:}/priority", "U" if priority == "HIGH" else "N")
        return (
            BasicHeader("F", "01", addresses[0], "0000", "000000"),
            InputHeader("103", addresses[1], "U" if priority == "HIGH" else "N"),
        )

    def _user(self) -> tuple[tuple[str, str], ...] | None:
        found: list[tuple[str, str]] = []
        for level in children(self._find("PmtTpInf"), "SvcLvl"):
            code = child(level, "Cd")
            if code is not None and re.fullmatch("G00[1-9]", code.text or "") and not found:
                found.append(("111", (code.text or "")[1:]))
                self._keep(code, "{3:}/111", (code.text or "")[1:])
        if self._flag:
            found.append(("119", self._flag))
            self._account.supply(f"{self._prefix}{{3:}}/119", self._flag, "parameter")
        if (uetr := self._find("PmtId", "UETR")) is not None:
            found.append(("121", uetr.text or ""))
            self._keep(uetr, "{3:}/121")
        return tuple(found) or None

    def _references(self) -> None:
        candidates = [self._find("PmtId", "InstrId"), child(self._top, "GrpHdr", "MsgId")]
        known = [each for each in candidates if each is not None]
        fitting = [each for each in known if is_reference(each.text or "")]
        if fitting:
            reference = fitting[0].text or ""
            for each in known:
                if each.text == reference:
                    self._keep(each, "20/reference")
        elif "20" in self._supply:
            reference = self._supply["20"]
            self._account.supply(f"{self._prefix}20/reference", reference, "parameter")
        else:
            reference, code = cut(to_fin(known[0].text or "")[0].strip("/"), REFERENCE)
            if not is_reference(reference):
                raise incomplete("20", "20", "no reference of the message can be one of FIN")
            self._account.change(
                self._account.place(known[0]), f"{self._prefix}20/reference", reference, code or "replaced"
            )
        identifier = child(self._header, "BizMsgIdr")
        if identifier is not None and identifier.text == reference:
            self._keep(identifier, "20/reference")
        definition = child(self._header, "MsgDefIdr")
        if definition is not None:
            self._account.imply(self._account.place(definition))
        self._fields.append(Field("20", reference))

    def _times(self) -> None:
        for names, word in [
            *((("SttlmTmReq", name), word) for word, name in TIMES.items()),
            *((("SttlmTmIndctn", name), word) for word, name in INDICATIONS.items()),
        ]:
            element = self._find(*names)
            found = _ZONED.fullmatch(element.text or "") if element is not None else None
            if element is None or found is None:
                continue
            zone = "+0000" if found["zone"] == "Z" else found["zone"].replace(":", "")
            written = f"{found['hour']}{found['minute']}{zone}"
            self._fields.append(Field("13C", f"/{word}/{written}"))
            same_day = found["day"] in (None, text(self._transfer, "IntrBkSttlmDt"))
            code = "" if same_day and not found["rest"].strip("0.") else "shortened"
            self._account.change(self._account.place(element), f"{self._prefix}13C/time", written, code)

    def _instructions(self) -> None:
        local = self._find("PmtTpInf", "LclInstrm", "Prtry")
        if local is not None and local.text in _LEVELS:
            self._fields.append(Field("23B", local.text))
            self._keep(local, "23B/code")
        else:
            self._fields.append(Field("23B", "CRED"))
            self._account.supply(
                f"{self._prefix}23B/code", "CRED", "default", "a transfer without a service level of FIN"
            )
        for level in children(self._find("PmtTpInf"), "SvcLvl"):
            code = child(level, "Cd")
            if code is not None and code.text == "SDVA":
                self._fields.append(Field("23E", "SDVA"))
                self._keep(code, "23E/code")
        purpose = self._find("PmtTpInf", "CtgyPurp", "Cd")
        if purpose is not None and purpose.text in ("INTC", "CORT"):
            self._fields.append(Field("23E", purpose.text))
            self._keep(purpose, "23E/code")
        for instruction in children(self._transfer, "InstrForCdtrAgt"):
            code = child(instruction, "Cd")
            if code is None or code.text not in TO_CREDITOR:
                continue
            self._keep(code, "23E/code")
            more = ""
            if (words := child(instruction, "InstrInf")) is not None:
                written, changed = to_fin(words.text or "")
                more, shortened = cut(written, 30)
                self._account.change(
                    self._account.place(words), f"{self._prefix}23E/text", more, worst(changed, shortened)
                )
            self._fields.append(Field("23E", f"{code.text}/{more}" if more else str(code.text)))
        own = self._find("Purp", "Prtry")
        if own is not None and re.fullmatch("[A-Z0-9]{3}", own.text or ""):
            self._fields.append(Field("26T", own.text or ""))
            self._keep(own, "26T/code")

    def _money(self) -> None:
        settled, day = self._find("IntrBkSttlmAmt"), self._find("IntrBkSttlmDt")
        if day is None:
            day = child(self._top, "GrpHdr", "IntrBkSttlmDt")
        assert settled is not None  # the schema demands it
        if day is None and "date" not in self._supply:
            raise incomplete("32A/date", "date", "the message has no settlement date; give YYMMDD")
        if day is None:
            written = self._supply["date"]
            self._account.supply(f"{self._prefix}32A/date", written, "parameter")
        else:
            written = (day.text or "")[2:10].replace("-", "")
            self._keep(day, "32A/date", written)
        amount, currency = self._amount(settled, "32A")
        self._fields.append(Field("32A", f"{written}{currency}{amount}"))
        instructed = self._find("InstdAmt")
        charged = bool(children(self._transfer, "ChrgsInf")) or bool(self._supply.keys() & {"71F", "71G"})
        if instructed is not None:
            other, own = self._amount(instructed, "33B")
            self._fields.append(Field("33B", f"{own}{other}"))
        elif charged:
            self._fields.append(Field("33B", f"{currency}{amount}"))
            self._account.supply(
                f"{self._prefix}33B/amount", amount, "derived", "the settled amount, since charges are told"
            )
        rate = self._find("XchgRate")
        if instructed is not None and instructed.get("Ccy") != currency:
            if rate is None:
                if "36" not in self._supply:
                    raise incomplete("36", "36", "the instructed amount is in another currency, and there is no rate")
            else:
                self._rate(rate)
        self._charges()

    def _rate(self, rate: etree._Element) -> None:
        written = rate_to_fin((rate.text or "").strip())
        code = ""
        if written is None:
            written, code = (rate.text or "").strip().replace(".", ",")[:12], "shortened"
        self._account.change(self._account.place(rate), f"{self._prefix}36/rate", written, code)
        self._fields.append(Field("36", written))

    def _amount(self, element: etree._Element, tag: str) -> tuple[str, str]:
        currency, path = element.get("Ccy", ""), self._account.place(element)
        amount = amount_to_fin(element.text or "", currency, path)
        self._keep(element, f"{tag}/amount", amount)
        self._account.keep(f"{path}/@Ccy", f"{self._prefix}{tag}/currency")
        return amount, currency

    def _charges(self) -> None:
        bearer = self._find("ChrgBr")
        assert bearer is not None  # the schema demands it
        word = _BEARERS.get(bearer.text or "")
        if word is None:  # SLEV: as the scheme says, which FIN shares out
            word = "SHA"
            self._account.change(self._account.place(bearer), f"{self._prefix}71A/code", word, "not_of_type")
        else:
            self._keep(bearer, "71A/code", word)
        self._fields.append(Field("71A", word))
        tag = "71G" if word == "OUR" else "71F"
        for charge in children(self._transfer, "ChrgsInf")[: 1 if tag == "71G" else None]:
            amount = child(charge, "Amt")
            if amount is not None:
                written, currency = self._amount(amount, tag)
                self._fields.append(Field(tag, f"{currency}{written}"))

    def _parties(self) -> None:
        for number, name in (("50", "Dbtr"), ("59", "Cdtr")):
            made = party_field(self._account, number, self._transfer, name, self._prefix)
            if made is not None:
                self._fields.append(made)
        if (initiator := self._find("InitgPty", "Id", "OrgId", "AnyBIC")) is not None and not self._flag:
            self._fields.append(Field("51A", initiator.text or ""))
            self._keep(initiator, "51A/bic")

    def _banks(self) -> None:
        options = "A" if self._flag else "AD"
        for number, name, own in (
            ("52", "DbtrAgt", options), ("56", "IntrmyAgt1", options + ("" if self._flag else "C")),
            ("57", "CdtrAgt", options + ("" if self._flag else "C")),
        ):  # fmt: skip
            made = agent_field(self._account, number, self._find(name), self._find(f"{name}Acct"), own, self._prefix)
            if made is not None:
                self._fields.append(made)
        settlement = child(self._top, "GrpHdr", "SttlmInf")
        method = child(settlement, "SttlmMtd")
        assert method is not None  # the schema demands it
        if method.text in ("INDA", "INGA"):
            mark = "C" if method.text == "INGA" else "D"
            held = child(settlement, "SttlmAcct", "Id", "IBAN")
            if held is None:
                held = child(settlement, "SttlmAcct", "Id", "Othr", "Id")
            if held is not None and len(held.text or "") <= 34 and to_fin(held.text or "") == (held.text, ""):
                self._fields.append(Field("53B", f"/{mark}/{held.text}"))
                self._keep(held, "53B/identifier")
                self._keep(method, "53B/mark", mark)
            elif method.text == "INGA":
                self._fields.append(Field("53B", "/C"))
                self._keep(method, "53B/mark", "C")
            else:
                self._account.imply(self._account.place(method))
        elif method.text == "COVE":
            self._account.imply(self._account.place(method))
            for field, name in (("53", "InstgRmbrsmntAgt"), ("54", "InstdRmbrsmntAgt"), ("55", "ThrdRmbrsmntAgt")):
                agent, holder = child(settlement, name), child(settlement, f"{name}Acct")
                made = agent_field(self._account, field, agent, holder, options, self._prefix)
                if made is not None:
                    self._fields.append(made)

    def _remittance(self) -> None:
        reference = self._find("PmtId", "EndToEndId")
        assert reference is not None  # the schema demands it
        lead = ""
        if reference.text == NO_REFERENCE:
            self._account.imply(self._account.place(reference))
        else:
            written, code = to_fin(reference.text or "")
            lead = f"/ROC/{written}"
            self._account.change(self._account.place(reference), f"{self._prefix}70/line[1]", lead, code)
        words = [(element, to_fin(element.text or "")[0]) for element in children(self._find("RmtInf"), "Ustrd")]
        body = " ".join(written for _, written in words)
        whole = f"{lead}///{body}" if lead and body else lead or body
        lines, shortened = wrap(whole, _LINE, 4)
        shown = "".join(lines)
        start = len(lead) + 3 if lead else 0
        for element, written in words:
            code = to_fin(element.text or "")[1]
            path = self._account.place(element)
            if start >= len(shown):
                self._account.drop(path, "no_space")
            else:
                end = start + len(written)
                lost = "shortened" if end > len(shown) or (shortened and end == len(shown)) else ""
                target = f"{self._prefix}70/line[{start // _LINE + 1}]"
                self._account.change(path, target, shown[start:end], worst(code, lost))
            start += len(written) + 1
        if lines:
            self._fields.append(Field("70", "\n".join(lines)))

    def _information(self) -> None:
        lines: list[str] = []
        for element, word in self._words():
            written, code = to_fin(element.text or "")
            head = written if re.match(r"/[A-Z]{3,8}/", written) and word != "ACC" else f"/{word}/{written}"
            path = self._account.place(element)
            if len(lines) == 6:
                self._account.drop(path, "no_space")
                continue
            made, shortened = wrap(head, _LINE, 6 - len(lines), "//")
            self._account.change(path, f"{self._prefix}72/line[{len(lines) + 1}]", written, worst(code, shortened))
            lines += made
        if lines:
            self._fields.append(Field("72", "\n".join(lines)))

    def _words(self) -> Iterator[tuple[etree._Element, str]]:
        """Yield what field 72 tells: instructions to the payee's bank, the bank before the sender, instructions to the next."""
        for instruction in children(self._transfer, "InstrForCdtrAgt"):
            code, words = child(instruction, "Cd"), child(instruction, "InstrInf")
            if words is not None and (code is None or code.text not in TO_CREDITOR):
                yield words, "ACC"
        if (before := self._find("PrvsInstgAgt1", "FinInstnId", "BICFI")) is not None:
            yield before, "INS"
        for instruction in children(self._transfer, "InstrForNxtAgt"):
            if (words := child(instruction, "InstrInf")) is not None:
                yield words, "REC"

    def _regulation(self) -> None:
        lines: list[str] = []
        for report in children(self._transfer, "RgltryRptg"):
            for details in children(report, "Dtls"):
                lead = self._resident(report, details, len(lines))
                texts = children(details, "Inf")
                if lead and not texts and len(lines) < _REGULATION:
                    lines.append(lead)
                for position, element in enumerate(texts):
                    self._report(element, f"{lead}//" if lead or position else "", lines)
                    lead = ""
        if lines:
            self._fields.append(Field("77B", "\n".join(lines)))

    def _resident(self, report: etree._Element, details: etree._Element, before: int) -> str:
        """Return the begin of a line that says whose residence it is, "" when the report does not say that."""
        side, country = child(report, "DbtCdtRptgInd"), child(details, "Ctry")
        word = next((word for word, code in RESIDENTS.items() if side is not None and code == side.text), "")
        if side is None or country is None or not word:
            return ""
        if before < _REGULATION:
            self._keep(side, f"77B/line[{before + 1}]", word)
            self._keep(country, f"77B/line[{before + 1}]")
        return f"/{word}/{country.text}"

    def _report(self, element: etree._Element, lead: str, lines: list[str]) -> None:
        path = self._account.place(element)
        if len(lines) == _REGULATION:
            self._account.drop(path, "no_space")
            return
        written, code = to_fin(element.text or "")
        if not lead and written[:1] in (":", "-", ""):
            lead = "//"
        shown, shortened = cut(written, _LINE - len(lead))
        self._account.change(path, f"{self._prefix}77B/line[{len(lines) + 1}]", shown, worst(code, shortened))
        lines.append(lead + shown)

    def _supplied(self) -> None:
        there = {each.tag for each in self._fields} | {each.number for each in self._fields}
        for key, value in self._supply.items():
            if key in ("sender", "receiver", "date", "20"):
                continue
            if key not in _ORDER and key[:2] not in _ORDER:
                raise TranslationError("supply", key[:8], "this is no field of a MT103 that could be supplied")
            if key in there or (key not in ("71F", "71G", "23E", "13C", "33B", "71A") and key[:2] in there):
                continue
            self._fields.append(Field(key, value.replace("\\n", "\n")))
            self._account.supply(f"{self._prefix}{key}", value, "parameter")
