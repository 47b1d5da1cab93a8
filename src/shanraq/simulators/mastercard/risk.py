"""Transaction filtering: rules of merchant and service provider, and a provider's score, before the acquirer is asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.fields import Body, find, holds_card_number, luhn_valid

ASSESSED: Final = frozenset({"AUTHORIZE", "PAY", "VERIFY", "STANDALONE_CAPTURE"})
DECISIONS: Final = frozenset({"ACCEPTED", "REJECTED", "OVERRIDDEN"})

_RECOMMENDATIONS: Final = frozenset({"NO_ACTION", "ACCEPT", "REJECT", "REVIEW"})
_SCORES: Final = {"ACCEPTED": 10, "REVIEW_REQUIRED": 60, "REJECTED": 95, "NOT_CHECKED": 0}
_OWN: Final = {"RISK-REVIEW": "REVIEW", "RISK-REJECT": "REJECT"}
_KINDS: Final = ("BIN_RANGE", "CSC", "AVS", "3D_SECURE", "IP_ADDRESS_RANGE", "IP_COUNTRY")
_LISTS: Final = frozenset({"SUSPECT_CARD_LIST", "TRUSTED_CARD_LIST"})
_NAMES: Final = frozenset({f"{side}_{kind}" for side in ("MERCHANT", "MSO") for kind in _KINDS} | _LISTS)
_FORMS: Final = {
    "BIN_RANGE": (re.compile(r"[0-9]{1,10}", re.ASCII), "1 to 10 digits"),
    "IP_COUNTRY": (re.compile(r"[A-Z]{3}", re.ASCII), "a country (three capital letters)"),
    "CSC": (re.compile(r"[A-Z_]{1,40}", re.ASCII), "a result of the security code"),
    "AVS": (re.compile(r"[A-Z_]{1,40}", re.ASCII), "a result of the address check"),
    "3D_SECURE": (re.compile(r"[A-Z_]{1,40}", re.ASCII), "a status of authentication"),
}
_NUMBER: Final = re.compile(r"[0-9]{9,19}", re.ASCII)
_KEPT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: what of its kind makes it speak, and what it recommends then.

    `values` are first digits for BIN_RANGE, results for CSC, AVS and 3D_SECURE, networks for IP_ADDRESS_RANGE, countries for
    IP_COUNTRY, card numbers for the lists (kept as keyed hashes).
    """

    name: str
    recommendation: str
    values: list[str] = msgspec.field(default_factory=list)


def _countries() -> dict[str, str]:
    # The networks of RFC 5737 and RFC 3849: documentation only, nobody's.
    return {"192.0.2.0/24": "KAZ", "198.51.100.0/24": "USA", "203.0.113.0/24": "FRA", "2001:db8::/32": "DEU"}


@dataclass(slots=True)
class Filters:
    """The rules that hold, and which networks are in which country."""

    rules: list[Rule] = field(default_factory=list)
    countries: dict[str, str] = field(default_factory=_countries)

    def country_of(self, address: str) -> str:
        """Return the country of an IP address, empty where it is not known."""
        return next((country for network, country in self.countries.items() if _is_within(address, network)), "")


@dataclass(frozen=True, slots=True)
class Seen:
    """What rules look at; the number itself is not shown."""

    number: str = field(repr=False)
    card: str
    csc: str
    avs: str
    authentication: str
    address: str


def checked(rules: list[Rule], fingerprint: Callable[[str], str]) -> list[Rule]:
    """Return rules as they are kept, card numbers as keyed hashes; raises ValueError naming the first that cannot be."""
    kept: list[Rule] = []
    for rule in rules:
        if rule.name not in _NAMES:
            raise ValueError("a rule has a name that is none: there are " + ", ".join(sorted(_NAMES)))
        if rule.recommendation not in _RECOMMENDATIONS:
            raise ValueError(f"{rule.name}: recommendation must be one of {', '.join(sorted(_RECOMMENDATIONS))}")
        values = rule.values
        if rule.name in _LISTS:
            values = [_hash_of(rule.name, value, fingerprint) for value in values]
        else:
            _check_values(rule)
        kept.append(msgspec.structs.replace(rule, values=values))
    return kept


