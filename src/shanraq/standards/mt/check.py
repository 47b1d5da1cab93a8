"""What must hold in a message beyond the form of its text: fields and their order, dates, codes, and rules between fields."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from shanraq.standards.mt.errors import MtError
from shanraq.standards.mt.formats import CODES, FORMATS, calendar_date, pattern
from shanraq.standards.mt.message import Field, Message
from shanraq.standards.mt.structure import MANY, STP_INSTRUCTIONS, STP_TAGS, STRUCTURES, Group, Slot

_UETR: Final = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}")
_MAY_HAVE_EMPTY_LINES: Final = "77T"
_LOCATION: Final = "{location:"
_WORDS: Final = {"r": "x", "e": "x", "f": "x", "m": "2a", "b": "4!a2!a2!c[3!c]", "\n": "(CrLf)"}


def check_field(each: Field) -> None:
    """Raise MtError unless a field has the form of its tag: `unknown_tag`, `format`, `date`, `time`, `code`."""
    if each.tag not in FORMATS:
        raise MtError("unknown_tag", each.tag, each.line, "there is no such field in the messages that are known here")
    if each.tag != _MAY_HAVE_EMPTY_LINES and "" in each.text.split("\n"):
        raise MtError("format", each.tag, each.line, "an empty line")
    found = pattern(each.tag).fullmatch(each.text)
    if found is None:
        raise MtError("format", each.tag, each.line, f"the field must have the form {_shown(FORMATS[each.tag])}")
    parts = each.parts
    for name, text in parts.items():
        if name in ("date", "value_date") and calendar_date(text) is None:
            raise MtError("date", each.tag, each.line, "there is no such day")
        if name == "entry_date" and calendar_date(f"04{text}") is None:  # 2004: any year with a 29 February
            raise MtError("date", each.tag, each.line, "there is no such day")
        if name in ("time", "offset") and not (text[:2] < "24" and text[2:] < "60"):
            raise MtError("time", each.tag, each.line, "there is no such time")
        if (known := CODES.get((each.tag, name))) is not None and text not in known:
            raise MtError("code", each.tag, each.line, f"the {name} must be one of {', '.join(sorted(known))}")
        if name == "reference" and (text[0] == "/" or text[-1] == "/"):
            raise MtError("format", each.tag, each.line, "a reference does not begin or end with a slash")
    if _LOCATION in FORMATS[each.tag] and ("location" in parts and len(parts) > 1) != ("\n" in each.text):
        raise MtError("format", each.tag, each.line, "the location stands on a line of its own")


def check(message: Message) -> Message:
    """Return a message with the sequences of its fields told, or raise MtError.

    `unknown_type`, `missing_field`, `unexpected_field`, what `check_field` raises, and `rule` for a rule between fields.
    """
    structure = STRUCTURES.get(message.kind)
    if structure is None:
        raise MtError("unknown_type", "{2:}", 0, f"there is no MT{message.message_type[:8]} here, only {_known()}")
    for each in message.fields:
        check_field(each)
    rest = list(message.fields)
    placed: list[Field] = []
    for particle in structure:
        if isinstance(particle, Slot):
            _take(rest, particle, placed)
        else:
            _take_group(rest, particle, placed)
    if rest:
        raise _unexpected(rest[0])
    whole = replace(message, fields=tuple(placed))
    _check_user(whole)
    if whole.kind == "103":
        _check_103(whole)
    elif whole.kind in ("940", "942"):
        _check_currencies(whole)
    return whole


def _take(rest: list[Field], slot: Slot, placed: list[Field]) -> None:
    count = 0
    most = MANY.get(slot.name, slot.most)
    while rest and rest[0].tag in slot.tags and (most is None or count < most):
        placed.append(replace(rest.pop(0), sequence=slot.sequence))
        count += 1
    if count < slot.least:
        if any(each.tag in slot.tags for each in rest):
            raise _unexpected(rest[0])
        line = rest[0].line if rest else 0
        raise MtError("missing_field", slot.name, line, "this field is mandatory here")


def _unexpected(each: Field) -> MtError:
    return MtError("unexpected_field", each.tag, each.line, "the message does not have this field here")


def _take_group(rest: list[Field], group: Group, placed: list[Field]) -> None:
    position = 0
    while position < len(rest) and rest[position].tag in group.slots[0].tags:
        for slot in group.slots:
            most = slot.most or 1
            while position < len(rest) and rest[position].tag in slot.tags and most:
                placed.append(replace(rest[position], sequence=slot.sequence))
                position += 1
                most -= 1
    del rest[:position]  # at once: a statement has as many entries as the bank likes


def _check_user(message: Message) -> None:
    uetr = message.user_value("121")
    if uetr and _UETR.fullmatch(uetr) is None:
        raise MtError("format", "{3:}/121", 0, "a UETR is a UUID of version 4 in small letters")


def _check_103(message: Message) -> None:
    flag = message.user_value("119")
    if flag == "STP":
        for each in message.fields:
            if each.tag not in STP_TAGS:
                raise MtError("rule", each.tag, each.line, "a MT103 STP does not have this field")
            if each.tag == "23E" and each.parts["code"] not in STP_INSTRUCTIONS:
                raise MtError("rule", each.tag, each.line, "a MT103 STP does not have this instruction")
            if each.number == "59" and "account" not in each.parts:
                raise MtError("rule", each.tag, each.line, "in a MT103 STP the beneficiary has an account")
    envelope = message.find("77T")
    if envelope is not None and flag != "REMIT":
        raise MtError("rule", "77T", envelope.line, "only a MT103 REMIT has this field")
    if envelope is not None and message.find("70") is not None:
        raise MtError("rule", "70", envelope.line, "remittance information is in 70 or 77T, not in both")
    settled, instructed, rate = message.find("32A"), message.find("33B"), message.find("36")
    assert settled is not None
    if (instructed is not None and instructed.parts["currency"] != settled.parts["currency"]) != (rate is not None):
        raise MtError("rule", "36", settled.line, "there is a rate exactly when 33B has another currency than 32A (C1)")
    if _any(message, "55") and not (_any(message, "53") and _any(message, "54")):
        raise MtError("rule", "55a", settled.line, "with 55a there are 53a and 54a (C4)")
    if _any(message, "56") and not _any(message, "57"):
        raise MtError("rule", "57a", settled.line, "with 56a there is 57a (C5)")
    _check_charges(message)


def _check_charges(message: Message) -> None:
    bearer, of_sender, of_receiver = message.find("71A"), message.find("71F"), message.find("71G")
    assert bearer is not None
    code = bearer.parts["code"]
    if code == "OUR" and of_sender is not None:
        raise MtError("rule", "71F", of_sender.line, "with charges OUR there is no 71F (C7)")
    if code != "OUR" and of_receiver is not None:
        raise MtError("rule", "71G", of_receiver.line, "71G is for charges OUR only (C7)")
    if code == "BEN" and of_sender is None:
        raise MtError("rule", "71F", bearer.line, "with charges BEN there is a 71F (C7)")
    if (of_sender or of_receiver) is not None and message.find("33B") is None:
        raise MtError("rule", "33B", bearer.line, "with 71F or 71G there is 33B (C8)")


def _check_currencies(message: Message) -> None:
    """Statements are in one currency (C2 of MT940 and MT942)."""
    currencies = [(each, each.parts["currency"]) for each in message.fields if "currency" in each.parts]
    for each, currency in currencies:
        if currency[:2] != currencies[0][1][:2]:
            raise MtError("rule", each.tag, each.line, "all balances are in one currency (C2)")


def _any(message: Message, number: str) -> bool:
    return any(each.number == number for each in message.fields)


def _known() -> str:
    return ", ".join(f"MT{each}" for each in STRUCTURES)


def _shown(text: str) -> str:
    """Return a format in the words of the standard, without the names of parts."""
    plain = re.sub(r"\{[a-z_]+:|\}", "", text)
    return plain.translate({ord(sign): words for sign, words in _WORDS.items()})
