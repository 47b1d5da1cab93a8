"""Tokens: numbers that stand for a card kept by the gateway (reference 5.1).

The number of the card is in memory only. After a restart with its journal a token has the masked number in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from shanraq.simulators.mastercard.fields import (
    CARD,
    NUMBER,
    Body,
    Keep,
    brand_of,
    find,
    find_text,
    mask,
    merged,
    missing,
    nobody,
    read_expiry,
    read_number,
    reject_card_numbers,
    reject_unknown,
    time_text,
)
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.schema import check_fields

_TOKEN_ID: Final = re.compile(r"[0-9A-Za-z]{1,40}", re.ASCII)
_KEPT: Final = frozenset(
    {"billing", "correlationId", "customer", "device", "order", "session", "shipping", "sourceOfFunds", "transaction"}
    | {"verificationStrategy", "userId", "token"}
)
_STATUSES: Final = frozenset({"VALID", "INVALID"})
_SEARCH: Final = frozenset({"correlationId", "query"})
_MOST_FOUND: Final = 100


@dataclass(slots=True)
class _Token:
    id: str
    merchant_id: str
    number: str = field(repr=False)
    expiry: tuple[int, int]
    status: str
    created: datetime
    updated: datetime


class Tokens:
    """Keeps the tokens of all merchants; `digits(n)` returns n fresh digits. Bodies come with their session resolved.

    `keep` is told of each token that has changed, with the card number masked, and of each that is gone.
    """

    def __init__(self, digits: Callable[[int], str], keep: Keep = nobody) -> None:
        self._digits = digits
        self._keep = keep
        self._tokens: dict[tuple[str, str], _Token] = {}

    def forget(self) -> None:
        """Forget all tokens."""
        self._tokens = {}

    def create(self, body: Body, merchant_id: str, now: datetime) -> Body:
        """Answer POST /token: the same card gives the same token; raises `Refusal` for a missing or bad card."""
        number, expiry = self._read(body)
        if number is None:
            raise missing(NUMBER)
        if expiry is None:
            raise missing(f"{CARD}.expiry.month")
        own = (token for token in self._tokens.values() if token.merchant_id == merchant_id)
        token = next((token for token in own if token.number == number), None)
        if token is None:
            token = _Token(self._fresh_id(merchant_id, number), merchant_id, number, expiry, "VALID", now, now)
            self._tokens[merchant_id, token.id] = token
        else:
            token.expiry, token.status, token.updated = expiry, "VALID", now
        self._save(token)
        return self._reply(token)

    def put(self, token_id: str, body: Body, merchant_id: str, now: datetime) -> Body:
        """Answer PUT /token/{id}: make a token under an id of the merchant's, or change what it stands for."""
        self._check_id(token_id, "tokenid")
        number, expiry = self._read(body)
        status = find_text(body, "token.status")
        if status is not None and status not in _STATUSES:
            raise Refusal("token.status", "INVALID", "The value must be INVALID or VALID.")
        token = self._tokens.get((merchant_id, token_id))
        if token is None:
            if number is None:
                raise missing(NUMBER)
            if expiry is None:
                raise missing(f"{CARD}.expiry.month")
            token = _Token(token_id, merchant_id, number, expiry, status or "VALID", now, now)
            self._tokens[merchant_id, token_id] = token
        else:
            token.number, token.expiry = number or token.number, expiry or token.expiry
            token.status, token.updated = status or token.status, now
        self._save(token)
        return self._reply(token)

    def retrieve(self, token_id: str, merchant_id: str) -> Body:
        """Answer GET /token/{id}; raises `Refusal` for a token that does not exist or was deleted."""
        return self._reply(self._get(token_id, merchant_id, "tokenid"))

    def delete(self, token_id: str, merchant_id: str) -> Body:
        """Answer DELETE /token/{id}; raises `Refusal` for a token that does not exist or was deleted."""
        token = self._get(token_id, merchant_id, "tokenid")
        del self._tokens[merchant_id, token.id]
        self._keep(f"{merchant_id} {token.id}", None)
        return {"result": "SUCCESS"}

    def search(self, body: Body, merchant_id: str) -> Body:
        """Answer POST /tokenSearch: at most 100 tokens whose id, status or card is the one of `query`."""
        reject_unknown(body, _SEARCH)
        query = find(body, "query") or {}
        if not isinstance(query, dict):
            raise Refusal("query", "INVALID", "The value must be an object.")
        reject_unknown(query, frozenset({"token", "status", "sourceOfFunds"}), "query.")
        token_id, status, number = find_text(query, "token", 40), find_text(query, "status"), read_number(query)
        found = [
            token
            for token in self._tokens.values()
            if token.merchant_id == merchant_id
            and token_id in {None, token.id}
            and status in {None, token.status}
            and number in {None, token.number}
        ]
        page = [{name: part for name, part in self._reply(token).items() if name != "result"} for token in found]
        return {"result": "SUCCESS", "page": page[:_MOST_FOUND]}

    def resolve(self, body: Body, merchant_id: str) -> Body:
        """Return a body with the card of `sourceOfFunds.token` under its own fields; one without a token as it is.

        An explicit card goes before the token. Raises `Refusal` for a token that is unknown, deleted or INVALID.
        """
        token_id = find_text(body, "sourceOfFunds.token", 40)
        if token_id is None or find(body, NUMBER) is not None:
            return body
        token = self._get(token_id, merchant_id, "sourceOfFunds.token")
        if token.status != "VALID":
            raise Refusal("sourceOfFunds.token", "INVALID", "The token is not valid.")
        return merged(self._source(token, token.number), body)

    def restore(self, states: Iterable[dict[str, Any]]) -> None:
        """Take the tokens that were kept; their cards have the masked number only."""
        self._tokens = {
            (kept["merchant"], kept["id"]): _Token(
                kept["id"],
                kept["merchant"],
                kept["number"],
                (kept["expiry"][0], kept["expiry"][1]),
                kept["status"],
                datetime.fromisoformat(kept["created"]),
                datetime.fromisoformat(kept["updated"]),
            )
            for kept in states
        }

    def _save(self, token: _Token) -> None:
        state = {
            "id": token.id,
            "merchant": token.merchant_id,
            "number": mask(token.number),
            "expiry": list(token.expiry),
            "status": token.status,
            "created": token.created.isoformat(),
            "updated": token.updated.isoformat(),
        }
        self._keep(f"{token.merchant_id} {token.id}", state)

    def _read(self, body: Body) -> tuple[str | None, tuple[int, int] | None]:
        reject_unknown(body, _KEPT)
        check_fields(body)
        reject_card_numbers(body)
        return read_number(body), read_expiry(body)

    def _fresh_id(self, merchant_id: str, number: str) -> str:
        # A leading 9 is of no card brand, and random digits say nothing of the number.
        token_id = f"9{self._digits(15)}"
        while (merchant_id, token_id) in self._tokens or token_id == number:
            token_id = f"9{self._digits(15)}"
        return token_id

    def _check_id(self, token_id: str, path: str) -> None:
        if not _TOKEN_ID.fullmatch(token_id):
            raise Refusal(path, "INVALID", "The value must be 1 to 40 letters and digits.")
        reject_card_numbers({path: token_id})

    def _get(self, token_id: str, merchant_id: str, path: str) -> _Token:
        token = self._tokens.get((merchant_id, token_id))
        if token is None:
            raise Refusal(path, "INVALID", "There is no such token.")
        return token

    def _source(self, token: _Token, number: str) -> Body:
        month, year = token.expiry
        card = {"number": number, "expiry": {"month": str(month), "year": f"{year:02d}"}}
        return {"sourceOfFunds": {"type": "CARD", "provided": {"card": card}}}

    def _reply(self, token: _Token) -> Body:
        reply = self._source(token, mask(token.number))
        brand = brand_of(token.number)
        month, year = token.expiry
        reply["sourceOfFunds"]["provided"]["card"] |= {
            "brand": brand,
            "scheme": brand,
            "expiry": f"{month:02d}{year:02d}",
        }
        usage = {"lastUpdated": time_text(token.updated), "lastUpdatedBy": token.merchant_id}
        return reply | {"result": "SUCCESS", "status": token.status, "token": token.id, "usage": usage}
