"""What the host knows of money: authorisations with what they hold, what was captured, refunded and reversed.

Pure: no clock, no file, no network. `decide` says what would become of a request, `apply` takes the entry that was written
down for it; a restart applies the same entries again. Amounts are minor units of the request's currency.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, assert_never

from shanraq.simulators.iso8583.schemes import Result

Key = tuple[str, str, str, str, str]
"""What names a request: its type (of a repeat: the original's), trace number, time, acquirer, terminal."""


class Kind(StrEnum):
    """What a request asks for."""

    AUTHORIZATION = "authorization"
    PURCHASE = "purchase"
    COMPLETION = "completion"
    REFUND = "refund"
    REVERSAL = "reversal"
    INQUIRY = "inquiry"


class Asked(NamedTuple):
    """A request, as far as money is concerned.

    `original` names what it completes or reverses; without it `rrn` (DE37) and the terminal do. `card` is a keyed hash,
    empty when the request has no card number. `remaining` is what a partial reversal leaves in all, None for a reversal of
    everything.
    """

    key: Key
    kind: Kind
    amount: int
    currency: str
    rrn: str
    approval: str
    card: str
    original: Key | None = None
    remaining: int | None = None


class Decision(NamedTuple):
    """What becomes of a request: `target` is the sequence number of the operation it changes, 0 for none."""

    result: Result
    target: int = 0
    remembered: Key | None = None


class Entry(NamedTuple):
    """What is written down of a request, enough to do it again: one line of the journal.

    `moves` tells whether it was approved. `remembered` names the original of a reversal that overtook it.
    """

    sequence: int
    key: Key
    kind: Kind
    code: str
    moves: bool
    rrn: str
    approval: str
    amount: int
    currency: str
    card: str
    pan: str
    target: int = 0
    remaining: int | None = None
    remembered: Key | None = None


class Standing(NamedTuple):
    """What stands under one DE37: `authorized` counts authorisations and purchases, the others are minor units."""

    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    held: int = 0


@dataclass(slots=True)
class Operation:
    """A request that was carried out or declined. The sums are kept by authorisations and purchases, its `head`."""

    entry: Entry
    amount: int
    head: Operation | None = None
    held: int = 0
    captured: int = 0
    refunded: int = 0
    is_reversed: bool = False


def trace_key(key: Key) -> Key:
    """Return the loose name of a request: trace number and terminal alone, where messages have no original data."""
    return ("", key[1], "", "", key[4])


def reference_key(rrn: str, key: Key) -> Key:
    """Return the name of a request by its DE37 and terminal, for a reversal that has no original data."""
    return ("rrn", rrn, "", "", key[4])


class Accounts:
    """Every operation, found by what names it and by DE37. `second_reversal` answers another reversal of the same."""

    def __init__(self, *, by_trace: bool = False, second_reversal: Result = Result.NO_ORIGINAL) -> None:
        self.last_sequence = 0
        self._by_trace = by_trace
        self._second_reversal = second_reversal
        self._operations: dict[int, Operation] = {}
        self._by_key: dict[Key, Operation] = {}
        self._heads: dict[str, list[Operation]] = {}
        self._remembered: set[Key] = set()

    def __len__(self) -> int:
        return len(self._operations)

    def find(self, key: Key) -> Entry | None:
        """Return what was answered to a request of this name."""
        found = self._by_key.get(key)
        return found.entry if found is not None else None

    def reference(self, sequence: int) -> str:
        """Return the DE37 of an operation; nothing for none."""
        found = self._operations.get(sequence)
        return found.entry.rrn if found is not None else ""

    def standing(self, rrn: str) -> Standing:
        """Return what stands under a DE37; zeros when there was none."""
        heads = self._heads.get(rrn, ())
        return Standing(
            sum(1 for head in heads if head.captured or not head.is_reversed),
            sum(head.captured for head in heads),
            sum(head.refunded for head in heads),
            sum(head.held for head in heads),
        )

    def standings(self) -> dict[str, Standing]:
        """Return what stands under every DE37 that ever had an approval."""
        return {rrn: self.standing(rrn) for rrn in self._heads}

    # Deciding.

    def decide(self, asked: Asked) -> Decision:
        """Say what becomes of a request; change nothing."""
        if asked.kind is not Kind.REVERSAL and self._was_overtaken(asked):
            return Decision(Result.NO_ACTION)
        match asked.kind:
            case Kind.AUTHORIZATION | Kind.INQUIRY:
                return Decision(Result.APPROVED)
            case Kind.PURCHASE:
                return Decision(Result.APPROVED if asked.amount else Result.INVALID_AMOUNT)
            case Kind.COMPLETION:
                return self._decide_completion(asked)
            case Kind.REFUND:
                return self._decide_refund(asked)
            case Kind.REVERSAL:
                return self._decide_reversal(asked)
            case _:
                assert_never(asked.kind)

    def _was_overtaken(self, asked: Asked) -> bool:
        if not self._remembered:
            return False
        names = (asked.key, trace_key(asked.key), reference_key(asked.rrn, asked.key))
        return any(name in self._remembered for name in names)

    def _decide_completion(self, asked: Asked) -> Decision:
        head = self._authorization_of(asked)
        if head is None:
            return Decision(Result.NO_ORIGINAL)
        if not asked.amount or _differs(asked.currency, head.entry.currency):
            return Decision(Result.INVALID_AMOUNT)
        if asked.amount > head.held:
            return Decision(Result.EXCEEDS)
        return Decision(Result.APPROVED, head.entry.sequence)

    def _authorization_of(self, asked: Asked) -> Operation | None:
        if asked.original is not None:
            found = self._by_key.get(asked.original)
            if found is not None and found.entry.kind is Kind.AUTHORIZATION and _stands(found, asked):
                return found
            if not self._by_trace:
                return None
        heads = [
            head
            for head in self._heads_of(asked)
            if head.entry.kind is Kind.AUTHORIZATION and not _differs(asked.approval, head.entry.approval)
        ]
        return next((head for head in heads if head.held >= asked.amount), heads[0] if heads else None)

    def _heads_of(self, asked: Asked) -> list[Operation]:
        """Return what stands under the DE37 of a request at its terminal and of its card, the newest first."""
        return [
            head
            for head in reversed(self._heads.get(asked.rrn, ()))
            if head.entry.key[4] == asked.key[4] and _stands(head, asked)
        ]

    def _decide_refund(self, asked: Asked) -> Decision:
        heads = [head for head in self._heads_of(asked) if head.captured]
        if not heads:
            return Decision(Result.NO_ORIGINAL)
        if not asked.amount or all(_differs(asked.currency, head.entry.currency) for head in heads):
            return Decision(Result.INVALID_AMOUNT)
        for head in heads:
            left = head.captured - head.refunded
            if asked.amount <= left and not _differs(asked.currency, head.entry.currency):
                return Decision(Result.APPROVED, head.entry.sequence)
        return Decision(Result.EXCEEDS)

    def _decide_reversal(self, asked: Asked) -> Decision:
        found, name = self._reversible(asked)
        if found is None:
            return Decision(Result.NO_ORIGINAL, remembered=name)
        entry = found.entry
        if entry.kind in (Kind.REVERSAL, Kind.INQUIRY) or _differs(asked.card, entry.card):
            return Decision(Result.NO_ORIGINAL)
        if not entry.moves:
            # It was declined: there is nothing to take back, and that is what was asked for.
            return Decision(Result.APPROVED)
        if found.is_reversed:
            return Decision(self._second_reversal)
        result = _judge_remaining(found, asked.remaining or 0)
        return Decision(result, entry.sequence if result is Result.APPROVED else 0)

    def _reversible(self, asked: Asked) -> tuple[Operation | None, Key]:
        """Return what a reversal reverses, and the name under which it is remembered when it is not there."""
        if asked.original is not None:
            found = self._by_key.get(asked.original)
            # DE38 is known to who had an answer: then a loose name that finds nothing was not the original's.
            if found is not None or not (self._by_trace and asked.approval):
                return found, asked.original
        # The card and the state are judged afterwards: a second reversal must meet the first one's original,
        # not pass for one that overtook it.
        heads = [
            head
            for head in reversed(self._heads.get(asked.rrn, ()))
            if head.entry.key[4] == asked.key[4] and not _differs(asked.approval, head.entry.approval)
        ]
        standing = next((head for head in heads if not head.is_reversed), heads[0] if heads else None)
        return standing, asked.original or reference_key(asked.rrn, asked.key)

    # Applying.

    def apply(self, entry: Entry) -> None:
        """Take an entry into the accounts: live and at a restart by the same steps."""
        operation = Operation(entry, entry.amount)
        self.last_sequence = entry.sequence
        self._operations[entry.sequence] = operation
        self._by_key[entry.key] = operation
        if self._by_trace and entry.kind is not Kind.REVERSAL:
            self._by_key[trace_key(entry.key)] = operation
        if entry.remembered is not None:
            self._remembered.add(entry.remembered)
        if not entry.moves:
            return
        target = self._operations.get(entry.target)
        match entry.kind:
            case Kind.AUTHORIZATION:
                operation.held = entry.amount
                self._heads.setdefault(entry.rrn, []).append(operation)
            case Kind.PURCHASE:
                operation.captured = entry.amount
                self._heads.setdefault(entry.rrn, []).append(operation)
            case Kind.COMPLETION:
                assert target is not None
                operation.head = target
                target.held -= entry.amount
                target.captured += entry.amount
            case Kind.REFUND:
                assert target is not None
                operation.head = target
                target.refunded += entry.amount
            case Kind.REVERSAL:
                if target is not None:
                    _reverse(target, entry.remaining or 0)
            case Kind.INQUIRY:
                pass
            case _:
                assert_never(entry.kind)


def _differs(given: str, kept: str) -> bool:
    """Tell whether both are known and are not the same."""
    return bool(given and kept) and given != kept


def _stands(head: Operation, asked: Asked) -> bool:
    alive = head.entry.moves and (not head.is_reversed or head.captured > 0)
    return alive and not _differs(asked.card, head.entry.card)


def _judge_remaining(found: Operation, remaining: int) -> Result:
    """Say whether an operation can be reversed down to an amount; 0 reverses it wholly."""
    kind, head = found.entry.kind, found.head
    match kind:
        case Kind.AUTHORIZATION:
            if remaining > found.captured + found.held:
                return Result.EXCEEDS
            return Result.APPROVED if remaining == 0 or remaining >= found.captured else Result.INVALID_AMOUNT
        case Kind.PURCHASE:
            if remaining > found.captured:
                return Result.EXCEEDS
            return Result.APPROVED if remaining >= found.refunded else Result.NO_ACTION
        case Kind.COMPLETION:
            assert head is not None
            if remaining > found.amount:
                return Result.EXCEEDS
            left = head.captured - (found.amount - remaining)
            return Result.APPROVED if left >= head.refunded else Result.NO_ACTION
        case Kind.REFUND:
            return Result.APPROVED if remaining <= found.amount else Result.EXCEEDS
        case Kind.REVERSAL | Kind.INQUIRY:
            return Result.NO_ORIGINAL
        case _:
            assert_never(kind)


def _reverse(found: Operation, remaining: int) -> None:
    kind, head = found.entry.kind, found.head
    match kind:
        case Kind.AUTHORIZATION:
            found.held = max(remaining - found.captured, 0)
        case Kind.PURCHASE:
            found.captured = remaining
        case Kind.COMPLETION:
            assert head is not None
            back = found.amount - remaining
            head.captured -= back
            if not head.is_reversed:
                # Of an authorisation that was itself taken back nothing is put on hold again.
                head.held += back
        case Kind.REFUND:
            assert head is not None
            head.refunded -= found.amount - remaining
        case Kind.REVERSAL | Kind.INQUIRY:
            raise AssertionError("nobody reverses a reversal or an inquiry")
        case _:
            assert_never(kind)
    found.amount = remaining
    found.is_reversed = remaining == 0
