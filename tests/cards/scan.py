"""Look for card data where there must be none: databases, logs, events, webhooks, error messages.

Planted are all card numbers that stand in the tests' own sources (with the check digit and the prefix and length of a scheme)
and whatever a test adds. A number counts written with blanks or dashes, in base64, packed two digits a byte, or inside a
longer run of digits. A security code is too short to be looked for by itself: its field names are, with digits behind them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import asyncpg

from shanraq.core.secret import luhn_valid
from shanraq.payments.brands import range_of

_TESTS: Final = Path(__file__).parent.parent
_RUN: Final = re.compile(r"[0-9](?:[ -]?[0-9]){11,}")
_LENGTHS: Final = range(12, 20)
_CODE: Final = re.compile(
    r"""(?i)(?<![a-z])(security[_ ]?code|cvv2?|cvc2?|csc|card[_ ]?verification[_ ]?value)"""
    r"""["']?\s*[:=]\s*["']?[0-9]{3,4}(?![0-9])"""
)
_HEX: Final = re.compile(r"\\\\?x((?:[0-9a-f]{2}){6,})")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
# Hashes, not numbers: a column of these may hold anything by chance.
_EMPTY: Final[frozenset[str]] = frozenset()


@cache
def planted() -> frozenset[str]:
    """Return the card numbers that stand in the tests' sources."""
    found: set[str] = set()
    for path in _TESTS.rglob("*.py"):
        for run in re.findall(r"(?<![0-9A-Za-z_.+])[0-9]{13,19}(?![0-9A-Za-z_.])", path.read_text("utf-8")):
            scheme = range_of(run)
            # An amount such as 4 200 000 000 000 000 is no card number.
            if run.rstrip("0") in ("4", "42"):
                continue
            if scheme is not None and len(run) in scheme[1] and luhn_valid(run):
                found.add(run)
    return frozenset(found)


def numbers_in(text: str, more: frozenset[str] = _EMPTY) -> Iterator[str]:
    """Yield every planted card number in a text, as often as it is there."""
    wanted = planted() | more
    for run in _RUN.finditer(text):
        digits = re.sub("[ -]", "", run[0])
        for start in range(len(digits) - 11):
            for length in _LENGTHS:
                if digits[start : start + length] in wanted and start + length <= len(digits):
                    yield digits[start : start + length]


def findings(text: str, *, codes: frozenset[str] = _EMPTY, numbers: frozenset[str] = _EMPTY) -> list[str]:
    """Say what of card data is in a text; numbers are masked. `codes` and `numbers` are planted ones of a test."""
    found = [f"card number {_masked(number)}" for number in numbers_in(text, numbers)]
    for match in _HEX.finditer(text):
        found += [f"card number {_masked(n)} in bytes" for n in numbers_in(_bytes(match[1]), numbers)]
    for match in _BASE64.finditer(text):
        found += [f"card number {_masked(n)} in base64" for n in numbers_in(_decoded(match[0]), numbers)]
    found += [f"security code after {match[1]}" for match in _CODE.finditer(text)]
    for code in codes:
        if re.search(rf"(?<![0-9A-Za-z.]){code}(?![0-9A-Za-z])", text):
            found.append(f"security code {code[0]}**")
    return found


async def scan_database(dsn: str, *, codes: frozenset[str] = _EMPTY, numbers: frozenset[str] = _EMPTY) -> list[str]:
    """Dump every table that holds rows and say where card data is."""
    connection = await asyncpg.connect(dsn)
    try:
        # A killed test may have left its connections half way: what they locked is not waited for.
        await connection.execute("SET lock_timeout = '2s'")
        tables = await connection.fetch(
            "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'm')"
            " AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0 ORDER BY 1"
        )
        found: list[str] = []
        for table in tables:
            dump: list[bytes] = []

            async def keep(data: bytes, dump: list[bytes] = dump) -> None:
                dump.append(data)

            await connection.copy_from_query(f"SELECT * FROM {table['name']}", output=keep)
            text = b"".join(dump).decode("utf-8", "backslashreplace")
            found += [f"{table['name']}: {one}" for one in findings(text, codes=codes, numbers=numbers)]
        return found
    finally:
        await connection.close()


def complain(found: Iterable[str], where: str) -> None:
    """Fail when card data was found."""
    told = sorted(set(found))
    assert not told, f"card data in {where}: " + "; ".join(told[:10])


def _bytes(text: str) -> str:
    return bytes.fromhex(text).decode("latin-1")


def _decoded(text: str) -> str:
    whole = text.rstrip("=").replace("-", "+").replace("_", "/")
    if len(whole) % 4 == 1:
        whole = whole[:-1]
    whole += "=" * (-len(whole) % 4)
    try:
        return base64.b64decode(whole).decode("latin-1")
    except ValueError:
        return ""


def _masked(number: str) -> str:
    return number[:6] + "x" * (len(number) - 10) + number[-4:]
