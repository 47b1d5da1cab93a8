"""Parties, accounts and agents: fields 50a to 59a of FIN, and what they are in ISO 20022."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Node
from shanraq.standards.iso20022.identifiers import bic_fault, iban_fault
from shanraq.standards.iso20022.paths import local_name
from shanraq.standards.iso20022.tree import child, children
from shanraq.standards.mt import Field
from shanraq.standards.translate.account import Account
from shanraq.standards.translate.draft import add, at, put
from shanraq.standards.translate.texts import cut, join, to_fin, worst, wrap

_WIDTH: Final = 35
_NUMBERED: Final = 33
_LINES: Final = 4
_TOWN: Final = 35
_OF_PERSONS: Final = frozenset({"ARNU", "CCPT", "DRLC", "NIDN", "SOSE"})
_IDENTIFIED: Final = re.compile(r"(ARNU|CCPT|CUST|DRLC|EMPL|NIDN|SOSE|TXID)/([A-Z]{2})/(.+)")
_COUNTRY: Final = re.compile(r"([A-Z]{2})(?:/(.+))?")
_BIRTH_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})", re.ASCII)

# Clearing codes of FIN and ExternalClearingSystemIdentification1Code, with the form of a member's number.
CLEARING: Final = MappingProxyType(
    {
        "AT": "ATBLZ", "AU": "AUBSB", "BL": "DEBLZ", "CC": "CACPA", "CN": "CNAPS", "CP": "USPID", "ES": "ESNCC", "FW": "USABA",
        "GR": "GRBIC", "HK": "HKNCC", "IE": "IENCC", "IN": "INFSC", "IT": "ITNCC", "NZ": "NZNCC", "PL": "PLKNR", "PT": "PTNCC",
        "RU": "RUCBC", "SC": "GBDSC", "SW": "CHBCC", "ZA": "ZANCC",
    }
)  # fmt: skip
_CLEARING_CODES: Final = {system: code for code, system in CLEARING.items()}
_MEMBER: Final = re.compile(r"/([A-Z]{2})(.+)")


def put_account(account: Account, path: str, value: str, parent: Node, name: str) -> Node:
    """Put an account number below a parent, as an IBAN when it is one, and return the node of it.

    `value` is what of the input's value is the number.
    """
    kind = "IBAN" if iban_fault(value) is None else "Othr/Id"
    made = put(at(parent, name), f"Id/{kind}", value)
    account.keep(path, (made, ""), value)
    return made


def put_party(account: Account, path: str, each: Field, parent: Node, name: str) -> None:
    """Put a customer (50a, 59a) below a parent as party and account."""
    party = at(parent, name)
    parts = each.parts
    if "account" in parts:
        put_account(account, f"{path}/account", parts["account"], parent, f"{name}Acct")
    if "bic" in parts:
        account.keep(f"{path}/bic", (put(party, "Id/OrgId/AnyBIC", parts["bic"]), ""))
    elif each.tag[2:] == "F":
        _put_structured(account, path, each, parent, name)
    else:
        _put_lines(account, path, each.lines, party)


def _put_lines(account: Account, path: str, lines: tuple[str, ...], party: Node) -> None:
    for number, line in enumerate(lines, 1):
        made = put(party, "Nm" if number == 1 else "PstlAdr/AdrLine", line)
        account.keep(f"{path}/line[{number}]", (made, ""))


def _put_structured(account: Account, path: str, each: Field, parent: Node, name: str) -> None:
    party = at(parent, name)
    numbered: dict[str, list[tuple[str, str]]] = {}
    for number, line in enumerate(each.lines, 1):
        numbered.setdefault(line[0], []).append((f"{path}/line[{number}]", line[2:]))
    private = bool(numbered.keys() & {"4", "5", "7"})
    holder = each.parts.get("party", "")
    if holder.startswith("/"):
        put_account(account, f"{path}/party", holder[1:], parent, f"{name}Acct")
    elif (found := _IDENTIFIED.fullmatch(holder)) is not None:
        private = private or found[1] in _OF_PERSONS
        _put_identification(account, f"{path}/party", party, private, found[1], found[2], found[3])
    if names := numbered.get("1"):
        made = put(party, "Nm", join([text for _, text in names], _NUMBERED))
        for place, _ in names:
            account.keep(place, (made, ""), made.text)
    for place, text in numbered.get("2", ()):
        account.keep(place, (put(party, "PstlAdr/AdrLine", text), ""), text)
    _put_town(account, numbered.get("3", []), party)
    _put_birth(account, numbered, party)
    for place, text in numbered.get("6", ()):
        country, _, rest = text.partition("/")
        _put_identification(account, place, party, private, "CUST", country, rest)
    for place, text in numbered.get("7", ()):
        country, _, rest = text.partition("/")
        _put_identification(account, place, party, private, "NIDN", country, rest)


def _put_town(account: Account, lines: list[tuple[str, str]], party: Node) -> None:
    found = _COUNTRY.fullmatch(lines[0][1]) if lines else None
    if found is None:
        for place, text in lines:
            account.move(place, (put(party, "PstlAdr/AdrLine", text), ""), "no_place")
        return
    country = put(party, "PstlAdr/Ctry", found[1])
    if found[2] is None:
        account.keep(lines[0][0], (country, ""), found[1])
        return
    text = join([found[2], *(text for _, text in lines[1:])], _NUMBERED)
    town, code = cut(text, _TOWN)
    made = put(party, "PstlAdr/TwnNm", town)
    for place, _ in lines:
        account.change(place, (made, ""), town, code)


def _put_birth(account: Account, numbered: dict[str, list[tuple[str, str]]], party: Node) -> None:
    dates, places = numbered.get("4", []), numbered.get("5", [])
    day = _BIRTH_DATE.fullmatch(dates[0][1]) if len(dates) == 1 else None
    town = _COUNTRY.fullmatch(places[0][1]) if len(places) == 1 else None
    if day is None or town is None or not town[2]:
        for place, _ in (*dates, *places):
            account.drop(place, "incomplete")
        return
    born = at(party, "Id/PrvtId/DtAndPlcOfBirth")
    account.keep(dates[0][0], (put(born, "BirthDt", f"{day[1]}-{day[2]}-{day[3]}"), ""), f"{day[1]}-{day[2]}-{day[3]}")
    account.keep(places[0][0], (put(born, "CityOfBirth", town[2]), ""), town[2])
    put(born, "CtryOfBirth", town[1])


def _put_identification(
    account: Account, path: str, party: Node, private: bool, scheme: str, country: str, text: str
) -> None:
    if not text:
        account.drop(path, "not_of_type")
        return
    issuer, _, number = text.rpartition("/") if scheme == "CUST" else ("", "", text)
    other = add(party, f"Id/{'PrvtId' if private else 'OrgId'}/Othr")
    made = put(other, "Id", number)
    put(other, "SchmeNm/Cd", scheme)
    put(other, "Issr", f"{country}/{issuer}" if issuer else country)
    account.keep(path, (made, ""), number)


def put_agent(account: Account, path: str, each: Field, parent: Node, name: str) -> None:
    """Put a bank (52a to 58a) below a parent as agent, with its account when it has one."""
    parts = each.parts
    agent = at(parent, f"{name}/FinInstnId")
    identifier = parts.get("identifier", "")
    member = _MEMBER.fullmatch(identifier)
    if member is not None and member[1] in CLEARING and len(member[2]) <= _WIDTH:
        made = put(agent, "ClrSysMmbId/MmbId", member[2])
        put(agent, "ClrSysMmbId/ClrSysId/Cd", CLEARING[member[1]])
        account.keep(f"{path}/identifier", (made, ""), member[2])
    elif identifier and not identifier.startswith("/") and _has(parent, f"{name}Acct"):
        put_account(account, f"{path}/identifier", identifier, parent, f"{name}Acct")
    if "bic" in parts:
        account.keep(f"{path}/bic", (put(agent, "BICFI", parts["bic"]), ""))
    for number, line in enumerate(each.lines, 1):
        made = put(agent, "Nm" if number == 1 else "PstlAdr/AdrLine", line)
        account.keep(f"{path}/line[{number}]", (made, ""))
    if "location" in parts:
        account.keep(f"{path}/location", (put(agent, "PstlAdr/AdrLine", parts["location"]), ""))


def _has(parent: Node, name: str) -> bool:
    kind = parent.element.type
    return isinstance(kind, iso20022.ComplexType) and name in kind.by_name


def bic_agent(parent: Node, name: str, bic: str) -> Node:
    """Put a bank below a parent by its BIC, and return the node of it."""
    return put(parent, f"{name}/FinInstnId/BICFI", bic)


@dataclass(slots=True)
class _Lines:
    """Lines of a field in the making, and where each value of the input went."""

    tag: str
    width: int = _WIDTH
    lines: list[str] = field(default_factory=list)

    def add(self, account: Account, element: etree._Element, most: int, before: str = "", after: str = "") -> None:
        """Write the text of an element into as many lines as there may be; `before` is at the begin of each line."""
        path = account.place(element)
        if most < 1:
            account.drop(path, "no_space")
            return
        text, code = to_fin(element.text or "")
        wrapped, shortened = wrap(text + after, self.width - len(before), most)
        target = f"{self.tag}/line[{len(self.lines) + 1}]"
        self.lines += [before + line for line in wrapped]
        account.change(path, target, " ".join(wrapped), worst(code, shortened))


def party_field(account: Account, number: str, parent: etree._Element, name: str, prefix: str) -> Field | None:
    """Return a customer as field 50a or 59a, None when there is nothing that names it; `prefix` is for the targets."""
    party, holder = child(parent, name), child(parent, f"{name}Acct")
    first, bic = child(party, "Nm"), child(party, "Id", "OrgId", "AnyBIC")
    if bic is not None and bic.text and first is None:
        account.keep(account.place(bic), f"{prefix}{number}A/bic")
        head = _account_line(account, holder, f"{prefix}{number}A/account")
        return Field(f"{number}A", f"{head}{bic.text}")
    if first is None:
        return None
    address = child(party, "PstlAdr")
    town, country = child(address, "TwnNm"), child(address, "Ctry")
    if town is not None and country is not None:
        option = f"{number}F"
        part = "party" if number == "50" else "account"
        head = _account_line(account, holder, f"{prefix}{option}/{part}")
        if not head and number == "50":
            head = _identification_line(account, party, f"{prefix}{option}/party")
        if head or number == "59":
            return _structured(account, option, head, party, address, prefix)
    option = "50K" if number == "50" else "59"
    head = _account_line(account, holder, f"{prefix}{option}/account")
    lines = _Lines(f"{prefix}{option}")
    rest = [each for each in _address(address) if each is not None]
    lines.add(account, first, _LINES - min(len(rest), 2))
    for each in rest:
        lines.add(account, each, _LINES - len(lines.lines))
    return Field(option, head + "\n".join(lines.lines))


def _structured(
    account: Account, option: str, head: str, party: etree._Element | None, address: etree._Element | None, prefix: str
) -> Field:
    lines = _Lines(f"{prefix}{option}")
    first, town, country = child(party, "Nm"), child(address, "TwnNm"), child(address, "Ctry")
    assert first is not None and town is not None and country is not None  # the caller has looked
    rest = [each for each in _address(address) if each not in (town, country)]
    lines.add(account, first, _LINES - 1 - min(len(rest), 1), "1/")
    for each in rest:
        lines.add(account, each, _LINES - 1 - len(lines.lines), "2/")
    account.keep(account.place(country), f"{prefix}{option}/line[{len(lines.lines) + 1}]")
    lines.add(account, town, 1, f"3/{country.text}/")
    if option == "50F":
        _birth_lines(account, lines, party)
    return Field(option, head + "\n".join(lines.lines))


def _birth_lines(account: Account, lines: _Lines, party: etree._Element | None) -> None:
    born = child(party, "Id", "PrvtId", "DtAndPlcOfBirth")
    day, town, country = child(born, "BirthDt"), child(born, "CityOfBirth"), child(born, "CtryOfBirth")
    if day is None or town is None or country is None or len(lines.lines) > _LINES - 2:
        return
    written = (day.text or "")[:10].replace("-", "")
    account.keep(account.place(day), f"{lines.tag}/line[{len(lines.lines) + 1}]", written)
    lines.lines.append(f"4/{written}")
    account.keep(account.place(country), f"{lines.tag}/line[{len(lines.lines) + 1}]")
    lines.add(account, town, 1, f"5/{country.text}/")


def _address(address: etree._Element | None) -> Iterable[etree._Element]:
    """Return the values of an address, the unstructured lines last."""
    found = [] if address is None else [each for each in address.iterchildren("*") if len(each) == 0]
    return sorted(found, key=lambda each: local_name(each) == "AdrLine")


def _account_line(account: Account, holder: etree._Element | None, target: str) -> str:
    number = child(holder, "Id", "IBAN")
    if number is None:
        number = child(holder, "Id", "Othr", "Id")
    if number is None or not number.text:
        return ""
    text, code = to_fin(number.text)
    if code or len(text) > 34 or text != text.strip():
        account.drop(account.place(number), "not_of_type")
        return ""
    account.keep(account.place(number), target)
    return f"/{text}\n"


def _identification_line(account: Account, party: etree._Element | None, target: str) -> str:
    for kind in ("PrvtId", "OrgId"):
        for other in children(child(party, "Id", kind), "Othr"):
            number, scheme, issuer = child(other, "Id"), child(other, "SchmeNm", "Cd"), child(other, "Issr")
            if number is None or scheme is None or issuer is None:
                continue
            line = f"{scheme.text}/{issuer.text}/{number.text}"
            if _IDENTIFIED.fullmatch(line) and len(line) <= _WIDTH and to_fin(line) == (line, ""):
                for each in (number, scheme, issuer):
                    account.keep(account.place(each), target)
                return f"{line}\n"
    return ""


def agent_field(
    account: Account,
    number: str,
    agent: etree._Element | None,
    holder: etree._Element | None,
    options: str,
    prefix: str,
) -> Field | None:
    """Return a bank as field 5na in the best of its options (A, C, D), None when nothing names it."""
    institution = child(agent, "FinInstnId")
    bic, name = child(institution, "BICFI"), child(institution, "Nm")
    option = "A" if bic is not None else "D" if name is not None else "C"
    if institution is None or option not in options:
        return None
    tag = f"{number}{option}"
    head = _member_line(account, institution, f"{prefix}{tag}/identifier")
    if not head:
        head = _account_line(account, holder, f"{prefix}{tag}/identifier")
    if bic is not None:
        account.keep(account.place(bic), f"{prefix}{tag}/bic")
        return Field(tag, f"{head}{bic.text}")
    if name is None:
        return Field(tag, head.rstrip("\n")) if head else None
    lines = _Lines(f"{prefix}{tag}")
    rest = list(_address(child(institution, "PstlAdr")))
    lines.add(account, name, _LINES - min(len(rest), 2))
    for each in rest:
        lines.add(account, each, _LINES - len(lines.lines))
    return Field(tag, head + "\n".join(lines.lines))


def _member_line(account: Account, institution: etree._Element, target: str) -> str:
    member, system = child(institution, "ClrSysMmbId", "MmbId"), child(institution, "ClrSysMmbId", "ClrSysId", "Cd")
    if member is None or not member.text or system is None or system.text not in _CLEARING_CODES:
        return ""
    line = f"//{_CLEARING_CODES[system.text]}{member.text}"
    if len(line) > _WIDTH or to_fin(line) != (line, ""):
        account.drop(account.place(member), "not_of_type")
        return ""
    account.keep(account.place(member), target)
    account.keep(account.place(system), target, _CLEARING_CODES[system.text])
    return f"{line}\n"


def is_bic(text: str) -> bool:
    """Tell whether a text is a BIC that FIN takes: its first four characters are letters."""
    return bic_fault(text) is None and text[:4].isalpha()
