"""Transactions: money movements between accounts, one- or two-phase.

Verbs for partners: create_transaction, execute_transaction, roll_back_transaction, find. The steps of a movement
(open_movements, confirm, execute_held, fail, release, take_back) are for modules above, inside their transaction.
"""

from shanraq.transactions.create import OPERATION, Answer, Asked, create_transaction, create_transactions
from shanraq.transactions.errors import (
    AmountAboveHoldError,
    HoldExpiredError,
    ReversalRefusedError,
    SameAccountError,
    TransactionHasOwnerError,
    TransactionNotFoundError,
)
from shanraq.transactions.execute import execute_transaction
from shanraq.transactions.expire import expire_holds
from shanraq.transactions.find import (
    find_transaction,
    list_transactions,
    load_transaction,
    load_transactions,
    lock_transactions,
    outcomes,
)
from shanraq.transactions.model import (
    FAILURES,
    PREFIX,
    LedgerCode,
    NewTransaction,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from shanraq.transactions.movement import (
    Movement,
    confirm,
    confirm_all,
    execute_all,
    execute_held,
    fail,
    open_movements,
    raise_hold,
    reduce_hold,
    release,
    release_all,
    take_back,
)
from shanraq.transactions.roll_back import roll_back_transaction
from shanraq.transactions.store import Stored

__all__ = [
    "FAILURES",
    "OPERATION",
    "PREFIX",
    "AmountAboveHoldError",
    "Answer",
    "Asked",
    "HoldExpiredError",
    "LedgerCode",
    "Movement",
    "NewTransaction",
    "ReversalRefusedError",
    "SameAccountError",
    "Stored",
    "Transaction",
    "TransactionHasOwnerError",
    "TransactionKind",
    "TransactionNotFoundError",
    "TransactionStatus",
    "confirm",
    "confirm_all",
    "create_transaction",
    "create_transactions",
    "execute_all",
    "execute_held",
    "execute_transaction",
    "expire_holds",
    "fail",
    "find_transaction",
    "list_transactions",
    "load_transaction",
    "load_transactions",
    "lock_transactions",
    "open_movements",
    "outcomes",
    "raise_hold",
    "reduce_hold",
    "release",
    "release_all",
    "roll_back_transaction",
    "take_back",
]
