"""Which operation a line means, and how the two compare. Nothing here reads or writes: data in, verdicts out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shanraq.settlement.model import FeeRule, LineState, OperationSide, StoredLine
from shanraq.settlement.port import LineKind

OF_AN_OPERATION: Final = frozenset((LineKind.CAPTURE, LineKind.REFUND, LineKind.CREDIT))
"""The kinds of lines that settle an operation of ours; the others are about a payment, or about none."""

_ALIKE: Final = frozenset((LineKind.REFUND, LineKind.CREDIT))

POSTED: Final = frozenset((LineState.MATCHED, LineState.FEE_DIFFERS))
"""The states of lines whose money is posted without anybody's decision: fees are what was kept, whatever was agreed."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a line is: partner, book, payment, and the operation it settles, if it settles one."""

    partner_id: str
    book: int
    payment_id: str
    operation_id: str | None = None

    @classmethod
    def of(cls, side: OperationSide, *, settles: bool) -> Owner:
        """Return the owner of an operation."""
        return cls(side.partner_id, side.book, side.payment_id, side.id if settles else None)


class Candidates:
    """Operations that lines may mean, by every key a line can name them by."""

    def __init__(
        self,
        sides: Iterable[OperationSide],
        reconciled: Mapping[str, tuple[str, str, int]],
        settled: Iterable[str] = (),
    ) -> None:
        self._by_id: dict[str, OperationSide] = {}
        self._by_gateway: defaultdict[str, list[OperationSide]] = defaultdict(list)
        self._by_payment: defaultdict[str, list[OperationSide]] = defaultdict(list)
        self._reconciled = reconciled
        self._taken = set(settled)
        for side in sides:
            self._by_id[side.id] = side
            self._by_payment[side.payment_id].append(side)
            if side.gateway_id:
                self._by_gateway[side.gateway_id].append(side)

    def owner_of(self, line: StoredLine) -> Owner | None:
        """Return whose a line is, by the surest key it has: operation id, gateway id, payment, reconciliation id.

        By payment alone the operation of the line's kind is taken that no other line settles: one with the same amount before
        others, and none where several are left. A reconciliation id counts for a line that names no payment. None where no key
        leads to an operation of this payment system. Not every acquirer tells credits from refunds: one that is named by an id
        is meant, whichever of the two the line says.
        """
        if line.kind in OF_AN_OPERATION:
            side = self._settled_by(line)
            # Keys that name two payments are a person's to judge: money must not go into the wrong books.
            if side is not None and (line.reference == side.payment_id or line.reference not in self._by_payment):
                self._taken.add(side.id)
                return Owner.of(side, settles=True)
            return None
        named = self._by_id.get(line.told_operation_id)
        for sides in (
            self._by_payment.get(line.reference, []),
            self._by_gateway.get(line.gateway_id, []),
            [] if named is None else [named],
        ):
            if len({side.payment_id for side in sides}) == 1:
                return Owner.of(sides[0], settles=False)
        known = self._reconciled_with(line)
        return None if known is None else Owner(known[1], known[2], known[0])

    def _settled_by(self, line: StoredLine) -> OperationSide | None:
        named = self._by_id.get(line.told_operation_id)
        if named is not None and _like(named, line.kind):
            return named
        by_gateway = [side for side in self._by_gateway.get(line.gateway_id, ()) if _like(side, line.kind)]
        if len(by_gateway) == 1:
            return by_gateway[0]
        of_payment = self._of_kind(self._by_payment.get(line.reference, ()), line.kind)
        known = self._reconciled_with(line)
        if not of_payment and known is not None:
            of_payment = self._of_kind(self._by_payment.get(known[0], ()), line.kind)
        free = [side for side in of_payment if side.id not in self._taken and side.status == "succeeded"] or of_payment
        same = [side for side in free if (side.amount, side.currency) == (line.amount, line.currency)]
        for found in (same, free):
            if len(found) == 1:
                return found[0]
        # Several operations of one amount are the same to the books: the oldest is settled first.
        return same[0] if same else None

    def _reconciled_with(self, line: StoredLine) -> tuple[str, str, int] | None:
        # Retrieval reference numbers come round again after years: a line that names a payment, even an unknown one, does not
        # mean another one by its number.
        return None if line.reference else self._reconciled.get(line.reconciliation_id)

    @staticmethod
    def _of_kind(sides: Sequence[OperationSide], kind: LineKind) -> list[OperationSide]:
        return [side for side in sides if side.kind is kind]


def _like(side: OperationSide, kind: LineKind) -> bool:
    return side.kind is kind or {side.kind, kind} <= _ALIKE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a line is found to be; `expected_fee` where an agreement says otherwise than the line."""

    state: LineState
    expected_fee: int | None = None

    @property
    def posted(self) -> bool:
        """Tell whether the line's money goes to the ledger at once."""
        return self.state in POSTED


def judge(
    line: StoredLine, side: OperationSide | None, *, settled: bool, currency: str, rules: Sequence[FeeRule]
) -> Verdict:
    """Compare a line with the operation it means, in the order in which differences matter.

    `settled` tells that another line settled the operation before, `currency` is that of the payment. Lines about no operation
    (chargebacks, representments, fees) only have to agree with themselves and the payment.
    """
    if settled:
        return Verdict(LineState.DUPLICATE_LINE)
    if line.currency != (side.currency if side else currency or line.currency):
        return Verdict(LineState.CURRENCY_DIFFERS)
    if side is not None and (side.status != "succeeded" or side.voided):
        return Verdict(LineState.STATUS_DIFFERS)
    if side is not None and line.amount != side.amount:
        return Verdict(LineState.AMOUNT_DIFFERS)
    if line.flaw:
        return Verdict(LineState.NET_DIFFERS)
    if side is not None:
        rule = next((rule for rule in rules if rule.fits(line, side.brand)), None)
        if rule is not None and abs(line.fees - rule.fee(line.amount)) > rule.tolerance:
            return Verdict(LineState.FEE_DIFFERS, rule.fee(line.amount))
    return Verdict(LineState.MATCHED)
