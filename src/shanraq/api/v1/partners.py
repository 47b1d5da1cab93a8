"""Partners: onboarding, API keys, preferences, certification."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from shanraq import partners
from shanraq.api.gate import CurrentActor
from shanraq.api.openapi import problems
from shanraq.api.parameters import Cursor, Limit, page
from shanraq.api.services import Services
from shanraq.api.strict import Body, View
from shanraq.core.fields import LongText
from shanraq.core.secret import Secret

_ONBOARDING = ["Onboarding"]
_OPERATORS = ["Partners (operators)"]
_KEYS = ["API keys"]
_OPERATOR = ("operator",)
_PARTNER = ("api_key", "signature")


class ApplicationAnswer(View, frozen=True):
    """The application, and the token with which the applicant takes the first API key once it is approved."""

    partner: partners.Partner
    claim_token: str


class Claim(Body, frozen=True):
    """The claim token that the application was answered with."""

    claim_token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class IssuedKeyView(View, frozen=True):
    """A new API key with its secrets, shown this once.

    `secret` is the password of HTTP Basic, the key's id its user; `signing_secret` the HMAC key of signed requests.
    """

    key: partners.ApiKey
    secret: str
    signing_secret: str

    @classmethod
    def of(cls, issued: partners.IssuedKey) -> IssuedKeyView:
        """Show a key that was just issued."""
        return cls(issued.key, issued.secret.reveal(), issued.signing_secret.reveal())


class KeyList(View, frozen=True):
    """A page of API keys, newest first."""

    items: list[partners.ApiKey]
    next_cursor: str = ""


class KeyRotation(Body, frozen=True):
    """How long the old key goes on working beside the new one."""

    overlap_seconds: Annotated[int, msgspec.Meta(ge=0, le=604_800)] = 86_400


class PartnerList(View, frozen=True):
    """A page of partners, newest first."""

    items: list[partners.Partner]
    next_cursor: str = ""


class PartnerReason(Body, frozen=True):
    """Why."""

    reason: LongText


@post(
    "/v1/partner-applications",
    operation_id="apply",
    tags=_ONBOARDING,
    opt={"public": True},
    responses=problems(503),
)
async def apply(data: JSONBody[partners.Application], services: Services) -> ApplicationAnswer:
    """Apply to become a partner: the first of five steps.

    Keep the claim token: once the application is approved it is exchanged for the first API key.
    """
    partner, token = await partners.apply(services.db, services.keyring, data)
    return ApplicationAnswer(partner, token.reveal())


@post(
    "/v1/partner-applications/claim",
    operation_id="claim_key",
    tags=_ONBOARDING,
    opt={"public": True},
    responses=problems(401, 403, 409, 503),
)
async def claim_key(data: JSONBody[Claim], services: Services) -> IssuedKeyView:
    """Exchange the claim token of an approved application for the first API key, once.

    The key is for the sandbox and has every scope.
    """
    return IssuedKeyView.of(await partners.claim_key(services.db, services.keyring, Secret(data.claim_token)))


@get(
    "/v1/partner",
    operation_id="get_own_partner",
    tags=_ONBOARDING,
    opt={"scope": "settings:read", "security": _PARTNER},
)
async def get_own_partner(actor: CurrentActor, services: Services) -> partners.Partner:
    """Read your own partner."""
    return await partners.find_partner(services.db, actor)


@get(
    "/v1/partner/preferences",
    operation_id="get_preferences",
    tags=_ONBOARDING,
    opt={"scope": "settings:read", "security": _PARTNER},
)
async def get_preferences(actor: CurrentActor, services: Services) -> partners.Preferences:
    """Read the preferences of the key's environment."""
    return await partners.find_preferences(services.db, actor)


@put(
    "/v1/partner/preferences",
    operation_id="set_preferences",
    tags=_ONBOARDING,
    opt={"scope": "settings:write", "security": _PARTNER},
)
async def set_preferences(
    data: JSONBody[partners.Preferences], actor: CurrentActor, services: Services
) -> partners.Preferences:
    """Replace the preferences of the key's environment."""
    return await partners.configure(services.db, actor, data)


