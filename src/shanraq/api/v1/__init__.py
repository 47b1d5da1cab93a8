"""Version 1 of the REST interface: a file a noun."""

from shanraq.api.v1 import (
    account_reports,
    accounts,
    authentication,
    credit_transfers,
    customers,
    events,
    messages,
    p2p_transfers,
    partners,
    payment_files,
    payment_methods,
    payments,
    recalls,
    routing,
    transactions,
    webhook_endpoints,
)

ROUTES = [
    *authentication.ROUTES,
    *partners.ROUTES,
    *customers.ROUTES,
    *accounts.ROUTES,
    *account_reports.ROUTES,
    *messages.ROUTES,
    *transactions.ROUTES,
    *payment_methods.ROUTES,
    *payments.ROUTES,
    *routing.ROUTES,
    *p2p_transfers.ROUTES,
    *recalls.ROUTES,
    *payment_files.ROUTES,
    *credit_transfers.ROUTES,
    *webhook_endpoints.ROUTES,
    *events.ROUTES,
]

__all__ = ["ROUTES"]
