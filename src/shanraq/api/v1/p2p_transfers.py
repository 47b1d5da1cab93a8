"""P2P transfers: from one customer to another."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath, JSONBody

from shanraq import p2p
from shanraq.api.answer import Answer, IdempotencyKey
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import AccountFilter, Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View

_TAGS = ["P2P transfers"]


class P2PTransferList(View, frozen=True):
    """A page of transfers, newest first."""

    items: list[p2p.P2PTransfer]
    next_cursor: str = ""


@post(
    "/v1/p2p-transfers",
    operation_id="create_p2p_transfer",
    tags=_TAGS,
    opt={"scope": "p2p:write"},
    responses=problems(404),
)
async def create_p2p_transfer(
    data: JSONBody[p2p.NewP2PTransfer], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[p2p.P2PTransfer]:
    """Transfer money from one customer's account to another's.

    The outcome is `status`: `completed`, or `failed` with `failure`, such as `insufficient_funds`.
    """
    return await services.answered(actor, await p2p.transfer(services.db, actor, idempotency_key, data))


@get("/v1/p2p-transfers", operation_id="list_p2p_transfers", tags=_TAGS, opt={"scope": "p2p:read"})
async def list_p2p_transfers(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    account_id: AccountFilter = None,
) -> P2PTransferList:
    """List transfers."""
    found = await p2p.list_transfers(services.db, actor, page(cursor, limit), account_id=account_id)
    return P2PTransferList(list(found.items), found.next_cursor)


@get("/v1/p2p-transfers/{p2p_transfer_id:str}", operation_id="get_p2p_transfer", tags=_TAGS, opt={"scope": "p2p:read"})
async def get_p2p_transfer(p2p_transfer_id: FromPath[str], actor: CurrentActor, services: Services) -> p2p.P2PTransfer:
    """Read a transfer."""
    return await p2p.find_transfer(services.db, actor, p2p_transfer_id)


@post(
    "/v1/p2p-transfers/{p2p_transfer_id:str}/roll-back",
    operation_id="roll_back_p2p_transfer",
    tags=_TAGS,
    opt={"scope": "p2p:write"},
    status_code=200,
)
async def roll_back_p2p_transfer(
    p2p_transfer_id: FromPath[str], actor: CurrentActor, services: Services, idempotency_key: IdempotencyKey
) -> Answer[p2p.P2PTransfer]:
    """Give the money of a completed transfer back to its sender."""
    return await services.answered(actor, await p2p.roll_back(services.db, actor, idempotency_key, p2p_transfer_id))


ROUTES = [create_p2p_transfer, list_p2p_transfers, get_p2p_transfer, roll_back_p2p_transfer]