@post(
    "/v1/partner/certification",
    operation_id="start_certification",
    tags=_ONBOARDING,
    opt={"scope": "settings:write", "security": _PARTNER},
    responses=problems(422),
)
async def start_certification(actor: CurrentActor, services: Services) -> partners.Certification:
    """Start a certification run in the sandbox, or read the one that is open.

    From now on the platform ticks off what it sees you do: an authenticated call, an approved payment, a decline, a refund, an
    acknowledged webhook, a repeated request with the same key.
    """
    return await partners.start_certification(services.db, actor)


@get(
    "/v1/partner/certification",
    operation_id="get_certification",
    tags=_ONBOARDING,
    opt={"scope": "settings:read", "security": _PARTNER},
    responses=problems(404, 422),
)
async def get_certification(actor: CurrentActor, services: Services) -> partners.Certification:
    """Read what the latest certification run has seen."""
    return await partners.certification(services.db, actor)


@post(
    "/v1/partner/go-live",
    operation_id="go_live",
    tags=_ONBOARDING,
    opt={"scope": "settings:write", "security": _PARTNER},
    responses=problems(409, 422),
    status_code=200,
)
async def go_live(actor: CurrentActor, services: Services) -> partners.Partner:
    """Go live after certification; then live keys can be issued."""
    return await partners.go_live(services.db, actor)


@post(
    "/v1/api-keys",
    operation_id="issue_api_key",
    tags=_KEYS,
    opt={"scope": "keys:write", "security": _PARTNER},
    responses=problems(422),
)
async def issue_api_key(data: JSONBody[partners.NewKey], actor: CurrentActor, services: Services) -> IssuedKeyView:
    """Issue an API key, with no more scopes than your own; its secrets are shown this once."""
    return IssuedKeyView.of(await partners.issue_key(services.db, services.keyring, actor, data))


@get("/v1/api-keys", operation_id="list_api_keys", tags=_KEYS, opt={"scope": "keys:read", "security": _PARTNER})
async def list_api_keys(actor: CurrentActor, services: Services, cursor: Cursor = None, limit: Limit = None) -> KeyList:
    """List the API keys of the key's environment."""
    found = await partners.list_keys(services.db, actor, page(cursor, limit))
    return KeyList(list(found.items), found.next_cursor)


@post(
    "/v1/api-keys/{key_id:str}/rotate",
    operation_id="rotate_api_key",
    tags=_KEYS,
    opt={"scope": "keys:write", "security": _PARTNER},
    responses=problems(409),
)
async def rotate_api_key(
    key_id: FromPath[str], data: JSONBody[KeyRotation], actor: CurrentActor, services: Services
) -> IssuedKeyView:
    """Replace an API key by a new one; the old one works for a while more."""
    issued = await partners.rotate_key(services.db, services.keyring, actor, key_id, data.overlap_seconds)
    return IssuedKeyView.of(issued)


@delete(
    "/v1/api-keys/{key_id:str}",
    operation_id="revoke_api_key",
    tags=_KEYS,
    opt={"scope": "keys:write", "security": _PARTNER},
    status_code=200,
)
async def revoke_api_key(key_id: FromPath[str], actor: CurrentActor, services: Services) -> partners.ApiKey:
    """End an API key for ever; it stops working within a second everywhere."""
    return await partners.revoke_key(services.db, actor, key_id)


@post(
    "/v1/partners",
    operation_id="apply_for_partner",
    tags=_OPERATORS,
    opt={"scope": partners.ONBOARD, "security": _OPERATOR},
)
async def apply_for_partner(
    data: JSONBody[partners.Application], actor: CurrentActor, services: Services
) -> ApplicationAnswer:
    """Write an application down for a company; another operator has to approve it.

    Hand the claim token over to the company and keep no copy.
    """
    partner, token = await partners.apply(services.db, services.keyring, data, actor)
    return ApplicationAnswer(partner, token.reveal())


