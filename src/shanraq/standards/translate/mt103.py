"""MT103 and MT202 COV as pacs.008 and pacs.009.

What goes where: docs/iso20022-conversion.md, after the translation rules the banks of SWIFT agreed on (CBPR+).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shanraq.standards import mt
from shanraq.standards.iso20022 import Library, Node
from shanraq.standards.mt import Field, Message, OutputHeader
from shanraq.standards.translate.account import Account, Parts, Translation
from shanraq.standards.translate.draft import Draft, add, at, has, put
from shanraq.standards.translate.errors import TranslationError
from shanraq.standards.translate.parties import bic_agent, is_bic, put_account, put_agent, put_party
from shanraq.standards.translate.texts import amount_from_fin, cut, join, rate_from_fin
from shanraq.standards.translate.versions import HEADER, NOTHING, Target, moment_text

CUSTOMER: Final = "pacs.008.001.08"
BANK: Final = "pacs.009.001.08"
NO_REFERENCE: Final = "NOTPROVIDED"

BEARERS: Final = MappingProxyType({"OUR": "DEBT", "BEN": "CRED", "SHA": "SHAR"})
TIMES: Final = MappingProxyType({"CLSTIME": "CLSTm", "TILTIME": "TillTm", "FROTIME": "FrTm", "REJTIME": "RjctTm"})
INDICATIONS: Final = MappingProxyType({"SNDTIME": "DbtDtTm", "RNCTIME": "CdtDtTm"})
TO_CREDITOR: Final = frozenset({"CHQB", "HOLD", "PHOB", "TELB"})
RESIDENTS: Final = MappingProxyType({"ORDERRES": "DEBT", "BENEFRES": "CRED"})
_LINE: Final = 35
_REMITTANCE: Final = 140
_INSTRUCTION: Final = 140
_RESIDENT: Final = re.compile(r"/(ORDERRES|BENEFRES)/([A-Z]{2})(?://(.*))?")
_REFERENCE: Final = re.compile(r"/ROC/(?P<reference>[^/]+(?:/[^/]+)*?)(?:///?(?P<rest>.*))?", re.DOTALL)
_CODE_WORD: Final = re.compile(r"/([A-Z]{3,8})/(.*)")


class Reader:
    """The fields of a message in one sequence, with their paths."""

    def __init__(self, message: Message, sequence: str = "") -> None:
        paths = mt.field_paths(message.fields)
        self._fields = [
            (path, each) for path, each in zip(paths, message.fields, strict=True) if each.sequence == sequence
        ]

    def all(self, number: str) -> list[tuple[str, Field]]:
        """Return the fields of a number, or of a whole tag, with their paths."""
        return [(path, each) for path, each in self._fields if number in (each.number, each.tag)]

    def one(self, number: str) -> tuple[str, Field] | None:
        """Return the first field of a number, None when there is none."""
        return next(iter(self.all(number)), None)


def mt103_to_pacs008(
    message: Message,
    *,
    to: str = CUSTOMER,
    header: str = HEADER,
    created: dt.datetime | None = None,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[Parts]:
    """Return a MT103 as a pacs.008 with its header, and what became of every value.

    `created` is the present moment unless given. Raises TranslationError.
    """
    if message.kind != "103":
        raise TranslationError("another_message", "{2:}", f"a pacs.008 is made of a MT103, not of a MT{message.kind}")
    target = Target.of(to, "pacs.008", header, created, supply, definitions)
    account = Account(mt.values(message))
    draft = Draft(target.known.definition(CUSTOMER))
    fields = Reader(message)
    group, transfer = add(draft.top, "GrpHdr"), add(draft.top, "CdtTrfTxInf")
    reference = _head(account, message, fields, group, transfer, target)
    _customer(account, fields, transfer)
    _money(account, fields, transfer, "IntrBkSttlmAmt")
    _charges(account, message, fields, transfer)
    _settlement(account, fields, group)
    _agents(account, fields, transfer, message.sender, message.receiver)
    _texts(account, fields, transfer)
    _regulation(account, fields, transfer)
    return target.finish(draft, account, "MT103", message.sender, message.receiver, reference)


def mt202cov_to_pacs009(
    message: Message,
    *,
    to: str = BANK,
    header: str = HEADER,
    created: dt.datetime | None = None,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[Parts]:
    """Return a MT202 COV, or a MT202, as a pacs.009 with its header, and what became of every value.

    `created` is the present moment unless given. Raises TranslationError.
    """
    if message.message_type != "202":
        raise TranslationError("another_message", "{2:}", f"a pacs.009 is made of a MT202, not of a MT{message.kind}")
    target = Target.of(to, "pacs.009", header, created, supply, definitions)
    account = Account(mt.values(message))
    draft = Draft(target.known.definition(BANK))
    cover = message.kind == "202COV"
    fields = Reader(message, "A" if cover else "")
    group, transfer = add(draft.top, "GrpHdr"), add(draft.top, "CdtTrfTxInf")
    reference = _head(account, message, fields, group, transfer, target)
    related = fields.one("21")
    if related is not None:
        account.keep(f"{related[0]}/reference", (put(transfer, "PmtId/EndToEndId", related[1].text), ""))
    _money(account, fields, transfer, "IntrBkSttlmAmt")
    _settlement(account, fields, group)
    if (bank := fields.one("52")) is not None:
        put_agent(account, *bank, transfer, "Dbtr")
    elif message.sender:
        account.supply((bic_agent(transfer, "Dbtr", message.sender), ""), message.sender, "derived", "the sender")
    for number, name in (("56", "IntrmyAgt1"), ("57", "CdtrAgt"), ("58", "Cdtr")):
        if (bank := fields.one(number)) is not None:
            put_agent(account, *bank, transfer, name)
    _texts(account, fields, transfer)
    if cover:
        _underlying(account, message, transfer)
    return target.finish(draft, account, f"MT{message.kind}", message.sender, message.receiver, reference)


def _head(account: Account, message: Message, fields: Reader, group: Node, transfer: Node, target: Target) -> str:
    (path, first) = fields.all("20")[0]
    reference = first.text
    account.keep(f"{path}/reference", (put(transfer, "PmtId/InstrId", reference), ""))
    account.supply((put(group, "MsgId", reference), ""), reference, "derived", "field 20")
    delivered = message.application
    if isinstance(delivered, OutputHeader) and mt.calendar_date(delivered.input_date) is not None:
        day = mt.calendar_date(delivered.input_date)
        moment = f"{day}T{delivered.input_time[:2]}:{delivered.input_time[2:]}:00"
        made = put(group, "CreDtTm", moment)
        account.keep("{2:}/input_date", (made, ""), moment)
        account.keep("{2:}/input_time", (made, ""), moment)
    else:
        moment = moment_text(target.created)
        account.supply((put(group, "CreDtTm", moment), ""), moment, "default", "the moment of the translation")
    account.supply((put(group, "NbOfTxs", "1"), ""), "1", "derived", "one message is one transfer")
    for place, name, bic in (("{1:}", "InstgAgt", message.sender), ("{2:}", "InstdAgt", message.receiver)):
        if bic:
            own = place if not isinstance(delivered, OutputHeader) else {"{1:}": "{2:}", "{2:}": "{1:}"}[place]
            account.keep(f"{own}/address", (bic_agent(transfer, name, bic), ""), bic)
    for path in ("{1:}/application", "{1:}/service", "{2:}/message_type"):
        if path in account:
            account.imply(path)
    _user_header(account, message, transfer)
    return reference


def _user_header(account: Account, message: Message, transfer: Node) -> None:
    if uetr := message.user_value("121"):
        account.keep("{3:}/121", (put(transfer, "PmtId/UETR", uetr), ""))
    service = message.user_value("111")
    if re.fullmatch("00[1-9]", service):
        made = put(transfer, "PmtTpInf/SvcLvl/Cd", f"G{service}")
        account.keep("{3:}/111", (made, ""), f"G{service}")
    if message.user_value("119") == "COV":
        account.imply("{3:}/119")  # the underlying transfer makes a cover of it
    if delivered := getattr(message.application, "priority", ""):
        urgency = {"U": "HIGH", "N": "NORM"}.get(delivered)
        if urgency is not None:
            account.keep("{2:}/priority", (put(transfer, "PmtTpInf/InstrPrty", urgency), ""), urgency)


def _customer(account: Account, fields: Reader, transfer: Node) -> None:
    if (bank := fields.one("51")) is not None:
        path, each = bank
        made = put(transfer, "InitgPty/Id/OrgId/AnyBIC", each.parts["bic"])
        account.keep(f"{path}/bic", (made, ""))
    for number, name in (("50", "Dbtr"), ("59", "Cdtr")):
        put_party(account, *fields.all(number)[0], transfer, name)
    path, each = fields.all("23B")[0]
    if each.text == "CRED":
        account.imply(f"{path}/code")
    else:
        account.keep(f"{path}/code", (put(transfer, "PmtTpInf/LclInstrm/Prtry", each.text), ""))
    for path, each in fields.all("23E"):
        _instruction(account, path, each, transfer)
    if (purpose := fields.one("26T")) is not None:
        account.keep(f"{purpose[0]}/code", (put(transfer, "Purp/Prtry", purpose[1].text), ""))


def _instruction(account: Account, path: str, each: Field, transfer: Node) -> None:
    code, text = each.parts["code"], each.parts.get("text")
    if code in TO_CREDITOR:
        made = add(transfer, "InstrForCdtrAgt")
        account.keep(f"{path}/code", (put(made, "Cd", code), ""))
        if text is not None:
            account.keep(f"{path}/text", (put(made, "InstrInf", text), ""))
        return
    if code == "SDVA":
        account.keep(f"{path}/code", (put(add(transfer, "PmtTpInf/SvcLvl"), "Cd", code), ""))
    elif code in ("INTC", "CORT") and not has(transfer, "PmtTpInf/CtgyPurp"):
        account.keep(f"{path}/code", (put(transfer, "PmtTpInf/CtgyPurp/Cd", code), ""))
    else:
        made = put(add(transfer, "InstrForNxtAgt"), "InstrInf", f"/{code}/{text or ''}")
        account.move(f"{path}/code", (made, ""), "code_word")
        if text is not None:
            account.move(f"{path}/text", (made, ""), "code_word")


def _money(account: Account, fields: Reader, transfer: Node, name: str) -> None:
    path, each = fields.all("32A")[0]
    parts = each.parts
    amount = amount_from_fin(parts["amount"], parts["currency"], path)
    made = put(transfer, name, amount, Ccy=parts["currency"])
    account.keep(f"{path}/amount", (made, ""), amount)
    account.keep(f"{path}/currency", (made, "/@Ccy"))
    day = mt.calendar_date(parts["date"])
    account.keep(f"{path}/date", (put(transfer, "IntrBkSttlmDt", str(day)), ""), str(day))
    for path, each in fields.all("13C"):
        _time(account, path, each, transfer, str(day))


def _time(account: Account, path: str, each: Field, transfer: Node, day: str) -> None:
    code, parts = each.parts["code"], each.parts
    zone = f"{parts['sign']}{parts['offset'][:2]}:{parts['offset'][2:]}"
    time = f"{parts['time'][:2]}:{parts['time'][2:]}:00{zone}"
    if code in TIMES and not has(transfer, f"SttlmTmReq/{TIMES[code]}"):
        made = put(transfer, f"SttlmTmReq/{TIMES[code]}", time)
    elif code in INDICATIONS and not has(transfer, f"SttlmTmIndctn/{INDICATIONS[code]}"):
        time = f"{day}T{time}"
        made = put(transfer, f"SttlmTmIndctn/{INDICATIONS[code]}", time)
    else:
        return
    account.keep(f"{path}/code", (made, ""), made.name)
    for name in ("time", "sign", "offset"):
        account.keep(f"{path}/{name}", (made, ""), time)


def _charges(account: Account, message: Message, fields: Reader, transfer: Node) -> None:
    path, each = fields.all("71A")[0]
    account.keep(f"{path}/code", (put(transfer, "ChrgBr", BEARERS[each.text]), ""), BEARERS[each.text])
    instructed = fields.one("33B")
    if instructed is not None:
        _amount(account, *instructed, transfer, "InstdAmt")
    if (rate := fields.one("36")) is not None:
        value = rate_from_fin(rate[1].text)
        account.keep(f"{rate[0]}/rate", (put(transfer, "XchgRate", value), ""), value)
    for tag, bic in (("71F", message.sender), ("71G", message.receiver)):
        for path, each in fields.all(tag):
            charge = add(transfer, "ChrgsInf")
            _amount(account, path, each, charge, "Amt")
            if bic:
                whose = "the sender" if tag == "71F" else "the receiver"
                account.supply((bic_agent(charge, "Agt", bic), ""), bic, "derived", f"{whose} took the charge of {tag}")


def _amount(account: Account, path: str, each: Field, parent: Node, name: str) -> None:
    parts = each.parts
    amount = amount_from_fin(parts["amount"], parts["currency"], path)
    made = put(parent, name, amount, Ccy=parts["currency"])
    account.keep(f"{path}/amount", (made, ""), amount)
    account.keep(f"{path}/currency", (made, "/@Ccy"))


def _settlement(account: Account, fields: Reader, group: Node) -> None:
    """Tell how banks settle: over correspondents (53a to 55a name them), else on an account between the two."""
    settlement = at(group, "SttlmInf")
    senders, receivers = fields.one("53"), fields.one("54")
    own_account = senders is not None and senders[1].tag == "53B"
    if receivers is None and (senders is None or own_account):
        method = "INDA"
        if senders is not None:
            path, each = senders
            parts = each.parts
            method = "INGA" if parts.get("mark") == "C" else "INDA"
            if "identifier" in parts:
                put_account(account, f"{path}/identifier", parts["identifier"], settlement, "SttlmAcct")
        made = put(settlement, "SttlmMtd", method)
        if senders is not None and "mark" in senders[1].parts:
            account.keep(f"{senders[0]}/mark", (made, ""), method)
        else:
            account.supply((made, ""), method, "default", "no correspondent is named")
        return
    made = put(settlement, "SttlmMtd", "COVE")
    account.supply((made, ""), "COVE", "derived", "correspondents are named")
    for number, name in (("53", "InstgRmbrsmntAgt"), ("54", "InstdRmbrsmntAgt"), ("55", "ThrdRmbrsmntAgt")):
        if (bank := fields.one(number)) is not None:
            put_agent(account, *bank, settlement, name)


def _agents(account: Account, fields: Reader, transfer: Node, sender: str, receiver: str) -> None:
    """Put the banks of both customers; where they are not named they are the sender and the receiver."""
    for number, name in (("52", "DbtrAgt"), ("56", "IntrmyAgt1"), ("57", "CdtrAgt")):
        if (bank := fields.one(number)) is not None:
            put_agent(account, *bank, transfer, name)
    for number, name, bic, why in (
        ("52", "DbtrAgt", sender, "the sender, for there is no 52a"),
        ("57", "CdtrAgt", receiver, "the receiver, for there is no 57a"),
    ):
        if fields.one(number) is None and bic:
            account.supply((bic_agent(transfer, name, bic), ""), bic, "derived", why)


def _texts(account: Account, fields: Reader, transfer: Node) -> None:
    _remittance(account, fields, transfer)
    if (information := fields.one("72")) is None:
        return
    path, each = information
    for places, text in _blocks(path, each.lines):
        word = _CODE_WORD.fullmatch(text)
        if word is not None and word[1] == "INS" and is_bic(word[2]) and not has(transfer, "PrvsInstgAgt1"):
            made = bic_agent(transfer, "PrvsInstgAgt1", word[2])
            written, code = word[2], ""
        elif word is not None and word[1] == "ACC" and word[2]:
            written, code = cut(word[2], _INSTRUCTION)
            made = put(add(transfer, "InstrForCdtrAgt"), "InstrInf", written)
        else:
            written, code = cut(text, _INSTRUCTION)
            made = put(add(transfer, "InstrForNxtAgt"), "InstrInf", written)
        for place in places:
            account.change(place, (made, ""), written, code)


def _blocks(path: str, lines: tuple[str, ...]) -> list[tuple[list[str], str]]:
    """Return the texts of field 72, one a code word: a line with // goes on with the one before."""
    found: list[tuple[list[str], list[str]]] = []
    for number, line in enumerate(lines, 1):
        place = f"{path}/line[{number}]"
        if line.startswith("//") and found:
            found[-1][0].append(place)
            found[-1][1].append(line[2:])
        else:
            found.append(([place], [line]))
    return [(places, "".join(texts)) for places, texts in found]


