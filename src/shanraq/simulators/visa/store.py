"""The state of the gateway, built from journal entries alone: live and at a restart by the same steps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, assert_never

import msgspec

from shanraq.simulators.visa.model import Batch, ClockAdvance, Cutoff, JournalEntry, Kind, Operation, Record, Reset
from shanraq.simulators.visa.resources import FeeSchedule, Kept, Removed, RiskCase

_encode = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(JournalEntry)
_K = TypeVar("_K", bound=Kept)


class Store:
    """Every operation with what is left of it, by id, merchant reference and transaction id of each merchant."""

    def __init__(self) -> None:
        self.last_sequence = 0
        self.clock_offset_seconds = 0.0
        self.is_new = True
        self.entries = 0
        self.fees = FeeSchedule()
        self._forget()

    def _forget(self) -> None:
        self.records: dict[str, Record] = {}
        self._of_merchant: dict[str, list[Record]] = {}
        self._by_code: dict[tuple[str, str], list[Record]] = {}
        self._by_transaction_id: dict[tuple[str, str], list[Record]] = {}
        self._pending: list[Record] = []
        self._resources: dict[str, dict[str, Kept]] = {}
        self._removed: set[str] = set()
        self.batches: dict[str, Batch] = {}

    def resource(self, kind: type[_K], merchant_id: str, resource_id: str) -> _K | None:
        """Return a merchant's own resource of one kind."""
        found = self._resources.get(_tag(kind), {}).get(resource_id)
        return found if isinstance(found, kind) and found.merchant_id == merchant_id else None

    def any_resource(self, kind: type[_K], resource_id: str) -> _K | None:
        """Return a resource of one kind of any merchant."""
        found = self._resources.get(_tag(kind), {}).get(resource_id)
        return found if isinstance(found, kind) else None

    def resources(self, kind: type[_K], merchant_id: str) -> list[_K]:
        """Return a merchant's resources of one kind, oldest first."""
        found = self._resources.get(_tag(kind), {}).values()
        return [one for one in found if isinstance(one, kind) and one.merchant_id == merchant_id]

    def all_resources(self, kind: type[_K]) -> list[_K]:
        """Return the resources of one kind of all merchants, oldest first."""
        return [one for one in self._resources.get(_tag(kind), {}).values() if isinstance(one, kind)]

    def was_removed(self, resource_id: str) -> bool:
        """Tell whether a resource with this id was there and is no more."""
        return resource_id in self._removed

    def batches_of(self, merchant_id: str) -> list[Batch]:
        """Return a merchant's batches, oldest first."""
        return [batch for batch in self.batches.values() if batch.merchant_id == merchant_id]

    def find(self, merchant_id: str, operation_id: str) -> Record | None:
        """Return a merchant's own operation."""
        record = self.records.get(operation_id)
        return record if record is not None and record.operation.merchant_id == merchant_id else None

    def of_merchant(self, merchant_id: str) -> Sequence[Record]:
        """Return a merchant's operations, oldest first."""
        return self._of_merchant.get(merchant_id, ())

    def with_code(self, merchant_id: str, code: str) -> Sequence[Record]:
        """Return a merchant's operations with a merchant reference, oldest first."""
        return self._by_code.get((merchant_id, code), ())

    def with_transaction_id(self, merchant_id: str, transaction_id: str) -> Sequence[Record]:
        """Return a merchant's operations with a transaction id, oldest first."""
        return self._by_transaction_id.get((merchant_id, transaction_id), ())

    def pending(self) -> Sequence[Record]:
        """Return what goes out with the next batch."""
        return [record for record in self._pending if not record.voided]

    def apply(self, entry: JournalEntry) -> None:
        """Take one entry into the state."""
        self.is_new = False
        self.entries += 1
        match entry:
            case Operation():
                self._apply_operation(entry)
            case Cutoff():
                self._cut_off(entry)
            case FeeSchedule():
                self.fees = entry
            case Removed():
                if self._resources.get(entry.kind, {}).pop(entry.id, None) is not None:
                    self._removed.add(entry.id)
            case Reset():
                self._forget()
            case ClockAdvance():
                self.clock_offset_seconds += entry.seconds
            case _:
                self._resources.setdefault(_tag(type(entry)), {})[entry.id] = entry
                if isinstance(entry, RiskCase) and entry.of_payment:
                    self.records[entry.id].review = entry.status

    def _cut_off(self, entry: Cutoff) -> None:
        of_merchant: dict[str, list[Record]] = {}
        for record in self.pending():
            of_merchant.setdefault(record.operation.merchant_id, []).append(record)
        for merchant_id, records in of_merchant.items():
            batch = Batch(f"{len(self.batches) + 1:08d}", merchant_id, entry.time, self.fees, tuple(records))
            self.batches[batch.id] = batch
            for record in records:
                record.transmitted = True
                record.batch = batch
        self._pending.clear()

    def _apply_operation(self, operation: Operation) -> None:
        record = Record(operation)
        self.last_sequence = operation.sequence
        self.records[operation.id] = record
        self._of_merchant.setdefault(operation.merchant_id, []).append(record)
        self._by_code.setdefault((operation.merchant_id, operation.code), []).append(record)
        if operation.transaction_id:
            self._by_transaction_id.setdefault((operation.merchant_id, operation.transaction_id), []).append(record)
        if operation.target_id:
            self.records[operation.target_id].related_ids.append(operation.id)
        if record.settles:
            self._pending.append(record)
        self._move(record)

    def _move(self, record: Record) -> None:
        operation = record.operation
        target = self.records.get(operation.target_id, record)
        match operation.kind:
            case Kind.AUTHORIZATION:
                record.authorized = operation.amount
                record.captured = operation.amount if record.settles else 0
            case Kind.INCREMENT:
                target.authorized += operation.amount
            case Kind.CAPTURE:
                target.captured += operation.amount
                target.final = target.final or operation.final
            case Kind.REFUND:
                target.refunded += operation.amount
            case Kind.REVERSAL:
                target.reversed += operation.amount
            case Kind.VOID:
                self._void(target)
            case Kind.CREDIT:
                pass
            case _:
                assert_never(operation.kind)

    def _void(self, record: Record) -> None:
        record.voided = True
        operation = record.operation
        if operation.kind is Kind.AUTHORIZATION:
            record.captured -= operation.amount
        elif operation.kind is Kind.CAPTURE:
            target = self.records[operation.target_id]
            target.captured -= operation.amount
            # Without the capture that was to be the last one, there may be others.
            target.final = target.final and not operation.final
        elif operation.kind is Kind.REFUND:
            self.records[operation.target_id].refunded -= operation.amount


def _tag(kind: type[Any]) -> str:
    tag: str = kind.__struct_config__.tag
    return tag


class Journal:
    """An append-only file of JSON lines; an entry is with the operating system before its request is answered."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = 0

    def read(self) -> list[JournalEntry]:
        """Return all entries, oldest first; raises ValueError for a line that is none.

        A last line without its end was cut off by a crash before its request was answered: it is taken away.
        """
        content = bytearray()
        while chunk := os.pread(self._descriptor, 1 << 20, len(content)):
            content += chunk
        self._size = content.rfind(b"\n") + 1
        os.ftruncate(self._descriptor, self._size)
        return [_decoder.decode(line) for line in content[: self._size].splitlines()]

    def append(self, entry: JournalEntry) -> None:
        """Write one entry whole, or nothing; raises OSError."""
        line = memoryview(_encode(entry) + b"\n")
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += written

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
