"""How fields are written, in the notation of the standard: `6!n` six digits, `16x` up to 16 characters, `4*35x` up to 4 lines.

{name:...} is a part with a name, [...] may be left out, other characters stand for themselves, and beside the types of the
standard (n a c h x z d s) there are r, a reference without // inside; e and f, lines of a structured party; m, the mark of an
entry; b, a BIC. A part called `line` is one value a line.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import cache
from typing import Final

from shanraq.standards.mt.charset import X, Z

LINE: Final = "line"
_AMOUNT: Final = "d"
_CLASSES: Final = {
    "n": "[0-9]", "a": "[A-Z]", "c": "[A-Z0-9]", "h": "[0-9A-F]", "x": f"[{X}]", "z": f"[{Z}]", "s": "[+-]",
    "r": f"(?:(?!//)[{X}])",
}  # fmt: skip
_WHOLE: Final = {"m": "[RE]?[CD]", "b": "[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?"}
_TOKEN: Final = re.compile(
    r"\{(?P<name>[a-z_]+):|(?P<lines>[0-9]+)\*(?P<width>[0-9]+)(?P<of>[xef])|(?P<count>[0-9]+)(?P<exact>!?)(?P<kind>[nachxzdsr])"
    r"|(?P<one>[mb])(?=[\]}\n]|$)|(?P<sign>.|\n)",
    re.DOTALL,
)

_AGENT_A: Final = "[[/{mark:1!a}][/{identifier:34x}]\n]{bic:b}"
_AGENT_B: Final = "[/{mark:1!a}][/{identifier:34x}][\n][{location:35x}]"
_AGENT_C: Final = "/{identifier:34x}"
_AGENT_D: Final = "[[/{mark:1!a}][/{identifier:34x}]\n]{line:4*35x}"
_BALANCE: Final = "{mark:1!a}{date:6!n}{currency:3!a}{amount:15d}"
_MONEY: Final = "{currency:3!a}{amount:15d}"
_TOTAL: Final = "{number:5n}{currency:3!a}{amount:15d}"
_MOMENT: Final = "{date:6!n}{time:4!n}{sign:1!s}{offset:4!n}"

FORMATS: Final = {
    "13C": "/{code:8c}/{time:4!n}{sign:1!s}{offset:4!n}",
    "13D": _MOMENT,
    "20": "{reference:16r}",
    "21": "{reference:16r}",
    "23B": "{code:4!c}",
    "23E": "{code:4!c}[/{text:30x}]",
    "25": "{account:35x}",
    "25P": "{account:35x}\n{bic:b}",
    "26T": "{code:3!c}",
    "28C": "{number:5n}[/{page:5n}]",
    "32A": "{date:6!n}{currency:3!a}{amount:15d}",
    "33B": _MONEY,
    "34F": "{currency:3!a}[{mark:1!a}]{amount:15d}",
    "36": "{rate:12d}",
    "50A": "[/{account:34x}\n]{bic:b}",
    "50F": "{party:35x}\n{line:4*35e}",
    "50K": "[/{account:34x}\n]{line:4*35x}",
    "51A": _AGENT_A,
    "59": "[/{account:34x}\n]{line:4*35x}",
    "59A": "[/{account:34x}\n]{bic:b}",
    "59F": "[/{account:34x}\n]{line:4*35f}",
    "61": "{value_date:6!n}[{entry_date:4!n}]{mark:m}[{funds:1!a}]{amount:15d}{type:1!a3!c}{reference:16r}"
          "[//{bank_reference:16x}][\n{supplementary:34x}]",
    "70": "{line:4*35x}",
    "71A": "{code:3!a}",
    "71F": _MONEY,
    "71G": _MONEY,
    "72": "{line:6*35x}",
    "77B": "{line:3*35x}",
    "77T": "{envelope:9000z}",
    "86": "{line:6*65x}",
    "90C": _TOTAL,
    "90D": _TOTAL,
} | {f"{number}A": _AGENT_A for number in (52, 53, 54, 55, 56, 57, 58)} \
  | {f"{number}B": _AGENT_B for number in (53, 54, 55, 57)} \
  | {f"{number}C": _AGENT_C for number in (56, 57)} \
  | {f"{number}D": _AGENT_D for number in (52, 53, 54, 55, 56, 57, 58)} \
  | dict.fromkeys(("60F", "60M", "62F", "62M", "64", "65"), _BALANCE)  # fmt: skip

# What a part may be, where its characters alone do not say it.
CODES: Final = {
    ("23B", "code"): frozenset({"CRED", "CRTS", "SPAY", "SPRI", "SSTD"}),
    ("71A", "code"): frozenset({"BEN", "OUR", "SHA"}),
    **{(tag, "mark"): frozenset({"C", "D"}) for tag in ("34F", "60F", "60M", "62F", "62M", "64", "65")},
    **{(f"{number}{option}", "mark"): frozenset({"C", "D"}) for number in range(51, 59) for option in "ABD"},
}


@cache
def pattern(tag: str) -> re.Pattern[str]:
    """Return the regular expression of a field's text; KeyError for a tag there is no format of."""
    return re.compile(_expression(FORMATS[tag]), re.ASCII)


def amount_fits(text: str, most: int) -> bool:
    """Tell whether a text is an amount: digits, one comma, at least one digit before it, `most` characters at most."""
    return len(text) <= most and re.fullmatch(r"[0-9]+,[0-9]*", text, re.ASCII) is not None


def calendar_date(text: str) -> dt.date | None:
    """Return the date of YYMMDD: years from 80 on are of the last century; None when there is no such day."""
    year = int(text[:2])
    try:
        return dt.date(1900 + year if year >= 80 else 2000 + year, int(text[2:4]), int(text[4:6]))
    except ValueError:
        return None


def _expression(text: str) -> str:
    made: list[str] = []
    for token in _TOKEN.finditer(text):
        if token["name"]:
            made.append(f"(?P<{token['name']}>")
        elif token["lines"]:
            line = _line(token["of"], int(token["width"]))
            made.append(f"{line}(?:\n{line}){{0,{int(token['lines']) - 1}}}")
        elif token["kind"] == _AMOUNT:
            made.append(f"(?=[0-9,]{{2,{token['count']}}}(?![0-9,]))[0-9]+,[0-9]*")
        elif token["kind"]:
            made.append(f"{_CLASSES[token['kind']]}{{{'' if token['exact'] else '1,'}{token['count']}}}")
        elif token["one"]:
            made.append(_WHOLE[token["one"]])
        else:
            made.append({"[": "(?:", "]": ")?", "}": ")"}.get(token["sign"], re.escape(token["sign"])))
    return "".join(made)


def _line(of: str, width: int) -> str:
    # A line of a structured party begins with its number; no line may look like the begin of a field or the end of a block.
    number = {"e": "[1-8]/", "f": "[1-3]/", "x": "(?![:-])"}[of]
    return f"{number}[{X}]{{1,{width if of == 'x' else width - 2}}}"
