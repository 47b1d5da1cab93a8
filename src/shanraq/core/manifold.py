"""One statement in the place of many that read alike: what it gives comes back with the number of the one it is for.

`set_form` writes a statement that takes columns of parameters and does its work in one go: PostgreSQL starts it once, not once
for each, which is half of the cost of a small one. Where that cannot be had, `row_form` writes one that is run for each row of
parameters and gives the last of them back, so that all can travel in one round trip.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

_PARAMETER: Final = re.compile(r"\$(\d+)")
_CHANGES: Final = re.compile(
    r"\b(INSERT|UPDATE|DELETE)\s|\b(nextval|setval|set_config|gen_random_uuid|random)\(", re.IGNORECASE
)
_LOCKS: Final = re.compile(r"\bFOR (NO KEY )?UPDATE\b", re.IGNORECASE)
_UPDATE: Final = re.compile(r"\s*UPDATE \w+ SET .*\sWHERE (?P<where>.*)", re.DOTALL)
_MORE: Final = re.compile(r"\b(FROM|RETURNING)\b", re.IGNORECASE)
_EQUAL: Final = re.compile(r"\s*\w+ = (?:\$(?P<number>\d+)|\d+|'\w*')\s*")
_INSERT: Final = re.compile(r"\s*(?P<into>INSERT INTO \w+ \([\w\s,]+\))\s*VALUES \((?P<values>[^()]*)\)\s*")


class Kind(StrEnum):
    """What a statement does."""

    READ = "read"
    INSERT = "insert"
    CHANGE = "change"


@lru_cache(maxsize=1024)
def kind_of(sql: str) -> Kind:
    """Tell what a statement does; a SELECT that locks is a reading one."""
    match sql.split(None, 1)[0].upper():
        case "INSERT":
            return Kind.INSERT
        case "SELECT" | "WITH" if _CHANGES.search(_LOCKS.sub("", sql)) is None:
            return Kind.READ
        case _:
            return Kind.CHANGE


@lru_cache(maxsize=1024)
def locks(sql: str) -> bool:
    """Tell whether a statement takes a lock that it names."""
    return _LOCKS.search(sql) is not None or "advisory" in sql


@dataclass(frozen=True, slots=True)
class SetForm:
    """A statement for columns of parameters; its last column, if it gives rows, is the number (from 1) of the parameters.

    `apart` are the positions of parameters that together must differ from one to the next. With `gives` it gives rows: those
    that were read, or one for each that was changed.
    """

    sql: str
    apart: tuple[int, ...] = ()
    gives: bool = True


@lru_cache(maxsize=1024)
def set_form(sql: str, types: tuple[str, ...], *, counted: bool) -> SetForm | None:
    """Return the statement as one on sets, None where that would not do the same; `types` are those of its parameters.

    With `counted` it is for the number of rows it touches, otherwise for its rows.
    """
    if not types or any(kind.endswith("]") for kind in types):
        return None  # what unnest would take apart
    columns = ", ".join(f"p{number}" for number in range(1, len(types) + 1))
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, 1))
    source = f"unnest({arrays}) WITH ORDINALITY given({columns}, nth_given)"
    own = _PARAMETER.sub(r"given.p\1", sql)
    match kind_of(sql):
        case Kind.READ if not counted:
            # OFFSET 0: looked up for one after the other. As a join it might read a table that is not analysed from end to end.
            fence = "" if locks(sql) else "OFFSET 0"
            return SetForm(f"SELECT q.*, given.nth_given FROM {source} CROSS JOIN LATERAL ({own}\n {fence}) q")  # noqa: S608
        case Kind.CHANGE if counted and (found := _UPDATE.fullmatch(sql)) and not _MORE.search(sql):
            terms = [_EQUAL.fullmatch(term) for term in found["where"].split(" AND ")]
            if not all(terms):
                return None
            apart = tuple(int(term["number"]) - 1 for term in terms if term and term["number"])
            head, where = own[: own.rindex("WHERE ")], own[own.rindex("WHERE ") :]
            return SetForm(f"{head} FROM {source} {where} RETURNING given.nth_given", apart)
        case Kind.INSERT if counted and (found := _INSERT.fullmatch(sql)):
            values = _PARAMETER.sub(r"given.p\1", found["values"])
            return SetForm(f"{found['into']} SELECT {values} FROM {source} ORDER BY given.nth_given", gives=False)  # noqa: S608
    return None


def are_apart(form: SetForm, args: Sequence[Sequence[object]]) -> bool:
    """Tell whether the parameters differ as the form asks for."""
    if not form.apart:
        return True
    return len({repr([one[position] for position in form.apart]) for one in args}) == len(args)


@lru_cache(maxsize=1024)
def row_form(sql: str, *, counted: bool) -> str | None:
    """Return a statement with one parameter more, which comes back in the last column; None if it cannot be had.

    With `counted` the column before is the number of rows it touched.
    """
    number = max((int(found) for found in _PARAMETER.findall(sql)), default=0) + 1
    returning = "RETURNING" in sql.upper()
    if kind_of(sql) is Kind.READ:
        if counted:
            return f"SELECT count(*)::int, ${number}::int FROM ({sql}\n) q"  # noqa: S608 (statements of the code)
        return f"SELECT q.*, ${number}::int FROM ({sql}\n) q"  # noqa: S608
    if sql.split(None, 1)[0].upper() not in ("INSERT", "UPDATE", "DELETE"):
        return None
    if counted:
        done = sql if returning else f"{sql}\nRETURNING 1"
        return f"WITH q AS ({done}) SELECT count(*)::int, ${number}::int FROM q"  # noqa: S608
    return f"WITH q AS ({sql}) SELECT q.*, ${number}::int FROM q" if returning else None  # noqa: S608
