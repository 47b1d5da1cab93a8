"""base64url without padding (RFC 7515 section 2), one text for one value; and the error of the whole package."""

from __future__ import annotations

import binascii
from typing import Final

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_", b"+/")


class JoseError(ValueError):
    """A token that is not what it must be; the text says which rule it broke, and nothing of what it holds."""


def to_base64url(value: bytes) -> str:
    """Encode without padding."""
    return binascii.b2a_base64(value, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """Decode exactly what `to_base64url` makes; raises JoseError for any other text of the same value."""
    try:
        encoded = text.encode("ascii")
        value = binascii.a2b_base64(encoded.translate(_FROM_URL) + b"=" * (-len(encoded) % 4))
    except ValueError:
        raise JoseError("not base64url") from None
    # Python skips what is foreign to the alphabet and ignores unused bits: only the way back shows that nothing was.
    if binascii.b2a_base64(value, newline=False).translate(_TO_URL).rstrip(b"=") != encoded:
        raise JoseError("not base64url")
    return value
