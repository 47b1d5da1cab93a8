"""Know your customer: a partner's persons and firms, their details sealed."""

from shanraq.kyc.erase import erase_customer
from shanraq.kyc.errors import (
    CustomerErasedError,
    CustomerKindError,
    CustomerNotFoundError,
    CustomerReferenceTakenError,
    CustomerVersionError,
)
from shanraq.kyc.find import find_customer, list_customers, require_customer
from shanraq.kyc.model import (
    Address,
    Company,
    Customer,
    CustomerChange,
    CustomerKind,
    CustomerStatus,
    Details,
    KycStatus,
    NewCustomer,
    Person,
)
from shanraq.kyc.register import register_customer
from shanraq.kyc.store import SEALED
from shanraq.kyc.update import update_customer

__all__ = [
    "SEALED",
    "Address",
    "Company",
    "Customer",
    "CustomerChange",
    "CustomerErasedError",
    "CustomerKind",
    "CustomerKindError",
    "CustomerNotFoundError",
    "CustomerReferenceTakenError",
    "CustomerStatus",
    "CustomerVersionError",
    "Details",
    "KycStatus",
    "NewCustomer",
    "Person",
    "erase_customer",
    "find_customer",
    "list_customers",
    "register_customer",
    "require_customer",
    "update_customer",
]
