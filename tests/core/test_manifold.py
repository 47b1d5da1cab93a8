"""Statements on sets do what the statements they are made of do one after the other, or are not made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database, Tx
from shanraq.core.manifold import Kind, are_apart, kind_of, locks, row_form, set_form

TABLE = """
    CREATE TEMP TABLE thing (id text PRIMARY KEY, kind text, amount bigint, note jsonb, number int) ON COMMIT DROP;
    INSERT INTO thing VALUES ('a', 'x', 1, '{"n": 1}', 1), ('b', 'x', 2, NULL, 2), ('c', 'y', 3, '[]', 3)
"""


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT * FROM thing WHERE id = $1", Kind.READ),
        ("SELECT * FROM thing WHERE id = $1 FOR UPDATE", Kind.READ),
        ("\n  with q AS (SELECT 1) SELECT * FROM q", Kind.READ),
        ("WITH q AS (UPDATE thing SET amount = 1 RETURNING 1) SELECT * FROM q", Kind.CHANGE),
        ("SELECT nextval('thing_seq')", Kind.CHANGE),
        ("INSERT INTO thing (id) VALUES ($1)", Kind.INSERT),
        ("UPDATE thing SET amount = 1", Kind.CHANGE),
        ("DELETE FROM thing", Kind.CHANGE),
        ("LOCK TABLE thing", Kind.CHANGE),
    ],
)
def test_knows_what_a_statement_does(sql: str, kind: Kind) -> None:
    assert kind_of(sql) is kind


def test_knows_which_statements_lock() -> None:
    assert locks("SELECT 1 FROM thing FOR NO KEY UPDATE SKIP LOCKED")
    assert locks("SELECT pg_advisory_xact_lock(1)")
    assert not locks("UPDATE thing SET amount = 1")


@pytest.mark.parametrize(
    ("sql", "types", "counted"),
    [
        ("SELECT 1", (), False),
        ("SELECT * FROM thing WHERE id = ANY($1)", ("text[]",), False),
        ("SELECT * FROM thing WHERE id = $1", ("text",), True),
        ("UPDATE thing SET amount = 1 WHERE id = $1 OR kind = $2", ("text", "text"), True),
        ("UPDATE thing SET amount = 1 WHERE amount > $1", ("int8",), True),
        ("UPDATE thing SET amount = $1", ("int8",), True),
        ("UPDATE thing SET amount = $2 WHERE id = $1 RETURNING id", ("text", "int8"), True),
        ("UPDATE thing SET amount = other.amount FROM other WHERE id = $1", ("text",), True),
        ("UPDATE thing SET amount = 1 WHERE id IN (SELECT id FROM thing WHERE kind = $1)", ("text",), True),
        ("INSERT INTO thing (id) VALUES ($1) ON CONFLICT DO NOTHING", ("text",), True),
        ("INSERT INTO thing (id) VALUES ($1) RETURNING id", ("text",), False),
        ("INSERT INTO thing (id) VALUES (lower($1))", ("text",), True),
        ("INSERT INTO thing (id) SELECT $1::text", ("text",), True),
        ("DELETE FROM thing WHERE id = $1", ("text",), True),
    ],
)
def test_makes_no_set_of_what_might_do_something_else(sql: str, types: tuple[str, ...], counted: bool) -> None:
    assert set_form(sql, types, counted=counted) is None


def test_updates_of_one_row_by_two_are_no_set() -> None:
    form = set_form("UPDATE thing SET amount = $1 WHERE kind = $3 AND id = $2", ("int8", "text", "text"), counted=True)

    assert form is not None
    assert are_apart(form, [(1, "a", "x"), (1, "b", "x"), (1, "a", "y")])
    assert not are_apart(form, [(1, "a", "x"), (2, "a", "x")])


async def both(tx: Tx, sql: str, args: Sequence[Sequence[Any]], *, counted: bool) -> list[Any]:
    """Return what a statement gives as a set, and run for each row of parameters; both must be the same."""
    form = set_form(sql, await tx.types_of(sql), counted=counted)
    assert form is not None
    by_row = row_form(sql, counted=counted)
    assert by_row is not None
    await tx.execute("SAVEPOINT before")
    rows = await tx.rows(form.sql, *map(list, zip(*args, strict=True)))
    after = await tx.rows("SELECT * FROM thing ORDER BY id")
    if counted:
        seen: list[Any] = [sum(row[-1] == n for row in rows) if form.gives else 1 for n in range(1, len(args) + 1)]
    else:
        seen = [[tuple(row)[:-1] for row in rows if row[-1] == n] for n in range(1, len(args) + 1)]
    await tx.execute("ROLLBACK TO SAVEPOINT before")
    rows = await tx.rows_of_many(by_row, [(*one, n) for n, one in enumerate(args)])
    if counted:
        assert seen == [row[0] for row in rows]
    else:
        assert seen == [[tuple(row)[:-1] for row in rows if row[-1] == n] for n in range(len(args))]
    assert after == await tx.rows("SELECT * FROM thing ORDER BY id")
    return seen


async def test_does_the_same_as_one_after_the_other(database: Database) -> None:
    async with database.begin(SYSTEM) as tx:
        await tx.execute(TABLE)

        read = await both(
            tx, "SELECT id, note FROM thing WHERE kind = $1 ORDER BY id", [("x",), ("z",), ("y",)], counted=False
        )
        locked = await both(
            tx, "SELECT amount FROM thing WHERE id = $1 FOR UPDATE", [("c",), ("a",), ("no",)], counted=False
        )
        counts = await both(
            tx,
            "WITH q AS (SELECT * FROM thing WHERE kind = $1) SELECT count(*) FROM q",
            [("x",), ("z",)],
            counted=False,
        )
        changed = await both(
            tx,
            "UPDATE thing SET amount = amount + $2, note = $3, number = number + 1 WHERE id = $1 AND kind = 'x'",
            [("a", 5, {"k": [1]}), ("c", 6, None), ("b", 7, None)],
            counted=True,
        )
        inserted = await both(
            tx,
            "INSERT INTO thing (id, kind, amount, note) VALUES ($1, 'w', $2, $3)",
            [("p", 1, None), ("q", None, "text")],
            counted=True,
        )

    assert read == [[("a", {"n": 1}), ("b", None)], [], [("c", [])]]
    assert locked == [[(3,)], [(1,)], []]
    assert counts == [[(2,)], [(0,)]]
    assert changed == [1, 0, 1]
    assert inserted == [1, 1]
