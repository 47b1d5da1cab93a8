"""Credit transfers after they were sent: what became of them, and asking for them back."""

from __future__ import annotations

from litestar import get, post
from litestar.params import FromPath, JSONBody

from shanraq import credit_transfers
from shanraq.api.answer import Answer, IdempotencyKey
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.services import Services
from shanraq.api.strict import View

_TAGS = ["Credit transfers"]


class RecallList(View, frozen=True):
    """The recalls of a transfer, oldest first."""

    items: list[credit_transfers.Recall]


@post(
    "/v1/credit-transfers/{credit_transfer_id:str}/recalls",
    operation_id="recall_credit_transfer",
    tags=_TAGS,
    opt={"scope": "payment_files:write"},
    responses=problems(404, 409),
)
async def recall_credit_transfer(
    credit_transfer_id: FromPath[str],
    data: JSONBody[credit_transfers.NewRecall],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
) -> Answer[credit_transfers.Recall]:
    """Ask the clearing system for a transfer back (camt.056).

    The answer comes later, as `status` of the recall and as the event `recall.answered`; the money with
    `credit_transfer.returned`.
    """
    given = await credit_transfers.recall_transfer(services.interbank, actor, idempotency_key, credit_transfer_id, data)
    return await services.answered(actor, given)


@get(
    "/v1/credit-transfers/{credit_transfer_id:str}/recalls",
    operation_id="list_recalls",
    tags=_TAGS,
    opt={"scope": "payment_files:read"},
)
async def list_recalls(credit_transfer_id: FromPath[str], actor: CurrentActor, services: Services) -> RecallList:
    """List the recalls of a transfer."""
    return RecallList(await credit_transfers.recalls_of_transfer(services.db, actor, credit_transfer_id))


@get("/v1/recalls/{recall_id:str}", operation_id="get_recall", tags=_TAGS, opt={"scope": "payment_files:read"})
async def get_recall(recall_id: FromPath[str], actor: CurrentActor, services: Services) -> credit_transfers.Recall:
    """Read a recall."""
    return await credit_transfers.find_recall(services.db, actor, recall_id)


@get(
    "/v1/credit-transfers/{credit_transfer_id:str}/trace",
    operation_id="trace_credit_transfer",
    tags=_TAGS,
    opt={"scope": "payment_files:read"},
)
async def trace_credit_transfer(
    credit_transfer_id: FromPath[str], actor: CurrentActor, services: Services
) -> credit_transfers.Trace:
    """Follow a transfer: every message about it, in order, and its recalls.

    `payment_file_id` is where it came from (pain.001), `transaction_id` what account statements (camt.053) show.
    """
    return await credit_transfers.trace_transfer(services.db, actor, credit_transfer_id)


ROUTES = [recall_credit_transfer, list_recalls, get_recall, trace_credit_transfer]