def _remittance(account: Account, fields: Reader, transfer: Node) -> None:
    named = has(transfer, "PmtId/EndToEndId")
    if (remittance := fields.one("70")) is None:
        if not named:
            _no_reference(account, transfer)
        return
    path, each = remittance
    places = [f"{path}/line[{number}]" for number in range(1, len(each.lines) + 1)]
    text = join(each.lines, _LINE)
    found = _REFERENCE.fullmatch(text)
    if found is not None and not named and len(found["reference"]) <= _LINE:
        reference = put(transfer, "PmtId/EndToEndId", found["reference"])
        text = found["rest"] or ""
        if not text:
            for place in places:
                account.keep(place, (reference, ""), found["reference"])
            return
    elif not named:
        _no_reference(account, transfer)
    written, code = cut(text, _REMITTANCE)
    made = put(transfer, "RmtInf/Ustrd", written)
    for place in places:
        account.change(place, (made, ""), written, code)


def _no_reference(account: Account, transfer: Node) -> None:
    made = put(transfer, "PmtId/EndToEndId", NO_REFERENCE)
    account.supply((made, ""), NO_REFERENCE, "default", "field 70 has no /ROC/")


def _regulation(account: Account, fields: Reader, transfer: Node) -> None:
    if (reporting := fields.one("77B")) is None:
        return
    path, each = reporting
    details: Node | None = None
    for number, line in enumerate(each.lines, 1):
        place = f"{path}/line[{number}]"
        found = _RESIDENT.fullmatch(line)
        if found is not None:
            report = add(transfer, "RgltryRptg")
            put(report, "DbtCdtRptgInd", RESIDENTS[found[1]])
            details = add(report, "Dtls")
            country = put(details, "Ctry", found[2])
            if found[3]:
                account.keep(place, (put(details, "Inf", found[3]), ""), found[3])
            else:
                account.keep(place, (country, ""), found[2])
            continue
        if details is None:
            details = add(add(transfer, "RgltryRptg"), "Dtls")
        text = line.removeprefix("//") or line
        account.keep(place, (put(details, "Inf", text), ""), text)


