"""The simulator: signatures and HTTP around the clearing system."""

from __future__ import annotations

import asyncio
import hmac
import zlib
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

import msgspec

from shanraq.simulators.iso20022.books import Books
from shanraq.simulators.iso20022.clearing import TAKEN, Clearing
from shanraq.simulators.iso20022.configuration import ClearingConfiguration
from shanraq.simulators.iso20022.control import control
from shanraq.simulators.iso20022.credentials import ClearingCredentials
from shanraq.simulators.iso20022.faults import FaultKind, Faults
from shanraq.simulators.serve import Answer, HttpServer, Reply, Request
from shanraq.standards.iso20022 import Iso20022Error, Severity, check_rules, cut_out, validate_schema
from shanraq.standards.iso20022.identifiers import same_bic
from shanraq.standards.iso20022.paths import namespace_of
from shanraq.standards.iso20022.signatures import SHANRAQ, SignatureError, Verified, sign, verify
from shanraq.standards.iso20022.signatures.algorithms import digest
from shanraq.standards.iso20022.signatures.body import canonicalize
from shanraq.standards.iso20022.signatures.errors import UnsafeMessageError

_TICK_SECONDS: Final = 0.1
_WAIT_LIMIT_SECONDS: Final = 25.0
_LIMIT: Final = 500
_SIGNATURE_AGE: Final = timedelta(days=2)


