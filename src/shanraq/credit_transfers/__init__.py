"""Credit transfers: instructions of payment files, carried out in the ledger or through a clearing system."""

from shanraq.credit_transfers.add import add_transfers
from shanraq.credit_transfers.errors import CreditTransferNotFoundError
from shanraq.credit_transfers.find import (
    Totals,
    details_of_transactions,
    find_transfer,
    list_transfers,
    totals,
    transfers_of_file,
)
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

__all__ = [
    "PREFIX", "CreditTransfer", "CreditTransferNotFoundError", "Details", "NewTransfer", "Recall", "RecallStatus", "Rejection",
    "Route", "Step", "Totals", "TransferStatus", "add_transfers", "details_of_transactions", "find_transfer",
    "list_transfers", "totals", "transfers_of_file",
]  # fmt: skip
