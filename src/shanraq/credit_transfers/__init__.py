"""Credit transfers: instructions of payment files, carried out in the ledger or through a clearing system."""

from shanraq.credit_transfers.add import SEALED, add_transfers
from shanraq.credit_transfers.apply import take_news
from shanraq.credit_transfers.clearing import (
    Arrived,
    Clearing,
    ClearingUnavailableError,
    Distrusted,
    Interbank,
    Refused,
    Sent,
    Taken,
    Terms,
    Unconfirmed,
)
from shanraq.credit_transfers.errors import (
    CreditTransferNotFoundError,
    InvalidReasonError,
    NotRecallableError,
    RecallNotFoundError,
    RecallOpenError,
)
from shanraq.credit_transfers.execute import execute
from shanraq.credit_transfers.find import (
    Totals,
    Trace,
    details_of_transactions,
    find_transfer,
    list_transfers,
    totals,
    trace_transfer,
    transfers_of_file,
    walk_transfers,
)
from shanraq.credit_transfers.forget import forget
from shanraq.credit_transfers.inquire import ask, oldest_unanswered_seconds
from shanraq.credit_transfers.model import (
    PREFIX,
    CreditTransfer,
    Details,
    NewTransfer,
    Recall,
    RecallStatus,
    Rejection,
    Route,
    Step,
    TransferStatus,
)
from shanraq.credit_transfers.recall import NewRecall, find_recall, recall_transfer, recalls_of_transfer
from shanraq.credit_transfers.send import send_queued
from shanraq.credit_transfers.verify import verify

__all__ = [
    "PREFIX", "SEALED", "Arrived", "Clearing", "ClearingUnavailableError", "CreditTransfer",
    "CreditTransferNotFoundError", "Details", "Distrusted", "Interbank", "InvalidReasonError", "NewRecall",
    "NewTransfer", "NotRecallableError", "Recall", "RecallNotFoundError", "RecallOpenError", "RecallStatus",
    "Refused", "Rejection", "Route", "Sent", "Step", "Taken", "Terms", "Totals", "Trace", "TransferStatus",
    "Unconfirmed", "add_transfers", "ask", "details_of_transactions", "execute", "find_recall", "find_transfer",
    "forget", "list_transfers", "oldest_unanswered_seconds", "recall_transfer", "recalls_of_transfer", "send_queued",
    "take_news", "totals", "trace_transfer", "transfers_of_file", "verify", "walk_transfers",
]  # fmt: skip
