"""Webhook endpoints: where events are delivered, how they are signed, what became of each delivery."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import webhooks
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import Body, View

_TAGS = ["Webhook endpoints"]


class SecretView(View, frozen=True):
    """What a receiver verifies signatures with (Standard Webhooks): `whsec_...`, or the public half of a key, `whpk_...`."""

    kind: webhooks.SecretKind
    secret: str
    created_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, secret: webhooks.EndpointSecret) -> SecretView:
        """Show a secret."""
        return cls(secret.kind, secret.text.reveal(), secret.created_at, secret.expires_at)


class SecretList(View, frozen=True):
    """The secrets that sign for an endpoint, newest first."""

    items: list[SecretView]


class NewEndpointView(View, frozen=True):
    """A new endpoint, with its secret."""

    endpoint: webhooks.Endpoint
    secret: SecretView


class EndpointList(View, frozen=True):
    """A page of endpoints, newest first."""

    items: list[webhooks.Endpoint]
    next_cursor: str = ""


class DeliveryList(View, frozen=True):
    """A page of deliveries."""

    items: list[webhooks.Delivery]
    next_cursor: str = ""


class AttemptList(View, frozen=True):
    """A page of attempts, newest first."""

    items: list[webhooks.Attempt]
    next_cursor: str = ""


class Rotation(Body, frozen=True):
    """How long the old secret goes on signing beside the new one."""

    grace_seconds: Annotated[int, msgspec.Meta(ge=0, le=604_800)] = 86_400
    kind: webhooks.SecretKind = webhooks.SecretKind.HMAC

    EXAMPLE: ClassVar[dict[str, object]] = {"grace_seconds": 86_400}


class TestEvent(View, frozen=True):
    """The event a test delivery carries."""

    event_id: str


@post(
    "/v1/webhook-endpoints",
    operation_id="create_webhook_endpoint",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
    responses=problems(422),
)
async def create_webhook_endpoint(
    data: JSONBody[webhooks.NewEndpoint], actor: CurrentActor, services: Services
) -> NewEndpointView:
    """Add an endpoint, and get the secret to verify its deliveries with."""
    endpoint, secret = await webhooks.subscribe(
        services.db, actor, data, keyring=services.keyring, policy=services.webhook_policy
    )
    return NewEndpointView(endpoint, SecretView.of(secret))


@get("/v1/webhook-endpoints", operation_id="list_webhook_endpoints", tags=_TAGS, opt={"scope": webhooks.READ})
async def list_webhook_endpoints(
    actor: CurrentActor, services: Services, cursor: Cursor = None, limit: Limit = None
) -> EndpointList:
    """List endpoints."""
    found = await webhooks.list_endpoints(services.db, actor, page(cursor, limit))
    return EndpointList(list(found.items), found.next_cursor)


@get(
    "/v1/webhook-endpoints/{endpoint_id:str}",
    operation_id="get_webhook_endpoint",
    tags=_TAGS,
    opt={"scope": webhooks.READ},
)
async def get_webhook_endpoint(
    endpoint_id: FromPath[str], actor: CurrentActor, services: Services
) -> webhooks.Endpoint:
    """Read an endpoint."""
    return await webhooks.find_endpoint(services.db, actor, endpoint_id)


@patch(
    "/v1/webhook-endpoints/{endpoint_id:str}",
    operation_id="update_webhook_endpoint",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
    responses=problems(409, 422),
)
async def update_webhook_endpoint(
    endpoint_id: FromPath[str], data: JSONBody[webhooks.EndpointChange], actor: CurrentActor, services: Services
) -> webhooks.Endpoint:
    """Change an endpoint.

    `version` is that of the endpoint as you read it; if it was changed since, the request is refused.
    """
    return await webhooks.update_endpoint(
        services.db, actor, endpoint_id, data, keyring=services.keyring, policy=services.webhook_policy
    )


@delete(
    "/v1/webhook-endpoints/{endpoint_id:str}",
    operation_id="delete_webhook_endpoint",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
)
async def delete_webhook_endpoint(endpoint_id: FromPath[str], actor: CurrentActor, services: Services) -> None:
    """Remove an endpoint; deliveries that wait for it are cancelled."""
    await webhooks.delete_endpoint(services.db, actor, endpoint_id)


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/pause",
    operation_id="pause_webhook_endpoint",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
    responses=problems(409),
    status_code=200,
)
async def pause_webhook_endpoint(
    endpoint_id: FromPath[str], actor: CurrentActor, services: Services
) -> webhooks.Endpoint:
    """Stop deliveries to an endpoint; they queue up."""
    return await webhooks.pause(services.db, actor, endpoint_id)


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/resume",
    operation_id="resume_webhook_endpoint",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
    responses=problems(409),
    status_code=200,
)
async def resume_webhook_endpoint(
    endpoint_id: FromPath[str], actor: CurrentActor, services: Services
) -> webhooks.Endpoint:
    """Let a paused or disabled endpoint go on, beginning with what queued up."""
    return await webhooks.resume(services.db, actor, endpoint_id)


@get(
    "/v1/webhook-endpoints/{endpoint_id:str}/secrets",
    operation_id="list_webhook_secrets",
    tags=_TAGS,
    opt={"scope": webhooks.READ_SECRETS},
)
async def list_webhook_secrets(endpoint_id: FromPath[str], actor: CurrentActor, services: Services) -> SecretList:
    """Read the secrets that sign for an endpoint; the reading is audited."""
    found = await webhooks.secret(services.db, actor, endpoint_id, keyring=services.keyring)
    return SecretList([SecretView.of(secret) for secret in found])


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/rotate-secret",
    operation_id="rotate_webhook_secret",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
    responses=problems(422),
)
async def rotate_webhook_secret(
    endpoint_id: FromPath[str], data: JSONBody[Rotation], actor: CurrentActor, services: Services
) -> SecretView:
    """Replace the secret of an endpoint; during the grace period both sign."""
    secret = await webhooks.rotate_secret(
        services.db,
        actor,
        endpoint_id,
        keyring=services.keyring,
        grace_seconds=data.grace_seconds,
        kind=data.kind,
    )
    return SecretView.of(secret)


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/test",
    operation_id="test_webhook_endpoint",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
    responses=problems(409),
)
async def send_test_event(endpoint_id: FromPath[str], actor: CurrentActor, services: Services) -> TestEvent:
    """Send `webhook_endpoint.ping` to an endpoint."""
    return TestEvent(await webhooks.send_test(services.db, actor, endpoint_id))


@get(
    "/v1/webhook-endpoints/{endpoint_id:str}/deliveries",
    operation_id="list_webhook_deliveries",
    tags=_TAGS,
    opt={"scope": webhooks.READ},
)
async def list_webhook_deliveries(
    endpoint_id: FromPath[str],
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    delivery_state: Annotated[
        webhooks.DeliveryState | None, QueryParameter(name="state", description="Only those in this state.")
    ] = None,
) -> DeliveryList:
    """List the deliveries of an endpoint, newest event first."""
    found = await webhooks.list_deliveries(services.db, actor, endpoint_id, page(cursor, limit), state=delivery_state)
    return DeliveryList(list(found.items), found.next_cursor)


@get(
    "/v1/webhook-endpoints/{endpoint_id:str}/attempts",
    operation_id="list_webhook_attempts",
    tags=_TAGS,
    opt={"scope": webhooks.READ},
)
async def list_webhook_attempts(
    endpoint_id: FromPath[str],
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    event_id: Annotated[str | None, QueryParameter(max_length=30, description="Only those of this event.")] = None,
) -> AttemptList:
    """List the attempts made to an endpoint, with what the receiver answered and how long each phase took."""
    found = await webhooks.attempts(services.db, actor, endpoint_id, page(cursor, limit), event_id=event_id)
    return AttemptList(list(found.items), found.next_cursor)


@post(
    "/v1/webhook-endpoints/{endpoint_id:str}/deliveries/{event_id:str}/resend",
    operation_id="resend_webhook",
    tags=_TAGS,
    opt={"scope": webhooks.WRITE},
    responses=problems(409),
    status_code=200,
)
async def resend_webhook(
    endpoint_id: FromPath[str], event_id: FromPath[str], actor: CurrentActor, services: Services
) -> webhooks.Delivery:
    """Send an event to an endpoint again, whatever became of it before; its `webhook-id` stays the same."""
    return await webhooks.redeliver(services.db, actor, event_id, endpoint_id)


ROUTES = [
    create_webhook_endpoint,
    list_webhook_endpoints,
    get_webhook_endpoint,
    update_webhook_endpoint,
    delete_webhook_endpoint,
    pause_webhook_endpoint,
    resume_webhook_endpoint,
    list_webhook_secrets,
    rotate_webhook_secret,
    send_test_event,
    list_webhook_deliveries,
    list_webhook_attempts,
    resend_webhook,
]
