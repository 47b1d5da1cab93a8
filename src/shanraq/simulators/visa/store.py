"""The state of the gateway, built from journal entries alone: live and at a restart by the same steps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, assert_never

import msgspec

from shanraq.simulators.visa.model import ClockAdvance, Cutoff, JournalEntry, Kind, Operation, Record, Reset

_encode = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(JournalEntry)


class Store:
    """Every operation with what is left of it, by id, merchant reference and transaction id of each merchant."""

    def __init__(self) -> None:
        self.last_sequence = 0
        self.clock_offset_seconds = 0.0
        self.is_new = True
        self._forget()

    def _forget(self) -> None:
        self.records: dict[str, Record] = {}
        self._of_merchant: dict[str, list[Record]] = {}
        self._by_code: dict[tuple[str, str], list[Record]] = {}
        self._by_transaction_id: dict[tuple[str, str], list[Record]] = {}
        self._pending: list[Record] = []

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
        match entry:
            case Operation():
                self._apply_operation(entry)
            case Cutoff():
                for record in self.pending():
                    record.transmitted = True
                self._pending.clear()
            case Reset():
                self._forget()
            case ClockAdvance():
                self.clock_offset_seconds += entry.seconds
            case _:
                assert_never(entry)

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
            self.records[operation.target_id].captured -= operation.amount
        elif operation.kind is Kind.REFUND:
            self.records[operation.target_id].refunded -= operation.amount


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
