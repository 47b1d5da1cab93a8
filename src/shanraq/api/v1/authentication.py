"""Who am I: what the credentials of a request allow."""

from __future__ import annotations

from litestar import get

from shanraq.api.gate import ANY_SCOPE, CurrentActor
from shanraq.api.strict import View
from shanraq.core.actor import ActorKind, Environment


class Authentication(View, frozen=True):
    """Whom the credentials belong to and what they allow."""

    kind: ActorKind
    id: str
    partner_id: str | None
    environment: Environment | None
    livemode: bool
    certifying: bool
    scopes: list[str]


@get("/v1/authentication", operation_id="get_authentication", tags=["Authentication"], opt={"scope": ANY_SCOPE})
async def get_authentication(actor: CurrentActor) -> Authentication:
    """Tell whom these credentials belong to, in which environment, and what they allow."""
    return Authentication(
        kind=actor.kind,
        id=actor.id,
        partner_id=actor.partner_id or None,
        environment=actor.environment,
        livemode=actor.livemode,
        certifying=actor.certifying,
        scopes=sorted(actor.scopes),
    )


ROUTES = [get_authentication]
