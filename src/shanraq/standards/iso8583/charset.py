"""Text as bytes: ASCII, Latin-1 and the three EBCDIC code pages in use; one byte a character, both ways without loss."""

from __future__ import annotations

from typing import Final

# cp1047 is cp037 with line ends and brackets exchanged; Python has no codec for it.
_CP1047_SWAPS: Final = ((0x15, 0x25), (0x5F, 0xB0), (0xAD, 0xBA), (0xBB, 0xBD))


def _page(name: str) -> str:
    if name == "cp1047":
        characters = list(bytes(range(256)).decode("cp037"))
        for one, other in _CP1047_SWAPS:
            characters[one], characters[other] = characters[other], characters[one]
        return "".join(characters)
    return bytes(range(256)).decode(name)


class Charset:
    """A code page: `decode` gives None for a byte that stands for nothing, `encode` for a character that has no byte."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._characters: Final = _page({"latin1": "latin-1", "ascii": "latin-1"}.get(name, name))
        known = self._characters[:0x80] if name == "ascii" else self._characters
        self._bytes: Final = {char: code for code, char in enumerate(known)}

    def decode(self, data: bytes) -> str | None:
        """Return the text, or None."""
        if self.name == "ascii" and not data.isascii():
            return None
        return data.decode("latin-1").translate(self._characters)  # a str is a table by index

    def encode(self, text: str) -> bytes | None:
        """Return the bytes, or None."""
        try:
            return bytes([self._bytes[char] for char in text])
        except KeyError:
            return None


_charsets: dict[str, Charset] = {}


def charset(name: str) -> Charset:
    """Return a code page by its name."""
    found = _charsets.get(name)
    if found is None:
        found = _charsets[name] = Charset(name)
    return found
