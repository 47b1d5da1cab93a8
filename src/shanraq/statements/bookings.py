"""Read the bookings of an account with what is known about each: transaction, credit transfer, parties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shanraq import accounts, credit_transfers, ledger, transactions
from shanraq.core.crypto import Keyring
from shanraq.core.db import Tx
from shanraq.core.ids import text_of

_BOOKED = (ledger.EntryKind.MOVED, ledger.EntryKind.POSTED)


@dataclass(frozen=True, slots=True)
class Booking:
    """An entry that moved money; `transfer` is the credit transfer it was made for, `returned` if it brought that back.

    `debtor` and `creditor` are the accounts of the transaction, as it was asked for, also when it is taken back.
    """

    entry: ledger.StatementEntry
    transaction_id: str
    transaction: transactions.Transaction | None
    debtor: accounts.Account | None
    creditor: accounts.Account | None
    transfer: credit_transfers.CreditTransfer | None = None
    details: credit_transfers.Details | None = None
    returned: bool = False

    @property
    def credit(self) -> bool:
        """Tell whether money came in."""
        return self.entry.side is ledger.Side.CREDIT

    @property
    def reversal(self) -> bool:
        """Tell whether the booking takes an earlier one back."""
        return self.returned or self.entry.code == transactions.LedgerCode.REVERSAL


async def read_bookings(
    tx: Tx, keyring: Keyring, account: accounts.Account, *, after: int, up_to: int, limit: int
) -> tuple[list[Booking], int]:
    """Return the bookings among the next entries of an account, and the sequence number up to which was read.

    At most `limit` entries after `after` and up to `up_to` are looked at; holds are left out.
    """
    entries = await ledger.statement(tx, account.number, after_seq=after, limit=min(limit, up_to - after))
    reached = entries[-1].seq if entries else up_to
    return await _told(tx, keyring, account, [entry for entry in entries if entry.kind in _BOOKED]), reached


async def _told(
    tx: Tx, keyring: Keyring, account: accounts.Account, entries: Sequence[ledger.StatementEntry]
) -> list[Booking]:
    if not entries:
        return []
    ids = [text_of(transactions.PREFIX, entry.user_data_128) for entry in entries]
    distinct = list(dict.fromkeys(ids))
    found = await transactions.load_transactions(tx, distinct)
    transfers = await credit_transfers.details_of_transactions(tx, keyring, distinct)
    named = {
        account_id for one in found.values() for account_id in (one.debit_account, one.credit_account)
    } - {account.id}  # fmt: skip
    known = {account.id: account}
    if named:
        known |= await accounts.load_accounts(tx, sorted(named))
    bookings = []
    for entry, transaction_id in zip(entries, ids, strict=True):
        transaction = found.get(transaction_id)
        transfer, details = transfers.get(transaction_id, (None, None))
        bookings.append(
            Booking(
                entry=entry,
                transaction_id=transaction_id,
                transaction=transaction,
                debtor=known.get(transaction.debit_account) if transaction else None,
                creditor=known.get(transaction.credit_account) if transaction else None,
                transfer=transfer,
                details=details,
                returned=transfer is not None and transfer.return_transaction_id == transaction_id,
            )
        )
    return bookings
