"""The simulator: signatures and HTTP around the clearing system."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog

from shanraq.simulators.iso20022.books import Books
from shanraq.simulators.iso20022.clearing import Clearing
from shanraq.simulators.iso20022.configuration import ClearingConfiguration
from shanraq.simulators.iso20022.control import control
from shanraq.simulators.iso20022.credentials import ClearingCredentials
from shanraq.simulators.iso20022.faults import FaultKind, Faults
from shanraq.simulators.iso20022.intake import Intake
from shanraq.simulators.iso20022.refusals import RefusedError, problem
from shanraq.simulators.serve import Answer, HttpServer, Reply, Request
from shanraq.standards.iso20022.signatures import SHANRAQ, sign

log = structlog.get_logger(__name__)

_P = ParamSpec("_P")
_T = TypeVar("_T")
_TICK_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 1.0
_WAIT_LIMIT_SECONDS: Final = 25.0
_LIMIT: Final = 500
_ANSWER_BYTES: Final = 16 * 1024 * 1024


class ClearingSimulator:
    """A clearing system on one address; start and stop it, or use it as an async context manager."""

    def __init__(self, configuration: ClearingConfiguration | None = None) -> None:
        self.configuration = configuration or ClearingConfiguration()
        credentials = self.configuration.credentials
        self.faults = Faults()
        self.books = Books(self.configuration.database, self.configuration.opening_balance)
        self.clearing = Clearing(self.configuration, self.books, self._deliver)
        self._signer = credentials.clearing.signer
        self._intake = Intake(credentials, self.configuration.message_limit_bytes)
        self._tokens = {member.token: member.bic for member in credentials.participants.values()}
        self._lock = asyncio.Lock()
        self._posted = asyncio.Event()
        self._working: set[asyncio.Task[Any]] = set()
        limit = self.configuration.message_limit_bytes
        self._server = HttpServer(
            self._answer,
            body_limit_bytes=limit,
            too_large=problem(413, "too_large", f"a message has at most {limit} bytes"),
        )
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
        while self._working:
            await asyncio.wait(self._working)
        self.books.close()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            # Nobody else could have the books while they are open.
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def carry_on(self) -> int:
        """Do what is due by the clock now."""
        done = await self._alone(self.clearing.carry_on)
        self._wake()
        return done

    async def _alone(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Do one thing with the books at a time, in a thread: to the end, even if nobody waits for it any more."""

        async def do() -> _T:
            async with self._lock:
                return await asyncio.to_thread(work, *args, **kwargs)

        task = asyncio.create_task(do())
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return await asyncio.shield(task)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                while await self.carry_on():
                    pass
            except Exception as error:
                # A full disk, say: what is due stays due.
                _log_place("clearing_simulator.due_failed", error)
                await asyncio.sleep(_PAUSE_SECONDS)

    def _wake(self) -> None:
        self._posted.set()
        self._posted = asyncio.Event()

    # Requests.

    def _answer(self, request: Request) -> Answer:
        path = urlsplit(request.target).path
        if path.startswith("/control/"):
            return Answer(None, later=partial(_surely, self._control, request, path.removeprefix("/control/")))
        participant = self._participant(request)
        if path != "/v1/messages":
            return Answer(problem(404, "not_found", "there is /v1/messages"))
        if participant is None:
            return Answer(problem(401, "unauthorized", "show the token of a participant: Authorization: Bearer"))
        match request.method:
            case "POST":
                return Answer(None, later=partial(_surely, self._take, participant, request))
            case "GET":
                return Answer(None, later=partial(_surely, self._mailbox, participant, request))
            case _:
                return Answer(problem(405, "method_not_allowed", "GET and POST"))

    def _participant(self, request: Request) -> str | None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        for token, bic in self._tokens.items():
            if hmac.compare_digest(token.encode(), shown.encode()):
                return bic
        return None

    async def _control(self, request: Request, name: str) -> Reply | None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(self.configuration.control_token.encode(), shown.encode()):
            return problem(401, "unauthorized", "show the control token: Authorization: Bearer")
        reply = await self._alone(control, self, request, name)
        self._wake()
        return reply

    async def _take(self, participant: str, request: Request) -> Reply | None:
        fault = self.faults.take(of_requests=True)
        if fault is not None:
            if fault.kind is FaultKind.LOSE_REQUEST:
                return None
            if fault.kind is FaultKind.STATUS_503:
                return problem(503, "unavailable", "a fault was asked for")
            if fault.kind is FaultKind.SLOW:
                await asyncio.sleep(fault.seconds)
        reply = await self._take_message(participant, request)
        return None if fault is not None and fault.kind is FaultKind.LOSE_ANSWER else reply

    async def _take_message(self, participant: str, request: Request) -> Reply:
        try:
            message = await asyncio.to_thread(self._intake.read, participant, request)
            fresh = await self._alone(
                self.clearing.take,
                participant,
                message.business_id,
                message.definition,
                message.digest,
                message.document,
            )
        except RefusedError as refusal:
            return refusal.reply()
        self._wake()
        return Reply(202, msgspec.json.encode({"business_message_id": message.business_id, "duplicate": not fresh}))

    async def _mailbox(self, participant: str, request: Request) -> Reply | None:
        query = parse_qs(urlsplit(request.target).query)
        try:
            after = int(query.get("after", ["0"])[0] or 0)
            limit = int(query.get("limit", ["100"])[0])
            wait = min(float(query.get("wait", ["0"])[0]), _WAIT_LIMIT_SECONDS)
        except ValueError:
            return problem(400, "malformed", "after, limit and wait are numbers")
        if not 1 <= limit <= _LIMIT or after < 0 or not wait >= 0:
            return problem(400, "malformed", f"limit is 1 to {_LIMIT}, after and wait not negative")
        until = asyncio.get_running_loop().time() + wait
        while True:
            posted = self._posted
            letters = await self._alone(self.books.letters, participant, after, limit, _ANSWER_BYTES)
            left = until - asyncio.get_running_loop().time()
            if letters or left <= 0:
                break
            try:
                async with asyncio.timeout(left):
                    await posted.wait()
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
            until = self.clearing.now_seconds + fault.seconds
            self.books.hold_back(to, business_id, definition, signed, until)
            return
        if fault is not None and fault.kind is FaultKind.BAD_SIGNATURE:
            self.books.post(to, business_id, definition, signed.replace(b"<CreDtTm>2", b"<CreDtTm>1", 1))
        self.books.post(to, business_id, definition, signed)
        if fault is not None and fault.kind is FaultKind.DUPLICATE_DELIVERY:
            self.books.post(to, business_id, definition, signed)
        self.books.release(to)


async def _surely(make: Callable[_P, Awaitable[Reply | None]], *args: _P.args, **kwargs: _P.kwargs) -> Reply | None:
    """Return the reply, or 500 for a mistake of ours: nothing of the request was done, and it may be repeated."""
    try:
        return await make(*args, **kwargs)
    except Exception as error:
        _log_place("clearing_simulator.failed", error)
        return problem(500, "failed", "the simulator made a mistake; send it again")


def _log_place(event: str, error: Exception) -> None:
    # Its text may show values of a message, so only the place of the mistake is told.
    place = error.__traceback__
    assert place is not None, "it was raised"
    while place.tb_next is not None:
        place = place.tb_next
    file = Path(place.tb_frame.f_code.co_filename).name
    log.error(event, error=type(error).__name__, file=file, line=place.tb_lineno)
