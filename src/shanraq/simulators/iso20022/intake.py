"""From the bytes of a request to a message that is believed and right: size, form, signature, sender, schema, rules."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from shanraq.simulators.iso20022.credentials import ClearingCredentials
from shanraq.simulators.iso20022.read import message_id_of
from shanraq.simulators.iso20022.refusals import RefusedError
from shanraq.simulators.serve import Request
from shanraq.standards.iso20022 import (
    Finding,
    Iso20022Error,
    Limits,
    MessageId,
    Severity,
    check_identity,
    check_rules,
    cut_out,
    identify,
    parse,
    validate_schema,
)
from shanraq.standards.iso20022.identifiers import same_bic
from shanraq.standards.iso20022.paths import namespace_of
from shanraq.standards.iso20022.signatures import SHANRAQ, SenderUnknownError, SignatureError, Verified, verify
from shanraq.standards.iso20022.signatures.algorithms import digest
from shanraq.standards.iso20022.signatures.body import canonicalize
from shanraq.standards.iso20022.signatures.errors import UnsafeMessageError

TAKEN: Final = {
    "pacs.002": 10, "pacs.004": 9, "pacs.008": 8, "pacs.009": 8, "pacs.028": 3, "camt.029": 9, "camt.056": 8, "camt.060": 5,
}  # fmt: skip
"""The messages that are taken, from which version on: all later ones have the names that are read."""
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Message:
    """A message that may be acted on; `digest` is that of its canonical Document."""

    business_id: str
    definition: str
    digest: bytes
    document: etree._Element


class Intake:
    """Takes requests apart; it has no state, so that several threads may use it."""

    def __init__(self, credentials: ClearingCredentials, limit_bytes: int) -> None:
        self._bic = credentials.clearing.bic
        self._trust = credentials.trust_of_clearing()
        self._limits = Limits(size_bytes=limit_bytes)

    def read(self, participant: str, request: Request) -> Message:
        """Return the message of a participant's request. Raises RefusedError."""
        content = unpack(request.body, request.headers.get("content-encoding", ""), self._limits.size_bytes)
        now = datetime.now(UTC)
        verified = self._verify(content, participant, now)
        document = cut_out(verified.document)
        message_id = _taken(document)
        assert verified.header is not None, "the signature stands in the header"
        _refuse_errors("schema_invalid", [*_schema(cut_out(verified.header)), *_schema(document)])
        self._check_header(verified, document)
        _refuse_errors("rules_violated", check_rules(document, header=verified.header, as_of=now))
        return Message(
            verified.business_message_id, str(message_id), digest(canonicalize(document, SHANRAQ.form)), document
        )

    def _verify(self, content: bytes, participant: str, now: datetime) -> Verified:
        try:
            verified = verify(content, trust=self._trust, profile=SHANRAQ, as_of=now, limits=self._limits)
        except UnsafeMessageError as error:
            raise RefusedError(400, "malformed", f"{error.code}: {error.message}") from None
        except SignatureError as error:
            # What is no message at all is not one whose signature is missing.
            self._check_form(content)
            if isinstance(error, SenderUnknownError):
                raise RefusedError(403, "sender_not_participant", error.message) from None
            raise RefusedError(403, "signature_refused", f"{error.code}: {error.message}") from None
        if not same_bic(verified.fields.from_bic, participant):
            raise RefusedError(
                403,
                "sender_not_participant",
                f"the token is of {participant}, the message of {verified.fields.from_bic}",
            )
        return verified

    def _check_form(self, content: bytes) -> None:
        try:
            check_identity(identify(parse(content, limits=self._limits, strict=True)))
        except Iso20022Error as error:
            raise RefusedError(400, "malformed", f"{error.code}: {error.message}") from None

    def _check_header(self, verified: Verified, document: etree._Element) -> None:
        """Refuse a header that is not for us, or has another identifier than its message: answers name the message's."""
        if not same_bic(verified.fields.to_bic, self._bic):
            raise RefusedError(422, "rules_violated", "/AppHdr/To: it is not for this clearing system")
        if verified.business_message_id != message_id_of(document):
            raise RefusedError(422, "rules_violated", "/AppHdr/BizMsgIdr: it is not the identifier of the message")


def unpack(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Return the message in a body, never more than the limit of it. Raises RefusedError."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _gunzip(body, limit_bytes)
        case _:
            raise RefusedError(400, "malformed", "Content-Encoding is gzip, or is left out")


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        content = unpacking.decompress(body, limit_bytes + 1)
    except zlib.error:
        raise RefusedError(400, "malformed", "the body is not gzip") from None
    if len(content) > limit_bytes:
        raise RefusedError(413, "too_large", f"a message has at most {limit_bytes} bytes, unpacked")
    if not unpacking.eof or unpacking.unused_data:
        raise RefusedError(400, "malformed", "the body is not one whole member of gzip")
    return content


def _taken(document: etree._Element) -> MessageId:
    name = namespace_of(document).rpartition(":")[2]
    message_id = MessageId.parse(name)
    first = TAKEN.get(message_id.kind)
    if first is None or message_id.variant != "001" or int(message_id.version) < first:
        raise RefusedError(422, "unsupported_message", f"{name} is not taken here")
    return message_id


def _schema(element: etree._Element) -> list[Finding]:
    try:
        return validate_schema(element)
    except Iso20022Error:
        name = namespace_of(element).rpartition(":")[2]
        raise RefusedError(422, "unsupported_message", f"{name} is not known here") from None


def _refuse_errors(code: str, findings: Iterable[Finding]) -> None:
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise RefusedError(422, code, errors[0].message, [finding.to_dict() for finding in errors[:_SHOWN]])