class ClearingSimulator:
    """A clearing system on one address; start and stop it, or use it as an async context manager."""

    def __init__(self, configuration: ClearingConfiguration | None = None) -> None:
        self.configuration = configuration or ClearingConfiguration()
        credentials = self.configuration.credentials
        self.faults = Faults()
        self.books = Books(self.configuration.database, self.configuration.opening_balance)
        self.clearing = Clearing(self.configuration, self.books, self._deliver)
        self._signer = credentials.clearing.signer
        self._trust = credentials.trust_of_clearing()
        self._tokens = {member.token: member.bic for member in credentials.participants.values()}
        self._late: list[tuple[str, str, str, bytes]] = []
        self._lock = asyncio.Lock()
        self._posted = asyncio.Event()
        self._server = HttpServer(self._answer, body_limit_bytes=self.configuration.message_limit_bytes)
        self._ticker: asyncio.Task[None] | None = None
        self.base_url = ""

    @property
    def credentials(self) -> ClearingCredentials:
        """Return who takes part."""
        return self.configuration.credentials

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen and begin to work. Raises OSError when the address cannot be used."""
        bound = await self._server.start(host, port)
        self.base_url = f"http://{host}:{bound}"
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Stop; the books are closed."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.wait([self._ticker])
            self._ticker = None
        await self._server.stop()
        async with self._lock:
            self.books.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def carry_on(self) -> int:
        """Do what is due by the clock now."""
        async with self._lock:
            done = await asyncio.to_thread(self.clearing.carry_on)
        self._wake()
        return done

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            while await self.carry_on():
                pass

    def _wake(self) -> None:
        self._posted.set()
        self._posted = asyncio.Event()

    # Requests.

    def _answer(self, request: Request) -> Answer:
        path = urlsplit(request.target).path
        if path.startswith("/control/"):
            return Answer(None, later=self._control(request, path.removeprefix("/control/")))
        participant = self._participant(request)
        if path != "/v1/messages":
            return Answer(_problem(404, "not_found", "there is /v1/messages"))
        if participant is None:
            return Answer(_problem(401, "unauthorized", "show the token of a participant: Authorization: Bearer"))
        match request.method:
            case "POST":
                return Answer(None, later=self._take(participant, request))
            case "GET":
                return Answer(None, later=self._mailbox(participant, request))
            case _:
                return Answer(_problem(405, "method_not_allowed", "GET and POST"))

    def _participant(self, request: Request) -> str | None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        for token, bic in self._tokens.items():
            if hmac.compare_digest(token.encode(), shown.encode()):
                return bic
        return None

    async def _control(self, request: Request, name: str) -> Reply | None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(self.configuration.control_token.encode(), shown.encode()):
            return _problem(401, "unauthorized", "show the control token: Authorization: Bearer")
        async with self._lock:
            reply = await asyncio.to_thread(control, self, request, name)
        self._wake()
        return reply

    async def _take(self, participant: str, request: Request) -> Reply | None:
        fault = self.faults.take(of_requests=True)
        if fault is not None:
            if fault.kind is FaultKind.LOSE_REQUEST:
                return None
            if fault.kind is FaultKind.STATUS_503:
                return _problem(503, "unavailable", "a fault was asked for")
            if fault.kind is FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
        reply = await self._take_message(participant, request)
        return None if fault is not None and fault.kind is FaultKind.LOSE_ANSWER else reply

    async def _take_message(self, participant: str, request: Request) -> Reply:
        try:
            content = self._content(request)
        except OverflowError:
            return _problem(413, "too_large", f"more than {self.configuration.message_limit_bytes} bytes")
        except zlib.error:
            return _problem(400, "malformed", "the body is not gzip")
        try:
            verified = await asyncio.to_thread(
                verify, content, trust=self._trust, profile=SHANRAQ, as_of=datetime.now(UTC)
            )
        except UnsafeMessageError as error:
            return _problem(400, "malformed", f"{error.code}: {error.message}")
        except SignatureError as error:
            return _problem(403, "signature_refused", f"{error.code}: {error.message}")
        return await self._take_verified(participant, verified)

    def _content(self, request: Request) -> bytes:
        if request.headers.get("content-encoding", "identity") != "gzip":
            return request.body
        inflating = zlib.decompressobj(wbits=31)
        content = inflating.decompress(request.body, self.configuration.message_limit_bytes + 1)
        if len(content) > self.configuration.message_limit_bytes:
            raise OverflowError
        if not inflating.eof:
            raise zlib.error("the end is missing")
        return content

    async def _take_verified(self, participant: str, verified: Verified) -> Reply:
        fields = verified.fields
        if not same_bic(fields.from_bic, participant):
            return _problem(
                403, "sender_not_participant", f"the token is of {participant}, the message of {fields.from_bic}"
            )
        document = cut_out(verified.document)
        definition = namespace_of(document).rpartition(":")[2]
        if definition[:8] not in TAKEN:
            return _problem(422, "unsupported_message", f"{definition} is not taken here")
        findings = await asyncio.to_thread(_findings, document, verified)
        if findings is None:
            return _problem(422, "unsupported_message", f"{definition} is not known here")
        if findings:
            code = "schema_invalid" if findings[0]["layer"] == "xsd" else "rules_violated"
            return _problem(422, code, str(findings[0]["message"]), findings)
        canonical = await asyncio.to_thread(canonicalize, document, SHANRAQ.form)
        async with self._lock:
            try:
                fresh = await asyncio.to_thread(
                    self.clearing.take,
                    participant,
                    verified.business_message_id,
                    definition,
                    digest(canonical),
                    document,
                )
            except ValueError as error:
                return _problem(409, "duplicate_message_id", str(error))
        self._wake()
        body = {"business_message_id": verified.business_message_id, "duplicate": not fresh}
        return Reply(202, msgspec.json.encode(body))

    async def _mailbox(self, participant: str, request: Request) -> Reply | None:
        query = parse_qs(urlsplit(request.target).query)
        try:
            after = int(query.get("after", ["0"])[0] or 0)
            limit = int(query.get("limit", ["100"])[0])
            wait = min(float(query.get("wait", ["0"])[0]), _WAIT_LIMIT_SECONDS)
        except ValueError:
            return _problem(400, "malformed", "after, limit and wait are numbers")
        if not 1 <= limit <= _LIMIT or after < 0 or not wait >= 0:
            return _problem(400, "malformed", f"limit is 1 to {_LIMIT}, after and wait not negative")
        until = asyncio.get_running_loop().time() + wait
        while True:
            posted = self._posted
            async with self._lock:
                letters = await asyncio.to_thread(self.books.letters, participant, after, limit)
            left = until - asyncio.get_running_loop().time()
            if letters or left <= 0:
                break
            try:
                await asyncio.wait_for(posted.wait(), left)
            except TimeoutError:
                continue
        messages = [
            {
                "cursor": str(letter.cursor),
                "business_message_id": letter.business_id,
                "definition": letter.definition,
                "content": letter.content,
            }
            for letter in letters
        ]
        following = messages[-1]["cursor"] if messages else str(after)
        return Reply(200, msgspec.json.encode({"messages": messages, "next": following}))

    # Messages that go out.

    def _deliver(self, to: str, business_id: str, definition: str, envelope: bytes) -> None:
        signed = sign(envelope, signer=self._signer, profile=SHANRAQ)
        fault = self.faults.take(of_requests=False)
        if fault is not None and fault.kind is FaultKind.REORDER:
            self._late.append((to, business_id, definition, signed))
            return
        if fault is not None and fault.kind is FaultKind.BAD_SIGNATURE:
            self.books.post(to, business_id, definition, signed.replace(b"<CreDtTm>2", b"<CreDtTm>1", 1))
        self.books.post(to, business_id, definition, signed)
        if fault is not None and fault.kind is FaultKind.DUPLICATE_DELIVERY:
            self.books.post(to, business_id, definition, signed)
        late, self._late = self._late, []
        for letter in late:
            self.books.post(*letter)


def _findings(document: Any, verified: Verified) -> list[dict[str, object]] | None:
    """Return the errors of a message, None when its definition is not known."""
    try:
        found = validate_schema(document)
    except Iso20022Error:
        return None
    if not found:
        report = check_rules(document, header=verified.header, as_of=datetime.now(UTC))
        found = [finding for finding in report if finding.severity is Severity.ERROR]
    return [
        {"code": one.code, "layer": one.layer.value, "path": one.path, "message": one.message, "reason": one.reason}
        for one in found[:20]
    ]


def _problem(status: int, code: str, detail: str, findings: list[dict[str, object]] | None = None) -> Reply:
    body: dict[str, object] = {"code": code, "title": code.replace("_", " "), "status": status, "detail": detail}
    if findings:
        body["findings"] = findings
    return Reply(status, msgspec.json.encode(body), "application/problem+json")
