"""The characters of FIN, and how other texts are written with them (SWIFT User Handbook, character sets)."""

from __future__ import annotations

import unicodedata
from typing import Final

X: Final = r"A-Za-z0-9/\-?:().,'+ "
"""Set x, as the inside of a class of regular expressions: what almost all fields take."""
Z: Final = X + r"""=!"%&*<>;@#_{\r\n"""
"""Set z, of the remittance envelope (77T)."""
REPLACEMENT: Final = "."

# How names are written in Latin passports where Unicode does not say it: Latin letters without a decomposition, and the
# Cyrillic of Russian, Kazakh, Kyrgyz, Ukrainian and Belarusian as ICAO 9303 part 3 section 6 writes it,
# Kazakh letters by sound.
_LETTERS: Final = {
    "ß": "ss", "æ": "ae", "ø": "oe", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i",
    "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ё": "e", "ж": "zh", "з": "z", "и": "i", "й": "i", "к": "k",
    "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f", "х": "kh", "ц": "ts",
    "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "ie", "ы": "y", "ь": "", "э": "e", "ю": "iu", "я": "ia",
    "і": "i", "ї": "i", "є": "ie", "ґ": "g", "ў": "u",
    "ә": "a", "ғ": "g", "қ": "q", "ң": "n", "ө": "o", "ұ": "u", "ү": "u", "һ": "h",
}  # fmt: skip
_SIGNS: Final = {
    "‘": "'", "’": "'", "‚": "'", "`": "'", "´": "'", "‐": "-", "‑": "-", "–": "-", "—": "-", "−": "-",
    "…": "...", "\u00a0": " ", "\t": " ", "&": "+", "_": "-",
}  # fmt: skip
_KNOWN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/-?:().,'+ ")


def in_x(text: str) -> bool:
    """Tell whether all characters are of set x; line breaks are none of them."""
    return all(char in _KNOWN for char in text)


def to_x(text: str) -> tuple[str, bool]:
    """Return a text in set x, and whether a character had to be replaced by a full stop.

    Letters with marks lose them, Cyrillic is written in Latin, a few signs have a neighbour that is in the set; all else, and
    line breaks, become a full stop and a blank.
    """
    if in_x(text):
        return text, False
    replaced = False
    written: list[str] = []
    for char in unicodedata.normalize("NFC", text):
        if char in _KNOWN:
            written.append(char)
        elif char in "\r\n":
            written.append(" ")
        elif (found := _latin(char)) is not None:
            written.append(found)
        else:
            written.append(REPLACEMENT)
            replaced = True
    return "".join(written), replaced


def _latin(char: str) -> str | None:
    if char in _SIGNS:
        return _SIGNS[char]
    small = char.lower()
    if small in _LETTERS:
        found = _LETTERS[small]
        return found if small == char else found[:1].upper() + found[1:]
    plain = "".join(each for each in unicodedata.normalize("NFKD", char) if not unicodedata.combining(each))
    return plain if plain and plain != char and in_x(plain) else None
