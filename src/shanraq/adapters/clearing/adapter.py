"""Hand messages to a clearing system and read its mailbox, as docs/clearing.md describes the wire.

Everything that goes out is signed, everything that comes in is verified before anyone reads it: what does not verify, or is not
what its definition says, is handed over as Distrusted.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import msgspec
import structlog

from shanraq.core.http import HttpClient, HttpError, Request, Response
from shanraq.core.secret import Secret
from shanraq.credit_transfers import (
    Arrived,
    ClearingUnavailableError,
    Distrusted,
    Refused,
    Sent,
    Taken,
    Terms,
    Unconfirmed,
)
from shanraq.standards.iso20022 import Iso20022Error, cut_out, validate_schema
from shanraq.standards.iso20022.identifiers import same_bic
from shanraq.standards.iso20022.paths import namespace_of
from shanraq.standards.iso20022.signatures import SHANRAQ, Profile, SignatureError, Signer, TrustStore, sign, verify

log = structlog.get_logger(__name__)

_XML: Final = ("Content-Type", "application/xml")
_GZIP: Final = ("Content-Encoding", "gzip")
_DECIDED: Final = frozenset({400, 413, 415, 422})
"""Statuses by which a system says that it will never take this message. Others may change: a token, a certificate, a limit."""
_LEVEL: Final = 1
_RESPONSE_LIMIT_BYTES: Final = 256 * 1024 * 1024
_MARGIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ClearingConfiguration:
    """How a clearing system is reached: its address, our token, our key, and whom to believe."""

    base_url: str
    token: Secret
    terms: Terms
    signer: Signer
    trust: TrustStore
    profile: Profile = SHANRAQ
    timeout_seconds: float = 60.0


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""


class _Entry(msgspec.Struct):
    cursor: str
    business_message_id: str
    content: str


class _Mailbox(msgspec.Struct):
    messages: list[_Entry]


class ClearingAdapter:
    """The port of credit transfers, over HTTP."""

    def __init__(self, configuration: ClearingConfiguration, client: HttpClient | None = None) -> None:
        self.configuration = configuration
        # A mailbox may be read for a long while, and its answers are long.
        self._client = client or HttpClient(idle_seconds=15.0, response_limit_bytes=_RESPONSE_LIMIT_BYTES)
        self._authorization = ("Authorization", f"Bearer {configuration.token.reveal()}")

    @property
    def terms(self) -> Terms:
        """Return how we take part."""
        return self.configuration.terms

    async def send(self, content: bytes) -> Sent:
        """Sign a business message and hand it in; what happens outside is a value."""
        configuration = self.configuration
        try:
            signed = await asyncio.to_thread(
                sign, content, signer=configuration.signer, profile=configuration.profile, signed_at=datetime.now(UTC)
            )
        except SignatureError as error:
            log.exception("clearing.cannot_sign")
            return Unconfirmed(f"the message cannot be signed: {error.message}")
        body = await asyncio.to_thread(gzip.compress, signed, _LEVEL)
        request = Request(
            "POST", f"{configuration.base_url}/v1/messages", (_XML, _GZIP, self._authorization), body,
            replay_on_stale=True,  # taken once by its business message identifier
        )  # fmt: skip
        try:
            response = await self._client.send(request, configuration.timeout_seconds)
        except HttpError as error:
            return Unconfirmed(error.error_code)
        if response.status == 202:
            return Taken()
        problem = _problem_of(response)
        if response.status in _DECIDED and problem.code:
            return Refused(problem.code, problem.detail)
        return Unconfirmed(f"HTTP {response.status} {problem.code}".strip())

    async def fetch(self, after: str, *, limit: int, wait_seconds: float) -> list[Arrived | Distrusted]:
        """Return messages after a cursor, verified. Raises ClearingUnavailableError."""
        configuration = self.configuration
        url = (
            f"{configuration.base_url}/v1/messages?after={quote(after, safe='')}&limit={limit}&wait={wait_seconds:.0f}"
        )
        try:
            response = await self._client.send(
                Request("GET", url, (self._authorization,), replay_on_stale=True), wait_seconds + _MARGIN_SECONDS
            )
        except HttpError as error:
            raise ClearingUnavailableError(f"the mailbox does not answer: {error.error_code}") from error
        if response.status != 200 or response.truncated:
            raise ClearingUnavailableError(
                f"the mailbox answers {response.status} {_problem_of(response).code}".strip()
            )
        try:
            mailbox = msgspec.json.decode(response.body, type=_Mailbox)
        except msgspec.DecodeError as error:
            raise ClearingUnavailableError(f"the mailbox cannot be read: {error}") from error
        return [await asyncio.to_thread(self._check, entry) for entry in mailbox.messages]

    def _check(self, entry: _Entry) -> Arrived | Distrusted:
        content = entry.content.encode()
        configuration = self.configuration
        try:
            verified = verify(
                content, trust=configuration.trust, profile=configuration.profile, as_of=datetime.now(UTC)
            )
        except SignatureError as error:
            return Distrusted(entry.cursor, entry.business_message_id, f"{error.code}: {error.message}", content)
        fields = verified.fields
        document = cut_out(verified.document)
        try:
            findings = validate_schema(document)
        except Iso20022Error as error:
            return Distrusted(entry.cursor, entry.business_message_id, f"{error.code}: {error}", content)
        if findings:
            return Distrusted(
                entry.cursor, entry.business_message_id, f"{findings[0].path}: {findings[0].message}", content
            )
        if not same_bic(fields.to_bic, configuration.terms.bic):
            return Distrusted(entry.cursor, entry.business_message_id, f"it is for {fields.to_bic}", content)
        return Arrived(
            cursor=entry.cursor,
            business_id=verified.business_message_id,
            definition=namespace_of(document).rpartition(":")[2],
            sender=fields.from_bic,
            receiver=fields.to_bic,
            content=content,
            document=document,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _problem_of(response: Response) -> _Problem:
    try:
        return msgspec.json.decode(response.body, type=_Problem)
    except msgspec.DecodeError:
        return _Problem()
