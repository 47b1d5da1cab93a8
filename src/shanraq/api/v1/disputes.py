"""Disputes: chargebacks of card payments, and what the partner answers."""

from __future__ import annotations

from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import settlement
from shanraq.api.answer import Answer
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View

_TAGS = ["Disputes"]
_READ = {"scope": "disputes:read"}
_WRITE = {"scope": "disputes:write"}


class DisputeList(View, frozen=True):
    """A page of disputes, newest first."""

    items: list[settlement.Dispute]
    next_cursor: str = ""


@get("/v1/disputes", operation_id="list_disputes", tags=_TAGS, opt=_READ)
async def list_disputes(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    payment_id: Annotated[str | None, QueryParameter(max_length=30, description="Only those of this payment.")] = None,
    stage: Annotated[settlement.DisputeStage | None, QueryParameter(description="Only those at this stage.")] = None,
) -> DisputeList:
    """List disputes."""
    found = await settlement.list_disputes(services.db, actor, page(cursor, limit), payment_id=payment_id, stage=stage)
    return DisputeList(list(found.items), found.next_cursor)


@get("/v1/disputes/{dispute_id:str}", operation_id="get_dispute", tags=_TAGS, opt=_READ)
async def get_dispute(dispute_id: FromPath[str], actor: CurrentActor, services: Services) -> settlement.Dispute:
    """Read a dispute."""
    return await settlement.find_dispute(services.db, actor, dispute_id)


@post(
    "/v1/disputes/{dispute_id:str}/accept",
    operation_id="accept_dispute",
    tags=_TAGS,
    opt=_WRITE,
    responses=problems(409),
    status_code=200,
)
async def accept_dispute(dispute_id: FromPath[str], actor: CurrentActor, services: Services) -> settlement.Dispute:
    """Accept a dispute: the money stays with the cardholder."""
    return await settlement.accept_dispute(services.db, actor, dispute_id)


@post(
    "/v1/disputes/{dispute_id:str}/represent",
    operation_id="represent_dispute",
    tags=_TAGS,
    opt=_WRITE,
    responses=problems(409, 422),
    status_code=200,
)
async def represent_dispute(
    dispute_id: FromPath[str], data: JSONBody[settlement.Representment], actor: CurrentActor, services: Services
) -> settlement.Dispute:
    """Fight a dispute with evidence.

    The payment systems document no call for it: the platform keeps the evidence and an operator hands it in as a file.
    """
    return await settlement.represent_dispute(services.db, services.keyring, actor, dispute_id, data)


@get("/v1/disputes/{dispute_id:str}/evidence", operation_id="get_dispute_evidence", tags=_TAGS, opt=_READ)
async def get_dispute_evidence(
    dispute_id: FromPath[str], actor: CurrentActor, services: Services
) -> Answer[settlement.Evidence]:
    """Read the evidence of a representment with its dispute, as the file that is handed in."""
    exported = await settlement.export_evidence(services.db, services.keyring, actor, dispute_id)
    return Answer(exported, headers={"Content-Disposition": f'attachment; filename="{exported.dispute.id}.json"'})


ROUTES = [list_disputes, get_dispute, accept_dispute, represent_dispute, get_dispute_evidence]
