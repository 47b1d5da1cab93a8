"""P2P: transfers from one customer to another."""

from shanraq.p2p.errors import NotACustomerAccountError, P2PTransferNotFoundError
from shanraq.p2p.find import find_transfer, list_transfers
from shanraq.p2p.model import NewP2PTransfer, P2PStatus, P2PTransfer
from shanraq.p2p.roll_back import roll_back
from shanraq.p2p.transfer import transfer

__all__ = [
    "NewP2PTransfer",
    "NotACustomerAccountError",
    "P2PStatus",
    "P2PTransfer",
    "P2PTransferNotFoundError",
    "find_transfer",
    "list_transfers",
    "roll_back",
    "transfer",
]
