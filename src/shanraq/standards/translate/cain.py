"""Card messages of ISO 8583 as cain, and back: authorisation, financial transaction, reversal, and their responses.

cain.001 to .006 in version 05, which is flat and carries the codes of ISO 8583 literally. Its definitions do not come with the
package: an operator adds the official schemas (`shanraq iso20022 schemas add`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso8583 import Message, mask_number
from shanraq.standards.iso20022 import Library, Node
from shanraq.standards.iso20022.definition import value_type
from shanraq.standards.iso20022.lexical import fits
from shanraq.standards.iso20022.tree import child, children, text
from shanraq.standards.translate.account import Account, Parts, Translation
from shanraq.standards.translate.cards import (
    CHIP,
    MTI,
    NUMBER,
    SECRETS,
    amount_of,
    card_values,
    clock,
    digits_of,
    element_parts,
    fee,
    near_date,
    rate_digits,
    rate_of,
)
from shanraq.standards.translate.draft import Draft, add, has, put
from shanraq.standards.translate.errors import TranslationError, incomplete
from shanraq.standards.translate.texts import text_of
from shanraq.standards.translate.versions import NOTHING

VERSION: Final = "001.05"
KINDS: Final = MappingProxyType(
    {("1", "initiation"): "cain.001", ("1", "response"): "cain.002", ("2", "initiation"): "cain.003",
     ("2", "response"): "cain.004", ("4", "initiation"): "cain.005", ("4", "response"): "cain.006"}
)  # fmt: skip
"""By the class of the message type (position 2) and by who speaks."""
FUNCTIONS: Final = MappingProxyType({"0": "REQU", "1": "REQU", "2": "ADVC", "3": "ADVC", "4": "NOTI"})
CLASSES: Final = MappingProxyType({"1": "AUTH", "2": "FINL"})
ENTRIES: Final = MappingProxyType(
    {"00": "UNSP", "01": "KEEN", "02": "MGSP", "03": "OPTC", "04": "OCRR", "05": "ICCY", "07": "ICPY", "10": "CDFL",
     "80": "ICMG", "90": "MGST", "91": "MSIP", "95": "ICCP"}
)  # fmt: skip
"""Positions 1 and 2 of DE22 (1987), as schemes use them."""
ENTRIES_1993: Final = MappingProxyType(
    {"0": "UNSP", "1": "MLEY", "2": "MGST", "3": "OPTC", "4": "OCRR", "5": "ICCY", "6": "KEEN"}
)
"""Position 7 of DE22 (1993)."""
FEE: Final = "00"

# Elements that say one thing, at one place, in the same characters: element number, path, what is cut off around it.
PLAIN: Final = (
    (2, "Card/PAN"), (11, "TxId/SysTracAudtNb"), (18, "Cntxt/MrchntCtgyCd"), (19, "Acqrr/Ctry"), (23, "Card/CardSeqNb"),
    (32, "Acqrr/Id"), (33, "Sndr/Id"), (37, "TxId/RtrvlRefNb"), (38, "PrcgRslt/ApprvlCd"), (40, "Card/SvcCd"),
    (41, "Termnl/Id"), (42, "Accptr/Id"), (43, "Accptr/NmAndLctn"), (55, "ICCRltdData"), (100, "Rcvr/Id"),
    (102, "AcctFr/Id"), (103, "AcctTo/Id"),
)  # fmt: skip
PADDED: Final = MappingProxyType({41: 8, 42: 15, 43: 40})
ACCOUNT_TYPES: Final = (("3/type", "TxChrtcs/TxTp"), ("3/from", "AcctFr/Tp"), ("3/to", "AcctTo/Tp"))
AMOUNTS: Final = (
    (4, 49, "TxAmts/Amt", "TxAmts/Ccy", 12),
    (5, 50, "TxAmts/RcncltnAmt", "TxAmts/RcncltnCcy", 12),
    (6, 51, "TxAmts/CrdhldrBllgAmt", "TxAmts/CrdhldrBllgCcy", 12),
)
RATES: Final = ((9, "TxAmts/RcncltnFctvXchgRate"), (10, "TxAmts/CrdhldrBllgFctvXchgRate"))
DAYS: Final = ((16, "ConvsDtTm/Dt"), (17, "Cntxt/CaptrDt"))
_CONTEXT: Final = "Cntxt"
_CURRENCY: Final = re.compile("[0-9]{3}", re.ASCII)
_MOMENT: Final = re.compile(
    r"[0-9]{4}-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-]00:00)?", re.ASCII
)


def cain_of(message: Message) -> str:
    """Return the cain message for a message type; raise TranslationError, code `another_message`."""
    mti = message.mti
    side = "response" if mti[2:3] in ("1", "3") else "initiation"
    kind = KINDS.get((mti[1:2], side))
    if kind is None or mti[2:3] not in FUNCTIONS or mti[:1] not in ("0", "1"):
        raise TranslationError(
            "another_message",
            MTI,
            "only authorisations, financial transactions and reversals of 1987 and 1993 have a cain here",
        )
    return f"{kind}.{VERSION}"


def iso8583_to_cain(
    message: Message,
    *,
    created: dt.datetime | None = None,
    supply: Mapping[str, str] = NOTHING,
    definitions: Library | None = None,
) -> Translation[Parts]:
    """Return a card message as cain, and what became of every value; sensitive values are masked in the account.

    `created` is near the day of the message: ISO 8583 has no years. Raises TranslationError, and Iso20022Error, code
    `unknown_message`, when the definition of the cain message was not added.
    """
    known = definitions or iso20022.library()
    target = cain_of(message)
    account = Account(card_values(message))
    writer = _ToCain(account, message, Draft(known.definition(target)), created or dt.datetime.now(dt.UTC))
    writer.fill()
    element, places = writer.draft.finish(account, known, supply)
    return Translation(
        Parts(element), f"ISO 8583 {message.mti}", target, account.traces(places), account.supplied(places)
    )


class _ToCain:
    def __init__(self, account: Account, message: Message, draft: Draft, created: dt.datetime) -> None:
        self.draft = draft
        self._account = account
        self._message = message
        self._created = created
        self._fields = message.fields
        self._modern = message.mti[:1] == "1"

    def fill(self) -> None:
        """Put every element that has a place."""
        self._head()
        self._plain()
        self._amounts()
        self._dates()
        self._entry_mode()
        self._results()
        self._original()
        self._additional()
        for number in SECRETS:
            if str(number) in self._account:
                self._account.drop(str(number), "secret")
        self._context()

    def _put(self, path: str, text_: str) -> Node | None:
        """Put a value at a path, None where this message has no such place."""
        if self.draft.definition.at(f"/Document/{self.draft.top.name}/{path}") is None:
            return None
        return put(self.draft.top, path, text_)

    def _head(self) -> None:
        mti = self._message.mti
        function = FUNCTIONS[mti[2]]
        made = put(self.draft.top, "Hdr/MsgFctn", function)
        if mti[3:] == "0":
            self._account.keep(MTI, (made, ""), function)
        elif mti[3:] == "1":
            self._account.keep(MTI, (put(self.draft.top, "Hdr/ReTrnsmssnCntr", "1"), ""), "1")
        else:
            self._account.change(MTI, (made, ""), function, "not_whole")
        for name, path in ACCOUNT_TYPES:
            value = element_parts(3, self._fields.get(3, "")).get(name[1:])
            if value is not None and (name == "3/type" or value != "00" or self._names(path)):
                node = self._put(path, value)
                if node is not None:
                    self._account.keep(name, (node, ""))
            elif value is not None:
                self._account.imply(name)  # 00: no account is chosen, which is what its absence says

    def _names(self, path: str) -> bool:
        return (102 if path.startswith("AcctFr") else 103) in self._fields

    def _plain(self) -> None:
        for number, path in PLAIN:
            value = self._fields.get(number)
            if value is None:
                continue
            written = value.strip(" ") if number in PADDED else value
            if not written or (number == 38 and len(written) != 6):
                self._account.drop(str(number), "not_of_type")
                continue
            node = self._put(path, written)
            if node is None:
                continue
            if number == CHIP:
                node.text = _chip_text(written.upper(), node)
            sensitive = number in (NUMBER, CHIP)
            self._account.keep(str(number), (node, ""), None if sensitive else written)

    def _amounts(self) -> None:
        for number, currency_number, path, currency_path, _ in AMOUNTS:
            digits, currency = self._fields.get(number), self._fields.get(currency_number)
            if digits is None:
                continue
            if currency is None:
                raise incomplete(str(currency_number), str(currency_number), f"element {number} has no currency")
            place = str(number)
            if _CURRENCY.fullmatch(currency) is None:
                raise TranslationError("currency", str(currency_number), "a currency of three digits is due")
            amount = amount_of(digits, currency, place)
            node, unit = self._put(path, amount), self._put(currency_path, currency)
            if node is not None and unit is not None:
                self._account.keep(place, (node, ""), amount)
                self._account.keep(str(currency_number), (unit, ""))
        for number, path in RATES:
            rate = rate_of(self._fields.get(number, ""))
            if rate is not None and (node := self._put(path, rate)) is not None:
                self._account.keep(str(number), (node, ""), rate)
        charged = fee(self._fields.get(28, ""))
        currency = self._fields.get(49, "")
        if charged is not None and currency:
            made = add(self.draft.top, "AddtlFee")
            amount = amount_of(charged[1], currency, "28")
            put(made, "CdtDbt", charged[0])
            self._account.keep("28", (put(made, "Amt", amount), ""), amount)
            self._account.supply((put(made, "Tp", FEE), ""), FEE, "default", "a fee of the transaction")

    def _dates(self) -> None:
        account, fields = self._account, self._fields
        if (moment := fields.get(7)) is not None and len(moment) == 10:
            day = near_date(moment[:4], self._created, "7")
            written = f"{day}T{clock(moment[4:], '7')}Z"
            account.keep("7", (put(self.draft.top, "TxId/TrnsmssnDtTm", written), ""), written)
        local = fields.get(12)
        if local is not None and self._modern and len(local) == 12:
            day_, time = near_year(local[:6], "12"), clock(local[6:], "12")
            put(self.draft.top, "TxId/LclDt", str(day_))
            account.keep("12", (put(self.draft.top, "TxId/LclTm", time), ""), f"{day_} {time}")
        elif local is not None and len(local) == 6:
            time = clock(local, "12")
            account.keep("12", (put(self.draft.top, "TxId/LclTm", time), ""), time)
        if (local_day := fields.get(13)) is not None and not self._modern:
            written = str(near_date(local_day, self._created, "13"))
            account.keep("13", (put(self.draft.top, "TxId/LclDt", written), ""), written)
        for number, path in DAYS:
            value = fields.get(number)
            if value is not None and len(value) == 4:
                written = str(near_date(value, self._created, str(number)))
                if (node := self._put(path, written)) is not None:
                    account.keep(str(number), (node, ""), written)
        expiry = fields.get(14)
        if expiry is not None and re.fullmatch(r"[0-9]{2}(0[1-9]|1[0-2])", expiry, re.ASCII):
            written = f"20{expiry[:2]}-{expiry[2:]}"
            if (node := self._put("Card/XpryDt", written)) is not None:
                account.keep("14", (node, ""), written)

    def _entry_mode(self) -> None:
        value = self._fields.get(22, "")
        parts = element_parts(22, value)
        code = ENTRIES_1993.get(value[6:7]) if self._modern else ENTRIES.get(parts.get("/entry", ""))
        node = None if code is None else self._put(f"{_CONTEXT}/CardDataNtryMd", code)
        if node is None or code is None:
            return
        if self._modern:
            self._account.change("22", (node, ""), code, "not_whole")
        else:
            self._account.keep("22/entry", (node, ""), code)

    def _results(self) -> None:
        condition = self._fields.get(25, "")
        path = "TxChrtcs/MsgRsn" if self._modern else f"{_CONTEXT}/POSCondCd"
        form = "[0-9]{4}" if self._modern else "[0-9]{2}"
        if re.fullmatch(form, condition, re.ASCII) and (node := self._put(path, condition)) is not None:
            self._account.keep("25", (node, ""))
        code = self._fields.get(39)
        if code is not None:
            path = "PrcgRslt/ActnCd" if self._modern else "PrcgRslt/RspnCd"
            if (node := self._put(path, code)) is not None:
                self._account.keep("39", (node, ""))

    def _original(self) -> None:
        value = self._fields.get(90, "")
        parts = element_parts(90, value)
        if "/mti" not in parts:
            return
        account, top = self._account, self.draft.top
        mti = parts["/mti"]
        if mti[1] in CLASSES and mti[2] in FUNCTIONS:
            made = put(top, "OrgnlDataElmts/MsgClss", CLASSES[mti[1]])
            put(top, "OrgnlDataElmts/MsgFctn", FUNCTIONS[mti[2]])
            account.change("90/mti", (made, ""), CLASSES[mti[1]], "" if mti[3] == "0" else "not_whole")
        account.keep("90/stan", (put(top, "OrgnlDataElmts/TxId/SysTracAudtNb", parts["/stan"]), ""))
        moment = parts["/transmission"]
        if moment.strip("0"):
            day = near_date(moment[:4], self._created, "90/transmission")
            written = f"{day}T{clock(moment[4:], '90/transmission')}Z"
            node = put(top, "OrgnlDataElmts/TxId/TrnsmssnDtTm", written)
            account.keep("90/transmission", (node, ""), written)
        else:
            account.imply("90/transmission")
        for name, path in (("acquirer", "AcqrrId"), ("forwarding", "SndrId")):
            number = parts[f"/{name}"].lstrip("0")
            if number:
                account.keep(f"90/{name}", (put(top, f"OrgnlDataElmts/{path}", number), ""), number)
            else:
                account.imply(f"90/{name}")

    def _additional(self) -> None:
        for behind, value in element_parts(54, self._fields.get(54, "")).items():
            found = re.fullmatch(r"([0-9A-Z]{2})([0-9A-Z]{2})([0-9]{3})([CD])([0-9]{12})", value, re.ASCII)
            if found is None:
                continue
            made = add(self.draft.top, "AddtlAmt")
            amount = amount_of(found[5], found[3], f"54{behind}")
            for name, text_ in (("AcctTp", found[1]), ("Tp", found[2]), ("Ccy", found[3])):
                put(made, name, text_)
            put(made, "CdtDbt", "CRDT" if found[4] == "C" else "DBIT")
            self._account.keep(f"54{behind}", (put(made, "Amt", amount), ""), amount)

    def _context(self) -> None:
        """Leave out a context that would not be whole where the message may be without one."""
        place = self.draft.definition.at(f"/Document/{self.draft.top.name}/{_CONTEXT}")
        own = next((each for each in self.draft.top.children if each.name == _CONTEXT), None)
        if own is None or place is None or place.min_occurs:
            return
        kind = place.type
        assert isinstance(kind, iso20022.ComplexType)
        if all(has(own, each.name) for each in kind.elements if each.min_occurs):
            return
        self.draft.top.children.remove(own)
        self._account.forsake(own, "incomplete")


def _chip_text(digits: str, node: Node) -> str:
    """Return chip data as the schema takes it: the pattern of Max10KHexBinaryText ends with two blanks, which then are due."""
    kind = value_type(node.element.type)
    assert kind is not None
    return digits if fits(digits, kind) else f"{digits}  "


def near_year(digits: str, place: str) -> dt.date:
    """Return the date of YYMMDD in this century; raise TranslationError, code `not_of_type`."""
    try:
        return dt.date(2000 + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        raise TranslationError("not_of_type", place, "there is no such day") from None


def cain_to_iso8583(
    document: etree._Element, *, supply: Mapping[str, str] = NOTHING, definitions: Library | None = None
) -> Translation[Message]:
    """Return a cain.001 to .006 (version 05) as a card message of 1987, and what became of every value, masked where sensitive.

    `supply` has elements by their numbers; what the message gives is not replaced. Raises TranslationError.
    """
    known = definitions or iso20022.library()
    identity = iso20022.identify(document)
    found = identity.documents[0].message_id if identity.documents else None
    sides = {f"{kind}.{VERSION}": key for key, kind in KINDS.items()}
    if found is None or str(found) not in sides:
        raise TranslationError("another_message", "", "a card message is made of cain.001 to cain.006 in version 05")
    source = iso20022.cut_out(identity.documents[0].element)
    if wrong := iso20022.validate_schema(source, known):
        raise TranslationError(wrong[0].code, wrong[0].path, wrong[0].message)
    account = Account.of_elements([source], known)
    account.mask(_masked)
    reader = _FromCain(account, source[0], *sides[str(found)])
    message = reader.message(supply)
    return Translation(message, str(found), f"ISO 8583 {message.mti}", account.traces({}), account.supplied({}))


def _masked(path: str, value: str) -> str:
    name = path.rpartition("/")[2].partition("[")[0]
    if name in ("PAN", "PANAcctRg"):
        return mask_number(value)
    return "*" * len(value) if name in ("ICCRltdData", "NcrptdPINBlck", "*any*") or "Trck" in name else value


class _FromCain:
    def __init__(self, account: Account, top: etree._Element, message_class: str, side: str) -> None:
        self._account = account
        self._top = top
        self._class = message_class
        self._side = side
        self._fields: dict[int, str] = {}

    def message(self, supply: Mapping[str, str]) -> Message:
        """Return the card message; raise TranslationError."""
        mti = self._mti()
        self._plain()
        self._processing()
        self._amounts()
        self._dates()
        self._codes()
        self._original()
        self._additional()
        for key, value in supply.items():
            if re.fullmatch(r"[1-9][0-9]{0,2}", key, re.ASCII) is None or not 2 <= int(key) <= 128:
                raise TranslationError("supply", key[:8], "an element has a number from 2 to 128")
            if int(key) not in self._fields:
                self._fields[int(key)] = value
                self._account.supply(key, mask_number(value) if key == "2" else value, "parameter")
        return Message(mti, dict(sorted(self._fields.items())))

    def _at(self, path: str) -> etree._Element | None:
        return child(self._top, *path.split("/"))

    def _keep(self, element: etree._Element, target: str, new: str | None = None) -> None:
        self._account.keep(self._account.place(element), target, new)

    def _mti(self) -> str:
        function = self._at("Hdr/MsgFctn")
        assert function is not None  # the schema demands it
        names = {"REQU": "0", "ADVC": "2", "NOTI": "4"}
        if function.text not in names:
            raise TranslationError(
                "another_message", self._account.place(function), "only REQU, ADVC and NOTI have a message type"
            )
        number = int(names[function.text])
        if self._side == "response":
            if function.text == "NOTI":
                raise TranslationError(
                    "another_message", self._account.place(function), "a notification has no response"
                )
            number += 1
        repeat = self._at("Hdr/ReTrnsmssnCntr")
        again = repeat is not None and (repeat.text or "").strip("0") != ""
        mti = f"0{self._class}{number}{'1' if again else '0'}"
        self._keep(function, MTI, mti)
        if repeat is not None:
            code = "" if (repeat.text or "").lstrip("0") in ("", "1") else "not_whole"
            self._account.change(self._account.place(repeat), MTI, mti[3], code)
        return mti

    def _plain(self) -> None:
        for number, path in PLAIN:
            element = self._at(path)
            if element is None or not element.text:
                continue
            size = PADDED.get(number)
            if size is not None and len(element.text) > size:
                self._account.drop(self._account.place(element), "not_of_type")
                continue
            written = element.text if size is None else element.text.ljust(size)
            if number == CHIP:
                written = element.text.strip()
            if number == 11:
                written = element.text.zfill(6)
                if len(written) > 6:
                    self._account.drop(self._account.place(element), "not_of_type")
                    continue
            if number == 23:
                written = element.text.zfill(3)
            self._fields[number] = written
            self._keep(element, str(number), None if number in (NUMBER, CHIP) else written)

    def _processing(self) -> None:
        codes = []
        for target, path in ACCOUNT_TYPES:
            element = self._at(path)
            codes.append("00" if element is None else element.text or "")
            if element is not None:
                self._keep(element, target)
        self._fields[3] = "".join(codes)

    def _amounts(self) -> None:
        for number, unit, path, currency_path, size in AMOUNTS:
            amount, currency = self._at(path), self._at(currency_path)
            if amount is None or currency is None:
                continue
            digits = digits_of(amount.text or "", currency.text or "", size, self._account.place(amount))
            self._fields[number], self._fields[unit] = digits, currency.text or ""
            self._keep(amount, str(number), digits)
            self._keep(currency, str(unit))
        for number, path in RATES:
            element = self._at(path)
            rate = None if element is None else rate_digits(element.text or "")
            if element is not None and rate is not None:
                self._fields[number] = rate
                self._keep(element, str(number), rate)
        charge = next((each for each in children(self._top, "AddtlFee") if text(each, "Tp") == FEE), None)
        amount, side, kind = child(charge, "Amt"), child(charge, "CdtDbt"), child(charge, "Tp")
        currency_of_fee = text(charge, "Ccy") or self._fields.get(49, "")
        if amount is not None and side is not None and kind is not None and currency_of_fee == self._fields.get(49):
            sign = "C" if side.text == "CRDT" else "D"
            digits = digits_of(amount.text or "", currency_of_fee, 8, self._account.place(amount))
            self._fields[28] = sign + digits
            self._keep(amount, "28", digits)
            self._keep(side, "28", sign)
            self._account.imply(self._account.place(kind))

    def _dates(self) -> None:
        moment = self._at("TxId/TrnsmssnDtTm")
        found = _MOMENT.fullmatch(text_of(moment))
        if moment is not None and found is not None:
            self._fields[7] = "".join(found.group(1, 2, 3, 4, 5))
            self._keep(moment, "7", self._fields[7])
        time, day = self._at("TxId/LclTm"), self._at("TxId/LclDt")
        if time is not None and re.match(r"[0-9]{2}:[0-9]{2}:[0-9]{2}", time.text or ""):
            self._fields[12] = (time.text or "")[:8].replace(":", "")
            code = "" if len(time.text or "") == 8 else "shortened"
            self._account.change(self._account.place(time), "12", self._fields[12], code)
        if day is not None:
            self._fields[13] = (day.text or "")[5:10].replace("-", "")
            self._keep(day, "13", self._fields[13])
        for number, path in DAYS:
            element = self._at(path)
            if element is not None:
                self._fields[number] = (element.text or "")[5:10].replace("-", "")
                self._keep(element, str(number), self._fields[number])
        expiry = self._at("Card/XpryDt")
        if expiry is not None:
            self._fields[14] = (expiry.text or "")[2:7].replace("-", "")
            self._keep(expiry, "14", self._fields[14])

    def _codes(self) -> None:
        entry = self._at(f"{_CONTEXT}/CardDataNtryMd")
        number = next((digits for digits, code in ENTRIES.items() if code == text_of(entry)), None)
        if entry is not None and number is not None:
            self._fields[22] = f"{number}0"
            self._keep(entry, "22/entry", number)
            self._account.supply("22/pin", "0", "default", "cain does not say it there")
        for number_, path in ((25, f"{_CONTEXT}/POSCondCd"), (39, "PrcgRslt/RspnCd")):
            element = self._at(path)
            if element is not None:
                self._fields[number_] = element.text or ""
                self._keep(element, str(number_))

    def _original(self) -> None:
        original = self._at("OrgnlDataElmts")
        number, kind = child(original, "TxId", "SysTracAudtNb"), child(original, "MsgClss")
        digits = {code: digit for digit, code in CLASSES.items()}.get(text_of(kind))
        if number is None or kind is None or digits is None or len(text_of(number)) > 6:
            return
        function = child(original, "MsgFctn")
        names = {"REQU": "0", "ADVC": "2", "NOTI": "4"}
        mti = f"0{digits}{names.get(text_of(function), '0')}0"
        self._keep(kind, "90/mti", mti)
        if function is not None and function.text in names:
            self._keep(function, "90/mti", mti)
        stan = text_of(number).zfill(6)
        self._keep(number, "90/stan", stan)
        moment = child(original, "TxId", "TrnsmssnDtTm")
        found = _MOMENT.fullmatch(text_of(moment))
        sent = "0" * 10
        if moment is not None and found is not None:
            sent = "".join(found.group(1, 2, 3, 4, 5))
            self._keep(moment, "90/transmission", sent)
        parties = ""
        for name, target in (("AcqrrId", "acquirer"), ("SndrId", "forwarding")):
            element = child(original, name)
            parties += text_of(element).zfill(11)
            if element is not None:
                self._keep(element, f"90/{target}", text_of(element).zfill(11))
        self._fields[90] = f"{mti}{stan}{sent}{parties}"

    def _additional(self) -> None:
        written = ""
        for place, amount in enumerate(children(self._top, "AddtlAmt")[:6], 1):
            parts = [child(amount, name) for name in ("AcctTp", "Tp", "Ccy", "CdtDbt", "Amt")]
            kind, tag, currency, side, value = parts
            if tag is None or currency is None or value is None:
                continue
            target = f"54[{place}]"
            sign = "D" if text_of(side) == "DBIT" else "C"
            digits = digits_of(value.text or "", currency.text or "", 12, self._account.place(value))
            written += f"{text_of(kind) or '00'}{tag.text}{currency.text}{sign}{digits}"
            for element, new in ((kind, None), (tag, None), (currency, None), (side, sign), (value, digits)):
                if element is not None:
                    self._keep(element, target, new)
        if written:
            self._fields[54] = written
