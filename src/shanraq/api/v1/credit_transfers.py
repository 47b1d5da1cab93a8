"""Credit transfers: single instructions of payment files."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from shanraq import credit_transfers
from shanraq.api.gate import CurrentActor
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View

_TAGS = ["Credit transfers"]


class CreditTransferList(View, frozen=True):
    """A page of credit transfers, newest first."""

    items: list[credit_transfers.CreditTransfer]
    next_cursor: str = ""


@get(
    "/v1/credit-transfers",
    operation_id="list_credit_transfers",
    tags=_TAGS,
    opt={"scope": "payment_files:read"},
)
async def list_credit_transfers(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    payment_file_id: Annotated[
        str | None, QueryParameter(max_length=30, description="Only those of this payment file.")
    ] = None,
    uetr: Annotated[
        str | None, QueryParameter(max_length=36, description="Only the one with this end-to-end reference (UUID).")
    ] = None,
    end_to_end_id: Annotated[
        str | None, QueryParameter(max_length=35, description="Only those with this end-to-end identification.")
    ] = None,
) -> CreditTransferList:
    """List credit transfers."""
    found = await credit_transfers.list_transfers(
        services.db,
        actor,
        page(cursor, limit),
        payment_file_id=payment_file_id,
        uetr=uetr,
        end_to_end_id=end_to_end_id,
    )
    return CreditTransferList(list(found.items), found.next_cursor)


@get(
    "/v1/credit-transfers/{credit_transfer_id:str}",
    operation_id="get_credit_transfer",
    tags=_TAGS,
    opt={"scope": "payment_files:read"},
)
async def get_credit_transfer(
    credit_transfer_id: FromPath[str], actor: CurrentActor, services: Services
) -> credit_transfers.CreditTransfer:
    """Read a credit transfer."""
    return await credit_transfers.find_transfer(services.db, actor, credit_transfer_id)


ROUTES = [list_credit_transfers, get_credit_transfer]
