"""Double entry: accounts, transfers, holds; balances of now and of any past moment.

Exact rules and result numbers of TigerBeetle 0.17.9, on rows of PostgreSQL. A book is the set of accounts of one partner
in one environment; ids are 128-bit integers of the caller's, unique for ever within the book, and make every call safe
to repeat. `post` and `open_accounts` answer with values; see `TransferStatus` for what a retry may bring.
"""

from shanraq.ledger.balance import balance, balances
from shanraq.ledger.errors import (
    AccountUnknownError,
    AlreadyReversedError,
    BatchTooLargeError,
    NotReversibleError,
    TransferUnknownError,
)
from shanraq.ledger.expire_holds import expire_holds
from shanraq.ledger.hold import hold
from shanraq.ledger.model import (
    AMOUNT_MAX,
    Account,
    AccountFlags,
    AccountResult,
    AccountStatus,
    Balance,
    EntryKind,
    ExpiredHold,
    Result,
    Side,
    Standing,
    StatementEntry,
    Transfer,
    TransferFlags,
    TransferStatus,
    Turnover,
    instant_of,
)
from shanraq.ledger.open_accounts import open_accounts
from shanraq.ledger.period import end_period, grown, standing, turnover
from shanraq.ledger.post import post
from shanraq.ledger.post_pending import post_pending
from shanraq.ledger.reverse import reverse
from shanraq.ledger.statement import statement
from shanraq.ledger.transfers import transfers, transfers_about
from shanraq.ledger.verify import Finding, verify
from shanraq.ledger.void_pending import void_pending

__all__ = [
    "AMOUNT_MAX", "Account", "AccountFlags", "AccountResult", "AccountStatus", "AccountUnknownError",
    "AlreadyReversedError", "Balance", "BatchTooLargeError", "EntryKind", "ExpiredHold", "Finding", "NotReversibleError",
    "Result", "Side", "Standing", "StatementEntry", "Transfer", "TransferFlags", "TransferStatus", "TransferUnknownError",
    "Turnover", "balance", "balances", "end_period", "expire_holds", "grown", "hold", "instant_of", "open_accounts", "post",
    "post_pending", "reverse", "standing", "statement", "transfers", "transfers_about", "turnover", "verify", "void_pending",
]  # fmt: skip
