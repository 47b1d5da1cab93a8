"""The double entries of settlement. A line takes its gross off an account, and brings its net and what was kept of it.

    kind                       net (positive)                     fees (positive)
    capture, refund, credit    debit settlement, credit clearing  debit expense, credit clearing
    chargeback, representment  the same with chargebacks          the same with chargebacks
    fee                        the same with processing fees      interchange and scheme fees out of processing fees

Negative amounts go the other way. Ids derive from the line, so a line is posted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shanraq import accounts, ledger
from shanraq.accounts import SystemAccount
from shanraq.core.db import Tx
from shanraq.core.ids import derived_number, number_of
from shanraq.core.money import Currency
from shanraq.settlement.model import LINE_PREFIX, LedgerCode, StoredLine
from shanraq.settlement.port import LineKind

_TAKEN_OFF: Final = {
    LineKind.CAPTURE: SystemAccount.CARD_CLEARING,
    LineKind.REFUND: SystemAccount.CARD_CLEARING,
    LineKind.CREDIT: SystemAccount.CARD_CLEARING,
    LineKind.CHARGEBACK: SystemAccount.CHARGEBACKS,
    LineKind.REPRESENTMENT: SystemAccount.CHARGEBACKS,
    LineKind.FEE: SystemAccount.PROCESSING_FEES,
}
LINES_PER_BATCH: Final = 1000


def account_of(line: StoredLine) -> SystemAccount:
    """Return the account that a line's gross is taken off."""
    return _TAKEN_OFF[line.kind]


async def post_lines(tx: Tx, lines: Sequence[StoredLine]) -> None:
    """Post lines in the partner's book, once each: what was posted before stays as it is."""
    numbers = _Numbers(tx)
    transfers: list[ledger.Transfer] = []
    for line in lines:
        gross = _TAKEN_OFF[line.kind]
        for code, account, amount in (
            (LedgerCode.NET, SystemAccount.SETTLEMENT, line.net),
            (LedgerCode.INTERCHANGE, SystemAccount.INTERCHANGE, line.interchange),
            (LedgerCode.SCHEME_FEE, SystemAccount.SCHEME_FEES, line.scheme_fee),
            (LedgerCode.PROCESSING_FEE, SystemAccount.PROCESSING_FEES, line.processing_fee),
        ):
            if amount and account is not gross:
                transfers.append(
                    await numbers.transfer(
                        derived_number("settlement", line.id, code), code, account, gross, amount, line.currency,
                        number_of(LINE_PREFIX, line.id),
                    )
                )  # fmt: skip
    await _post(tx, transfers)


async def write_off(
    tx: Tx, exception_id: str, number: int, off: SystemAccount, amount_minor: int, currency: str, step: str = ""
) -> None:
    """Take what is left on an account off it, as a cost (positive) or a gain (negative)."""
    transfer = await _Numbers(tx).transfer(
        derived_number("settlement write-off", exception_id, step), LedgerCode.WRITE_OFF,
        SystemAccount.SETTLEMENT_WRITE_OFFS, off, amount_minor, currency, number,
    )  # fmt: skip
    await _post(tx, [transfer])


class _Numbers:
    """The ledger's numbers of system accounts, opened when first needed."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._known: dict[tuple[SystemAccount, str], int] = {}

    async def transfer(
        self,
        id_: int,
        code: LedgerCode,
        account: SystemAccount,
        other: SystemAccount,
        amount: int,
        currency: str,
        about: int,
    ) -> ledger.Transfer:
        """Return a transfer that debits the account, or credits it where the amount is negative."""
        money = Currency.historic(currency)
        debit, credit = await self._number(account, money), await self._number(other, money)
        if amount < 0:
            debit, credit = credit, debit
        return ledger.Transfer(
            id=id_,
            debit_account_id=debit,
            credit_account_id=credit,
            amount=abs(amount),
            user_data_128=about,
            ledger=money.number,
            code=code,
        )

    async def _number(self, which: SystemAccount, currency: Currency) -> int:
        key = which, currency.code
        if key not in self._known:
            self._known[key] = (await accounts.system_account(self._tx, which, currency)).number
        return self._known[key]


async def _post(tx: Tx, transfers: Sequence[ledger.Transfer]) -> None:
    for transfer, result in zip(transfers, await ledger.post(tx, transfers), strict=True):
        # System accounts have no limits, and their ids follow from the line: nothing but a mistake of ours is refused.
        assert result.status.succeeded, (transfer, result)
