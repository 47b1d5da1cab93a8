"""Field 86 of an entry: what banks tell the holder of the account, in one of three ways, and how it is told again.

?20..?29 and so on behind three digits (German banks and many that follow them), code words such as /EREF/ (SWIFT), free text.
What a reader does not know stays as it was written, in `rest`: nothing is thrown away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from shanraq.standards.translate.texts import join

_NUMBERED: Final = re.compile(r"([0-9]{3})?(\?[0-9]{2}.*)", re.DOTALL | re.ASCII)
_PART: Final = re.compile(r"\?([0-9]{2})([^?]*)", re.ASCII)
_TEXT_NUMBERS: Final = (*(str(number) for number in range(20, 30)), "60", "61", "62", "63")
_TEXTS: Final = frozenset(_TEXT_NUMBERS)
_PIECE: Final = 27
WIDTH: Final = 65
_IN_TEXT: Final = re.compile(r"(EREF|KREF|MREF|SVWZ)\+")
_WORD: Final = re.compile(r"/(EREF|KREF|MREF|PREF|NAME|ACCT|BANK|REMI|ADDI)/")
WORDS: Final = MappingProxyType(
    {"EREF": "end_to_end", "KREF": "instruction", "MREF": "mandate", "PREF": "payment", "NAME": "name", "ACCT": "account",
     "BANK": "bank", "REMI": "remittance", "SVWZ": "remittance", "ADDI": "rest"}
)  # fmt: skip


@dataclass(slots=True)
class Information:
    """What field 86 tells of an entry, "" where it does not; `business` is the three-digit code before the numbered parts."""

    end_to_end: str = ""
    instruction: str = ""
    mandate: str = ""
    payment: str = ""
    remittance: str = ""
    name: str = ""
    account: str = ""
    bank: str = ""
    business: str = ""
    rest: str = ""
    free: bool = field(default=False)


def read_information(lines: tuple[str, ...]) -> Information:
    """Return what the lines of field 86 tell: numbered parts go on in the next line as they are, other texts as texts do."""
    if (numbered := _NUMBERED.fullmatch("".join(lines))) is not None:
        return _numbered(numbered[1] or "", numbered[2])
    text = join(lines, WIDTH)
    if _WORD.match(text) is not None:
        found = Information()
        _words(found, _WORD, text)
        return found
    return Information(rest=text, free=True)


def write_information(told: Information) -> str:
    """Return the text of field 86 that `read_information` reads again.

    Numbered parts when there is a business code, else code words, or the free text alone.
    """
    if told.business:
        return _write_numbered(told)
    parts = [
        f"/{word}/{getattr(told, name)}"
        for word, name in WORDS.items()
        if word not in ("SVWZ", "ADDI") and getattr(told, name)
    ]
    if not told.rest:
        return "".join(parts)
    return told.rest if not parts and _WORD.match(told.rest) is None else "".join([*parts, f"/ADDI/{told.rest}"])


def _write_numbered(told: Information) -> str:
    references = "".join(
        f"{word}+{getattr(told, WORDS[word])}" for word in ("EREF", "KREF", "MREF") if getattr(told, WORDS[word])
    )
    text = f"{references}SVWZ+{told.remittance}" if references and told.remittance else references or told.remittance
    parts = [told.business]
    if told.rest.startswith("?"):
        parts.append(told.rest)
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    parts += [f"?{number}{_plain(piece)}" for number, piece in zip(_TEXT_NUMBERS, pieces, strict=False)]
    parts += [f"?{number}{_plain(piece)}" for number, piece in (("30", told.bank), ("31", told.account)) if piece]
    parts += [
        f"?{number}{_plain(piece)}"
        for number, piece in (("32", told.name[:_PIECE]), ("33", told.name[_PIECE:]))
        if piece
    ]
    return "".join(parts)


def _plain(text: str) -> str:
    return text.replace("?", ".")


def _numbered(business: str, text: str) -> Information:
    found = Information(business=business)
    texts: list[str] = []
    rest: list[str] = []
    names: list[str] = []
    for part in _PART.finditer(text):
        number, content = part[1], part[2]
        if number in _TEXTS:
            texts.append(content)
        elif number in ("32", "33"):
            names.append(content)
        elif number == "30" and not found.bank:
            found.bank = content
        elif number == "31" and not found.account:
            found.account = content
        else:
            rest.append(part[0])
    found.name = "".join(names)
    found.rest = "".join(rest)
    told = "".join(texts)
    if _IN_TEXT.match(told) is not None:
        _words(found, _IN_TEXT, told)
    else:
        found.remittance = told
    return found


def _words(found: Information, words: re.Pattern[str], text: str) -> None:
    matches = list(words.finditer(text))
    rest: list[str] = [found.rest] if found.rest else []
    for match, behind in zip(matches, [*(each.start() for each in matches[1:]), len(text)], strict=True):
        name, content = WORDS[match[1]], text[match.end() : behind]
        if name == "rest":
            rest.append(content)
        elif getattr(found, name) or not content:
            rest.append(match[0] + content)
        else:
            setattr(found, name, content)
    found.rest = "".join(rest)