def _underlying(account: Account, message: Message, transfer: Node) -> None:
    fields = Reader(message, "B")
    inner = add(transfer, "UndrlygCstmrCdtTrf")
    for number, name in (("50", "Dbtr"), ("59", "Cdtr")):
        put_party(account, *fields.all(number)[0], inner, name)
    # The cover goes to the bank of the payee over others: it is the beneficiary of the cover, 58a, that holds the account.
    bank = message.find("58A", sequence="A")
    _agents(account, fields, inner, message.sender, "" if bank is None else bank.parts["bic"])
    if (remittance := fields.one("70")) is not None:
        path, each = remittance
        written, code = cut(join(each.lines, _LINE), _REMITTANCE)
        made = put(inner, "RmtInf/Ustrd", written)
        for number_of_line in range(1, len(each.lines) + 1):
            account.change(f"{path}/line[{number_of_line}]", (made, ""), written, code)
    if (information := fields.one("72")) is not None:
        path, each = information
        for places, text in _blocks(path, each.lines):
            written, code = cut(text, _INSTRUCTION)
            made = put(add(inner, "InstrForNxtAgt"), "InstrInf", written)
            for place in places:
                account.change(place, (made, ""), written, code)
    if (instructed := fields.one("33B")) is not None:
        _amount(account, *instructed, inner, "InstdAmt")
