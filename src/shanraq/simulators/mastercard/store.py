"""All state of the gateway: orders and transactions by merchant; applied entry by entry, so that a journal restores it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from shanraq.simulators.mastercard.model import (
    ClockAdvance,
    Cutoff,
    DisputeStep,
    Entry,
    Order,
    Parts,
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
        self.parts: dict[str, dict[str, object]] = {}
        self._forget()

    def _forget(self) -> None:
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
        return not self.sequence and not self.parts and not self.clock_offset_seconds

    def apply(self, entry: Entry) -> None:
        """Take one entry of the journal."""
        match entry:
            case Transaction():
                self._keep(entry)
            case Cutoff():
                self._cut_off(entry)
            case DisputeStep():
                self._dispute(entry)
            case ClockAdvance():
                self.clock_offset_seconds += entry.seconds
            case Parts():
                self.parts[entry.name] = entry.state
            case Reset():
                self._forget()

    def _keep(self, entry: Transaction) -> None:
        place = entry.merchant_id, entry.order_id
        self.sequence = max(self.sequence, entry.sequence)
        order = msgspec.convert(entry.order, Order)
        self.orders[place] = order
        of_order = self.transactions.setdefault(place, {})
        if entry.id in of_order:
            # The second step of an authentication goes by the id of the first; a review changes what was answered.
            old = of_order[entry.id]
            self.all = [one for one in self.all if one is not old]
            self.unsettled = [one for one in self.unsettled if one is not old]
        of_order[entry.id] = entry
        self.all.append(entry)
        if entry.approved and entry.type.startswith("VOID_") and entry.target_id in of_order:
            of_order[entry.target_id].voided = True
        elif entry.approved and entry.type in {"PAYMENT", "CAPTURE", "REFUND"} and not entry.settled:
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


class Journal:
    """An append-only file of JSON lines; an entry is with the operating system before its request is answered."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def read(self) -> list[Entry]:
        """Return all entries, oldest first; raises ValueError for a line that is none. A cut last line is taken away."""
        content = bytearray()
        while chunk := os.pread(self._descriptor, 1 << 20, len(content)):
            content += chunk
        whole = content.rfind(b"\n") + 1
        os.ftruncate(self._descriptor, whole)
        return [_decoder.decode(line) for line in content[:whole].splitlines()]

    def append(self, entry: Entry) -> None:
        """Write an entry. Raises OSError."""
        line = _encode(entry) + b"\n"
        if os.write(self._descriptor, line) != len(line):
            raise OSError("the journal could not be written whole")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
