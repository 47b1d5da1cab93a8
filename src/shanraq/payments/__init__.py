"""Payments: money from a payment system to an account, through an adapter; the card vault."""

from shanraq.payments.authorize import authorize
from shanraq.payments.capture import capture
from shanraq.payments.errors import (
    AmountNotCapturableError,
    AmountNotRefundableError,
    CardExpiredError,
    ForestalledError,
    InvalidExpiryError,
    NoAdapterError,
    PaymentBusyError,
    PaymentMethodNotFoundError,
    PaymentNotFoundError,
    RefundSpansCapturesError,
    VoidRefusedError,
)
from shanraq.payments.find import find_payment, list_operations, list_payments
from shanraq.payments.forestall import forestall
from shanraq.payments.model import (
    BillingDetails,
    Failure,
    Gateways,
    NewCard,
    NewPayment,
    Operation,
    OperationStatus,
    Payment,
    PaymentMethod,
    PaymentStatus,
)
from shanraq.payments.recover import oldest_unknown_seconds, recover
from shanraq.payments.refund import refund
from shanraq.payments.retention import CardRetention, purge_cards
from shanraq.payments.send import Acquiring
from shanraq.payments.texts import CardDataInTextError, refuse_card_numbers
from shanraq.payments.vault import (
    SEALED,
    delete_payment_method,
    find_payment_method,
    list_payment_methods,
    tokenize,
)
from shanraq.payments.void import void

__all__ = [
    "SEALED",
    "Acquiring",
    "AmountNotCapturableError",
    "AmountNotRefundableError",
    "BillingDetails",
    "CardDataInTextError",
    "CardExpiredError",
    "CardRetention",
    "Failure",
    "ForestalledError",
    "Gateways",
    "InvalidExpiryError",
    "NewCard",
    "NewPayment",
    "NoAdapterError",
    "Operation",
    "OperationStatus",
    "Payment",
    "PaymentBusyError",
    "PaymentMethod",
    "PaymentMethodNotFoundError",
    "PaymentNotFoundError",
    "PaymentStatus",
    "RefundSpansCapturesError",
    "VoidRefusedError",
    "authorize",
    "capture",
    "delete_payment_method",
    "find_payment",
    "find_payment_method",
    "forestall",
    "list_operations",
    "list_payment_methods",
    "list_payments",
    "oldest_unknown_seconds",
    "purge_cards",
    "recover",
    "refund",
    "refuse_card_numbers",
    "tokenize",
    "void",
]