@get("/v1/partners", operation_id="list_partners", tags=_OPERATORS, opt={"scope": partners.READ, "security": _OPERATOR})
async def list_partners(
    actor: CurrentActor,
    services: Services,
    cursor: Cursor = None,
    limit: Limit = None,
    status: Annotated[partners.PartnerStatus | None, QueryParameter(description="Only those with this status.")] = None,
) -> PartnerList:
    """List partners."""
    found = await partners.list_partners(services.db, actor, page(cursor, limit), status=status)
    return PartnerList(list(found.items), found.next_cursor)


@get(
    "/v1/partners/{partner_id:str}",
    operation_id="get_partner",
    tags=_OPERATORS,
    opt={"scope": partners.READ, "security": _OPERATOR},
)
async def get_partner(partner_id: FromPath[str], actor: CurrentActor, services: Services) -> partners.Partner:
    """Read a partner."""
    return await partners.find_partner(services.db, actor, partner_id)


@post(
    "/v1/partners/{partner_id:str}/approve",
    operation_id="approve_partner",
    tags=_OPERATORS,
    opt={"scope": partners.APPROVE, "security": _OPERATOR},
    responses=problems(409),
    status_code=200,
)
async def approve_partner(partner_id: FromPath[str], actor: CurrentActor, services: Services) -> partners.Partner:
    """Approve an application that another operator, or the company itself, has made."""
    return await partners.approve(services.db, actor, partner_id)


@post(
    "/v1/partners/{partner_id:str}/reject",
    operation_id="reject_partner",
    tags=_OPERATORS,
    opt={"scope": partners.APPROVE, "security": _OPERATOR},
    responses=problems(409),
    status_code=200,
)
async def reject_partner(
    partner_id: FromPath[str], data: JSONBody[PartnerReason], actor: CurrentActor, services: Services
) -> partners.Partner:
    """Reject an application."""
    return await partners.reject(services.db, actor, partner_id, data.reason)


@post(
    "/v1/partners/{partner_id:str}/suspend",
    operation_id="suspend_partner",
    tags=_OPERATORS,
    opt={"scope": partners.SUSPEND, "security": _OPERATOR},
    responses=problems(409),
    status_code=200,
)
async def suspend_partner(
    partner_id: FromPath[str], data: JSONBody[PartnerReason], actor: CurrentActor, services: Services
) -> partners.Partner:
    """Stop all keys of a partner."""
    return await partners.suspend(services.db, actor, partner_id, data.reason)


@post(
    "/v1/partners/{partner_id:str}/resume",
    operation_id="resume_partner",
    tags=_OPERATORS,
    opt={"scope": partners.SUSPEND, "security": _OPERATOR},
    responses=problems(409),
    status_code=200,
)
async def resume_partner(partner_id: FromPath[str], actor: CurrentActor, services: Services) -> partners.Partner:
    """Let a suspended partner go on where it was."""
    return await partners.resume(services.db, actor, partner_id)


@post(
    "/v1/partners/{partner_id:str}/close",
    operation_id="close_partner",
    tags=_OPERATORS,
    opt={"scope": partners.SUSPEND, "security": _OPERATOR},
    responses=problems(409),
    status_code=200,
)
async def close_partner(
    partner_id: FromPath[str], data: JSONBody[PartnerReason], actor: CurrentActor, services: Services
) -> partners.Partner:
    """Close a partner for ever; what it did stays."""
    return await partners.close(services.db, actor, partner_id, data.reason)


ROUTES = [
    apply,
    claim_key,
    get_own_partner,
    get_preferences,
    set_preferences,
    start_certification,
    get_certification,
    go_live,
    issue_api_key,
    list_api_keys,
    rotate_api_key,
    revoke_api_key,
    apply_for_partner,
    list_partners,
    get_partner,
    approve_partner,
    reject_partner,
    suspend_partner,
    resume_partner,
    close_partner,
]
