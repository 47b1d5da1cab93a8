"""The paths of the API and what each means, with and without a slash at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from shanraq.simulators.mastercard.refusal import Refusal


class Resource(StrEnum):
    """What a path names."""

    INFORMATION = "information"
    TRANSACTION = "transaction"
    ORDER = "order"
    SESSIONS = "sessions"
    SESSION = "session"
    TOKENS = "tokens"
    TOKEN = "token"  # noqa: S105 - a path, no secret
    TOKEN_SEARCH = "token_search"  # noqa: S105 - a path, no secret
    RISK_ASSESSMENT = "risk_assessment"
    BATCH = "batch"
    PAYMENT_OPTIONS = "payment_options"
    HISTORY = "history"
    SETTLEMENT = "settlement"
    DISPUTES = "disputes"
    UPLOAD = "upload"
    UPLOAD_PART = "upload_part"


@dataclass(frozen=True, slots=True)
class Route:
    """A path taken apart. `ids` are the ids in it, oldest ancestor first; `version` as it stands in the path."""

    resource: Resource
    merchant_id: str = ""
    version: str = ""
    ids: tuple[str, ...] = ()
    query: str = ""


_METHODS: Final = {
    Resource.INFORMATION: {"GET"},
    Resource.TRANSACTION: {"PUT", "GET"},
    Resource.ORDER: {"GET"},
    Resource.SESSIONS: {"POST"},
    Resource.SESSION: {"PUT", "GET"},
    Resource.TOKENS: {"POST"},
    Resource.TOKEN: {"PUT", "GET", "DELETE"},
    Resource.TOKEN_SEARCH: {"POST"},
    Resource.RISK_ASSESSMENT: {"PUT"},
    Resource.BATCH: {"PUT"},
    Resource.PAYMENT_OPTIONS: {"POST"},
    Resource.HISTORY: {"GET"},
    Resource.SETTLEMENT: {"GET"},
    Resource.DISPUTES: {"GET"},
    Resource.UPLOAD: {"PUT", "GET"},
    Resource.UPLOAD_PART: {"GET"},
}
_MERCHANT: Final = r"/merchant/([^/]+)"
_API: Final = r"/api/rest/version/([0-9]{1,6})"
_PATHS: Final = tuple(
    (re.compile(pattern + "/?", re.ASCII), resource)
    for pattern, resource in (
        (_API + r"/information", Resource.INFORMATION),
        (_API + _MERCHANT + r"/order/([^/]+)/transaction/([^/]+)", Resource.TRANSACTION),
        (_API + _MERCHANT + r"/order/([^/]+)", Resource.ORDER),
        (_API + _MERCHANT + r"/session", Resource.SESSIONS),
        (_API + _MERCHANT + r"/session/([^/]+)", Resource.SESSION),
        (_API + _MERCHANT + r"/token", Resource.TOKENS),
        (_API + _MERCHANT + r"/token/([^/]+)", Resource.TOKEN),
        (_API + _MERCHANT + r"/tokenSearch", Resource.TOKEN_SEARCH),
        (_API + _MERCHANT + r"/riskassessment/([^/]+)", Resource.RISK_ASSESSMENT),
        (_API + _MERCHANT + r"/batch", Resource.BATCH),
        (_API + _MERCHANT + r"/paymentOptionsInquiry", Resource.PAYMENT_OPTIONS),
        (r"/history/version/([0-9]{1,6})" + _MERCHANT + r"/transaction", Resource.HISTORY),
        (r"/history/version/([0-9]{1,6})" + _MERCHANT + r"/settlement", Resource.SETTLEMENT),
        (r"/history/version/([0-9]{1,6})" + _MERCHANT + r"/disputes", Resource.DISPUTES),
        (r"/batch/version/([0-9]{1,6})" + _MERCHANT + r"/batch/([^/]+)", Resource.UPLOAD),
        (r"/batch/version/([0-9]{1,6})" + _MERCHANT + r"/batch/([^/]+)/(status|response)", Resource.UPLOAD_PART),
    )
)


def find_route(method: str, target: str) -> Route:
    """Return what a method and target ask for; raises Refusal with 404 or 405."""
    path, _, query = target.partition("?")
    for pattern, resource in _PATHS:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        version, *rest = found.groups()
        if int(version) < 1:
            raise Refusal("", "", "The version is not supported.", status=404)
        if method not in _METHODS[resource]:
            raise Refusal("", "", "The method is not supported here.", status=405)
        merchant_id, *ids = [unquote(part) for part in rest] or [""]
        return Route(resource, merchant_id, str(int(version)), tuple(ids), query)
    raise Refusal("", "", "The resource was not found.", status=404)
