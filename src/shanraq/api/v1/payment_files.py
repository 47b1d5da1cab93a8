"""Payment files: upload a pain.001, follow it, fetch its status report."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get, post
from litestar.params import FromPath, QueryParameter

from shanraq import payment_files
from shanraq.api.answer import Answer, IdempotencyKey, Streamed
from shanraq.api.exchange import exchange_of
from shanraq.api.gate import CurrentActor
from shanraq.api.inflate import unpacked
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import View
from shanraq.api.v1.credit_transfers import CreditTransferList

_TAGS = ["Payment files"]
_XML = "application/xml"


class PaymentFileList(View, frozen=True):
    """A page of payment files, newest first."""

    items: list[payment_files.PaymentFile]
    next_cursor: str = ""


@post(
    "/v1/payment-files",
    operation_id="upload_payment_file",
    tags=_TAGS,
    opt={"scope": "payment_files:write", "upload": (_XML, "text/xml"), "security": ("api_key",)},
    status_code=202,
)
async def upload_payment_file(
    request: Request[Any, Any, Any],
    actor: CurrentActor,
    services: Services,
    idempotency_key: IdempotencyKey,
    name: Annotated[str | None, QueryParameter(max_length=100, description="Your own name of it.")] = None,
    profile: Annotated[
        payment_files.FileProfile | None,
        QueryParameter(description="The usage profile it is validated under; `iso` if not given. Write `cbpr%2B`."),
    ] = None,
) -> Answer[payment_files.PaymentFile]:
    """Upload a pain.001 of any version: each of its transactions becomes a credit transfer.

    The answer comes when the file is stored; it is validated after that. Events tell of its acceptance or rejection and of
    its completion. The same bytes under another key are refused (`payment_file_duplicate`).
    """
    exchange = exchange_of(request.scope)
    given = await payment_files.receive(
        services.db,
        services.keyring,
        actor,
        idempotency_key,
        payment_files.NewPaymentFile(name=name or "", profile=profile or payment_files.FileProfile.ISO),
        unpacked(exchange.headers, exchange.arriving.stream()),
        limit_bytes=services.payment_file_limit_bytes,
    )
    return await services.answered(actor, given, {"Location": f"/v1/payment-files/{given.value.id}"})


@get("/v1/payment-files", operation_id="list_payment_files", tags=_TAGS, opt={"scope": "payment_files:read"})
async def list_payment_files(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    status: Annotated[
        payment_files.FileStatus | None, QueryParameter(description="Only those with this status.")
    ] = None,
) -> PaymentFileList:
    """List payment files."""
    found = await payment_files.list_files(services.db, actor, page(cursor, limit), status=status)
    return PaymentFileList(list(found.items), found.next_cursor)


@get(
    "/v1/payment-files/{payment_file_id:str}",
    operation_id="get_payment_file",
    tags=_TAGS,
    opt={"scope": "payment_files:read"},
)
async def get_payment_file(
    payment_file_id: FromPath[str], actor: CurrentActor, services: Services
) -> payment_files.PaymentFile:
    """Read a payment file: where it stands, what was found in it, how many of its transfers stand where."""
    return await payment_files.find_file(services.db, actor, payment_file_id)


@get(
    "/v1/payment-files/{payment_file_id:str}/status-report",
    operation_id="get_payment_file_status_report",
    tags=_TAGS,
    opt={"scope": "payment_files:read"},
    media_type=_XML,
)
async def get_payment_file_status_report(
    payment_file_id: FromPath[str],
    actor: CurrentActor,
    services: Services,
    version: Annotated[
        str | None,
        QueryParameter(
            max_length=15, description="pain.002.001.03 to .15; that of the order's generation if not given."
        ),
    ] = None,
    only: Annotated[
        payment_files.Detail | None,
        QueryParameter(description="`rejected`: counts of all, single transactions only where they are rejected."),
    ] = None,
) -> Answer[str]:
    """Fetch the status report (pain.002) of a payment file, as it stands now."""
    report = await payment_files.report(
        services.db, actor, payment_file_id, version=version, detail=only or payment_files.Detail.ALL
    )
    return Streamed(report.chunks(), _XML)


@get(
    "/v1/payment-files/{payment_file_id:str}/transfers",
    operation_id="list_payment_file_transfers",
    tags=_TAGS,
    opt={"scope": "payment_files:read"},
)
async def list_payment_file_transfers(
    payment_file_id: FromPath[str], actor: CurrentActor, services: Services, cursor: Cursor = None, limit: Limit = None
) -> CreditTransferList:
    """List the credit transfers of a payment file, newest first."""
    found = await payment_files.transfers_of_file(services.db, actor, payment_file_id, page(cursor, limit))
    return CreditTransferList(list(found.items), found.next_cursor)


ROUTES = [
    upload_payment_file,
    list_payment_files,
    get_payment_file,
    get_payment_file_status_report,
    list_payment_file_transfers,
]
