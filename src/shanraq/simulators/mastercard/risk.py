"""Transaction filtering: rules of merchant and service provider, and a provider's score, before the acquirer is asked."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.fields import Body, find

ASSESSED: Final = frozenset({"AUTHORIZE", "PAY", "VERIFY", "STANDALONE_CAPTURE"})
DECISIONS: Final = frozenset({"ACCEPTED", "REJECTED", "OVERRIDDEN"})

_RECOMMENDATIONS: Final = frozenset({"NO_ACTION", "ACCEPT", "REJECT", "REVIEW"})
_SCORES: Final = {"ACCEPTED": 10, "REVIEW_REQUIRED": 60, "REJECTED": 95}
_OWN: Final = {"RISK-REVIEW": "REVIEW", "RISK-REJECT": "REJECT"}
_NAMES: Final = frozenset(
    {
        f"{side}_{kind}"
        for side in ("MERCHANT", "MSO")
        for kind in ("BIN_RANGE", "CSC", "AVS", "3D_SECURE", "IP_ADDRESS_RANGE")
    }
    | {"SUSPECT_CARD_LIST", "TRUSTED_CARD_LIST"}
)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: what of its kind makes it speak, and what it recommends then.

    `values` are first digits for BIN_RANGE, results for CSC, AVS and 3D_SECURE, networks for IP_ADDRESS_RANGE, keyed hashes of
    card numbers for the lists.
    """

    name: str
    recommendation: str
    values: list[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """What rules look at."""

    number: str
    card: str
    csc: str
    avs: str
    authentication: str
    address: str


def check(rules: list[Rule]) -> None:
    """Raise ValueError naming the first rule that cannot be."""
    for rule in rules:
        if rule.name not in _NAMES:
            raise ValueError(f"{rule.name[:40]}: no such rule")
        if rule.recommendation not in _RECOMMENDATIONS:
            raise ValueError(f"{rule.name}: recommendation must be one of {', '.join(sorted(_RECOMMENDATIONS))}")
        if rule.name.endswith("IP_ADDRESS_RANGE"):
            for value in rule.values:
                try:
                    ipaddress.ip_network(value)
                except ValueError:
                    raise ValueError(f"{rule.name}: {value[:50]} is not a network") from None


def assess(
    rules: list[Rule], operation: str, body: Body, seen: Seen, moment: Callable[[], str]
) -> tuple[str, dict[str, Any] | None]:
    """Return the decision (ACCEPTED, REJECTED, REVIEW_REQUIRED; empty where nothing is assessed) and the block `risk`."""
    if operation not in ASSESSED:
        return "", None
    spoke: list[dict[str, Any]] = []
    own = _OWN.get(find(body, "order.reference") or "")
    if own is not None:
        spoke.append({"name": "SIMULATOR_REFERENCE", "recommendation": own, "type": "MERCHANT_RULE"})
    for rule in rules:
        data = _matched(rule, seen)
        if data:
            kind = "MSO_RULE" if rule.name.startswith("MSO_") else "MERCHANT_RULE"
            spoke.append({"data": data, "name": rule.name, "recommendation": rule.recommendation, "type": kind})
    said = {one["recommendation"] for one in spoke}
    if any(one["name"] == "TRUSTED_CARD_LIST" and one["recommendation"] == "ACCEPT" for one in spoke):
        decision = "ACCEPTED"
    elif "REJECT" in said:
        decision = "REJECTED"
    else:
        decision = "REVIEW_REQUIRED" if "REVIEW" in said else "ACCEPTED"
    review: dict[str, Any] = {"decision": "PENDING" if decision == "REVIEW_REQUIRED" else "NOT_REQUIRED"}
    response = {
        "gatewayCode": decision,
        "provider": "GATEKEEPER",
        "review": review,
        "rule": spoke,
        "totalScore": _SCORES[decision],
    }
    if decision == "REVIEW_REQUIRED":
        review["time"] = moment()
    return decision, {"response": response}


def _matched(rule: Rule, seen: Seen) -> str:
    """Return what made a rule speak, empty when it does not."""
    match rule.name.removeprefix("MERCHANT_").removeprefix("MSO_"):
        case "BIN_RANGE":
            return seen.number[:6] if any(seen.number.startswith(value) for value in rule.values) else ""
        case "CSC":
            return seen.csc if seen.csc in rule.values else ""
        case "AVS":
            return seen.avs if seen.avs in rule.values else ""
        case "3D_SECURE":
            status = seen.authentication or "NO_LIABILITY_SHIFT"
            return status if status in rule.values else ""
        case "IP_ADDRESS_RANGE":
            try:
                address = ipaddress.ip_address(seen.address)
            except ValueError:
                return ""
            return seen.address if any(address in ipaddress.ip_network(value) for value in rule.values) else ""
        case _:
            return "CARD" if seen.card in rule.values else ""