def check_countries(countries: dict[str, str]) -> None:
    """Raise ValueError unless each key is a network and each value a country (alpha-3)."""
    form, wanted = _FORMS["IP_COUNTRY"]
    for network, country in countries.items():
        _check_network("countries", network)
        if not form.fullmatch(country):
            raise ValueError(f"countries: a value is not {wanted}")


def check_note(note: str, user_id: str) -> None:
    """Raise ValueError for a note or user of a review that is too long or holds a card number."""
    for name, text, limit in (("note", note, 1000), ("user_id", user_id, 100)):
        if len(text) > limit:
            raise ValueError(f"{name} must have at most {limit} characters")
        if holds_card_number(text):
            raise ValueError(f"{name} holds a card number")


def _hash_of(name: str, value: str, fingerprint: Callable[[str], str]) -> str:
    if _KEPT.fullmatch(value):
        return value
    if not _NUMBER.fullmatch(value) or not luhn_valid(value):
        raise ValueError(f"{name}: a value is not a card number")
    return fingerprint(value)


def _check_values(rule: Rule) -> None:
    kind = _kind_of(rule)
    for value in rule.values:
        if kind == "IP_ADDRESS_RANGE":
            _check_network(rule.name, value)
            continue
        form, wanted = _FORMS[kind]
        if not form.fullmatch(value):
            raise ValueError(f"{rule.name}: a value is not {wanted}")


def _check_network(name: str, value: str) -> None:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{name}: a value is not a network") from None


def assess(
    filters: Filters, operation: str, body: Body, seen: Seen, moment: Callable[[], str]
) -> tuple[str, dict[str, Any] | None]:
    """Return the decision and the block `risk`; empty and None where nothing is assessed.

    The decision is ACCEPTED, REJECTED, REVIEW_REQUIRED, or NOT_CHECKED where the merchant bypasses its rules and the service
    provider has none.
    """
    if operation not in ASSESSED:
        return "", None
    bypassed = "ALL" in (find(body, "risk.bypassMerchantRiskRules"), find(body, "action.bypassMerchantRiskRules"))
    rules = [rule for rule in filters.rules if not bypassed or rule.name.startswith("MSO_")]
    spoke: list[dict[str, Any]] = []
    own = None if bypassed else _OWN.get(find(body, "order.reference") or "")
    if own is not None:
        spoke.append({"name": "SIMULATOR_REFERENCE", "recommendation": own, "type": "MERCHANT_RULE"})
    for rule in rules:
        data = _matched(rule, seen, filters)
        if data:
            kind = "MSO_RULE" if rule.name.startswith("MSO_") else "MERCHANT_RULE"
            spoke.append({"data": data, "name": rule.name, "recommendation": rule.recommendation, "type": kind})
    decision = "NOT_CHECKED" if bypassed and not rules else _decide(spoke)
    review: dict[str, Any] = {"decision": "NOT_REQUIRED"}
    if decision == "REVIEW_REQUIRED":
        review = {"decision": "PENDING", "time": moment()}
    response = {
        "gatewayCode": decision,
        "provider": "GATEKEEPER",
        "review": review,
        "rule": spoke,
        "totalScore": _SCORES[decision],
    }
    return decision, {"response": response}


def _decide(spoke: list[dict[str, Any]]) -> str:
    said = {one["recommendation"] for one in spoke}
    if any(one["name"] == "TRUSTED_CARD_LIST" and one["recommendation"] == "ACCEPT" for one in spoke):
        return "ACCEPTED"
    if "REJECT" in said:
        return "REJECTED"
    return "REVIEW_REQUIRED" if "REVIEW" in said else "ACCEPTED"


def _kind_of(rule: Rule) -> str:
    return rule.name.removeprefix("MERCHANT_").removeprefix("MSO_")


def _is_within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


def _matched(rule: Rule, seen: Seen, filters: Filters) -> str:
    """Return what made a rule speak, empty when it does not."""
    match _kind_of(rule):
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
            return seen.address if any(_is_within(seen.address, value) for value in rule.values) else ""
        case "IP_COUNTRY":
            country = filters.country_of(seen.address)
            return country if country in rule.values else ""
        case _:
            return "CARD" if seen.card in rule.values else ""
