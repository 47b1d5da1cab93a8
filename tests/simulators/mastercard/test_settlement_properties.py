"""Whatever happens to orders, batches and disputes: the statement is the sum of it, and a journal brings it back."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.simulators.mastercard.disputes import Advance, Disputes, NewDispute
from shanraq.simulators.mastercard.fees import DEFAULT
from shanraq.simulators.mastercard.gateway import Gateway
from shanraq.simulators.mastercard.model import Cutoff, Entry
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.settle import Line, lines_of
from shanraq.simulators.mastercard.store import Store
from tests.simulators.mastercard.test_http import moving, paying

ORDERS = ("o1", "o2", "o3")
STAGES = ("CHARGEBACK", "REPRESENTMENT", "PRE_ARBITRATION", "ARBITRATION", "WON", "LOST", "ACCEPTED")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["AUTHORIZE", "PAY", "CAPTURE", "CAPTURE", "REFUND", "VOID", "cutoff", "dispute", "advance"]),
        st.sampled_from(ORDERS),
        st.integers(1, 12_000),
        st.sampled_from(STAGES),
    ),
    min_size=1,
    max_size=40,
)


class World:
    """The gateway, its disputes, and a journal of what they keep."""

    def __init__(self) -> None:
        self.store = Store()
        self.journal: list[bytes] = []
        self.clock = itertools.count(1_700_000_000)
        self.gateway = Gateway(self.store, self.keep, lambda: float(next(self.clock)), bytes(32))
        self.disputes = Disputes(self.store, self.keep, lambda: float(next(self.clock)))
        self.ids = itertools.count(1)

    def keep(self, entry: Entry) -> None:
        self.journal.append(msgspec.json.encode(entry))
        self.store.apply(entry)

    def step(self, what: str, order: str, amount: int, stage: str) -> None:
        text = f"{amount // 100}.{amount % 100:02d}"
        match what:
            case "cutoff":
                self.keep(Cutoff(float(next(self.clock)), "M", DEFAULT))
            case "dispute":
                captures = [one.id for one in self.store.of_order("M", order).values() if one.settled]
                target = captures[amount % len(captures)] if captures else ""
                self.disputes.open(NewDispute("M", order, amount, transaction_id=target))
            case "advance":
                ids = list(self.store.disputes) or [""]
                self.disputes.advance(Advance(ids[amount % len(ids)], stage))
            case _:
                body: dict[str, Any] = moving(what, text)
                if what in ("AUTHORIZE", "PAY"):
                    body = paying(what, text)
                if what == "VOID":
                    body = {"apiOperation": "VOID"}
                self.gateway.operate("M", "100", order, f"t{next(self.ids)}", body, body)

    def lines(self) -> list[Line]:
        return lines_of_store(self.store)


def lines_of_store(store: Store) -> list[Line]:
    return [line for batch in store.batches for line in lines_of(batch, "M")]


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_the_statement_is_the_sum_of_what_happened_and_comes_back_from_the_journal(
    steps: list[tuple[str, str, int, str]],
) -> None:
    world = World()
    for what, order, amount, stage in steps:
        before = len(world.journal), msgspec.json.encode(list(world.store.orders.values()))
        try:
            world.step(what, order, amount, stage)
        except (Refusal, ValueError):
            assert before == (len(world.journal), msgspec.json.encode(list(world.store.orders.values())))
        for one in world.store.orders.values():
            assert 0 <= one.chargeback <= one.captured
            assert (one.status in ("CHARGEBACK_PROCESSED", "DISPUTED")) >= bool(one.chargeback)
    world.keep(Cutoff(float(next(world.clock)), "M", DEFAULT))

    lines = world.lines()
    assert len({line.id for line in lines}) == len(lines)
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.order_id] += line.gross
        assert line.net == line.gross - line.fees.total
    for one in world.store.orders.values():
        assert sums[one.id] == one.captured - one.refunded - one.chargeback
    again = Store()
    for entry in world.journal:
        again.apply(msgspec.json.decode(entry, type=Entry))
    assert [(line.id, line.gross, line.fees, line.batch.number) for line in lines_of_store(again)] == [
        (line.id, line.gross, line.fees, line.batch.number) for line in lines
    ]
    assert again.orders == world.store.orders


def test_the_steps_reach_what_they_are_to_prove() -> None:
    world = World()
    for step in (
        ("AUTHORIZE", "o1", 10_000, ""), ("CAPTURE", "o1", 4_000, ""), ("cutoff", "", 0, ""), ("dispute", "o1", 1_000, ""),
        ("advance", "", 0, "REPRESENTMENT"), ("CAPTURE", "o1", 500, ""), ("REFUND", "o1", 100, ""),
    ):  # fmt: skip
        world.step(*step)
    world.step("cutoff", "", 0, "")

    assert [(line.type, line.gross) for line in world.lines()] == [
        ("CAPTURE", 4_000), ("CAPTURE", 500), ("REFUND", -100), ("CHARGEBACK", -1_000), ("CHARGEBACK_REVERSAL", 1_000),
    ]  # fmt: skip
