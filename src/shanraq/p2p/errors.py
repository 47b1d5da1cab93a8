"""Why a transfer is refused."""

from __future__ import annotations

from shanraq.core.errors import NotFoundError, RefusedError


class P2PTransferNotFoundError(NotFoundError, code="p2p_transfer_not_found", status=404):
    """There is no such transfer, or it is not yours."""


class NotACustomerAccountError(RefusedError, code="not_a_customer_account", status=422):
    """P2P transfers go from one customer's account to another's."""
