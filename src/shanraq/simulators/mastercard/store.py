"""All state of the gateway: orders and transactions by merchant; applied entry by entry, so that a journal restores it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.model import (
    ClockAdvance,
    Cutoff,
    DisputeStep,
    Entry,
    Order,
    Part,
    Reset,
    Transaction,
)
from shanraq.simulators.mastercard.settle import Batch

_decoder: Final = msgspec.json.Decoder(Entry)
_encode: Final = msgspec.json.Encoder().encode


class Store:
    """Orders and transactions of all merchants."""

    def __init__(self) -> None:
        self.clock_offset_seconds = 0.0
        self.entries = 0
        self._forget()

    def _forget(self) -> None:
        self.parts: dict[str, dict[str, dict[str, Any]]] = {}
        self.orders: dict[tuple[str, str], Order] = {}
        self.transactions: dict[tuple[str, str], dict[str, Transaction]] = {}
        self.all: list[Transaction] = []
        self.unsettled: list[Transaction] = []
        self.sequence = 0
        self.batch = 1
        self.batches: list[Batch] = []
        self.disputes: dict[str, list[DisputeStep]] = {}
        self.unsettled_steps: list[DisputeStep] = []

    @property
    def is_new(self) -> bool:
        """Tell whether nothing was applied yet."""
        return not self.entries

    def apply(self, entry: Entry) -> None:
        """Take one entry of the journal."""
        self.entries += 1
        match entry:
            case Transaction():
                self._keep(entry)
            case Cutoff():
                self._cut_off(entry)
            case DisputeStep():
                self._dispute(entry)
            case ClockAdvance():
                self.clock_offset_seconds += entry.seconds
            case Part():
                of_part = self.parts.setdefault(entry.name, {})
                if entry.state is None:
                    of_part.pop(entry.key, None)
                else:
                    of_part[entry.key] = entry.state
            case Reset():
                self._forget()

    def _keep(self, entry: Transaction) -> None:
        place = entry.merchant_id, entry.order_id
        self.sequence = max(self.sequence, entry.sequence)
        order = msgspec.convert(entry.order, Order)
        self.orders[place] = order
        of_order = self.transactions.setdefault(place, {})
        old = of_order.get(entry.id)
        of_order[entry.id] = entry
        if old is not None:
            # The second step of an authentication goes by the id of the first; a review changes what is retrieved.
            entry.settled, entry.voided = old.settled, old.voided
            self.all[_place(self.all, old)] = entry
            if any(one is old for one in self.unsettled):
                self.unsettled[_place(self.unsettled, old)] = entry
            elif entry.amount and not old.amount and not entry.settled:
                # A payment that had waited for review.
                self.unsettled.append(entry)
            return
        self.all.append(entry)
        if entry.approved and entry.type.startswith("VOID_") and entry.target_id in of_order:
            of_order[entry.target_id].voided = True
        elif entry.approved and entry.amount and entry.type in {"PAYMENT", "CAPTURE", "REFUND"} and not entry.settled:
            self.unsettled.append(entry)

    def _dispute(self, entry: DisputeStep) -> None:
        if entry.transaction is not None:
            self._keep(entry.transaction)
        self.orders[entry.merchant_id, entry.order_id] = msgspec.convert(entry.order, Order)
        self.disputes.setdefault(entry.dispute_id, []).append(entry)
        if entry.money:
            self.unsettled_steps.append(entry)

    def _cut_off(self, entry: Cutoff) -> None:
        later: list[Transaction] = []
        batch = Batch(self.batch, entry.time, entry.fees)
        for transaction in self.unsettled:
            if entry.merchant_id in ("", transaction.merchant_id):
                transaction.settled = not transaction.voided
                if transaction.settled:
                    batch.transactions.append(transaction)
            else:
                later.append(transaction)
        self.unsettled = later
        waiting: list[DisputeStep] = []
        for step in self.unsettled_steps:
            (batch.steps if entry.merchant_id in ("", step.merchant_id) else waiting).append(step)
        self.unsettled_steps = waiting
        if batch.transactions or batch.steps:
            self.batches.append(batch)
        self.batch += 1

    def of_order(self, merchant_id: str, order_id: str) -> dict[str, Transaction]:
        """Return the transactions of an order, oldest first."""
        return self.transactions.get((merchant_id, order_id), {})

    def of_merchant(self, merchant_id: str) -> Iterator[Transaction]:
        """Return the transactions of a merchant, oldest first."""
        return (one for one in self.all if one.merchant_id == merchant_id)


def _place(transactions: list[Transaction], wanted: Transaction) -> int:
    return next(place for place in range(len(transactions) - 1, -1, -1) if transactions[place] is wanted)


class Journal:
    """An append-only file of JSON lines; an entry is with the operating system before its request is answered."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._length = os.fstat(self._descriptor).st_size

    def read(self) -> list[Entry]:
        """Return all entries, oldest first; raises ValueError for a line that is none. A cut last line is taken away."""
        content = bytearray()
        while chunk := os.pread(self._descriptor, 1 << 20, len(content)):
            content += chunk
        whole = content.rfind(b"\n") + 1
        os.ftruncate(self._descriptor, whole)
        self._length = whole
        return [_decoder.decode(line) for line in content[:whole].splitlines()]

    def append(self, entry: Entry) -> None:
        """Write an entry. Raises OSError; a line that could not be written whole is taken away again."""
        line = _encode(entry) + b"\n"
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            if written:
                os.ftruncate(self._descriptor, self._length)
            raise
        self._length += len(line)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
