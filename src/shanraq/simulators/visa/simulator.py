"""The simulator as a whole: a server that verifies, routes, carries out and answers, and goes wrong when told to."""

from __future__ import annotations

import hashlib
import random
import ssl
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from shanraq.simulators.serve import Answer, HttpServer, Reply, Request
from shanraq.simulators.visa.control import PREFIX, control
from shanraq.simulators.visa.credentials import VisaCredentials
from shanraq.simulators.visa.faults import Fault, FaultKind, Faults
from shanraq.simulators.visa.mle import Envelopes
from shanraq.simulators.visa.model import ClockAdvance, JournalEntry, Refusal, Reset
from shanraq.simulators.visa.oauth import OAuth
from shanraq.simulators.visa.payer import PREFIX as BROWSER_PREFIX
from shanraq.simulators.visa.render import HAL, journal_line, refusal_reply
from shanraq.simulators.visa.resources import FeeSchedule
from shanraq.simulators.visa.route import Call, Route, Verb, find_route, read_query
from shanraq.simulators.visa.services import Services
from shanraq.simulators.visa.store import Journal, Store
from shanraq.simulators.visa.validate import parse_body
from shanraq.simulators.visa.verify import Identity, NotAuthenticError, Verifier, keys_of

log = structlog.get_logger(__name__)

LOOPBACK_NAMES: Final = ("127.0.0.1", "::1", "localhost")

_ANY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 - an address to bind that is asked for
_IDEMPOTENCY_WINDOW_SECONDS: Final = 15 * 60
_BODILESS: Final = frozenset({Verb.TEST_WEBHOOK, Verb.DELETE_NETWORK_TOKEN, Verb.REFRESH_STATUS})
_UNAUTHENTICATED: Final = Reply(401, b'{"response":{"rmsg":"Authentication Failed"}}')
_TOO_MANY: Final = Reply(429, b'{"response":{"rmsg":"Too Many Requests"}}', headers=(("Retry-After", "1"),))
_GARBAGE: Final = Reply(201, b'{"id": "17, <html>', HAL)


@dataclass(frozen=True, slots=True)
class _Replay:
    digest: bytes
    reply: Reply
    answered_at: float


class VisaSimulator:
    """Visa Acceptance (CyberSource REST) on one address, with all state in memory.

    `clock` gives the wall clock in seconds; tokens of merchants are judged by it, payments and OAuth by the simulated clock,
    which starts there and can be advanced. `hosts` are further names clients may sign, each as host (then also with our ports)
    or as host:port. With `journal`, every accepted operation is written to that file before it is answered, and read back at
    the next start. The control API is off without `control_token`. `taken_on_502` names the reasons of 502 answers (amount
    triggers) after which the money was taken all the same: by default SERVER_TIMEOUT (8151.02), while SYSTEM_ERROR (8150.01)
    and SERVICE_TIMEOUT (8152.03) took nothing. `webhook_tls` verifies receivers of notifications that are called over https.
    """

    def __init__(
        self,
        credentials: VisaCredentials,
        *,
        seed: int = 0,
        hosts: Iterable[str] = (),
        index_lag_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
        journal: Path | None = None,
        control_token: str | None = None,
        taken_on_502: Collection[str] = ("SERVER_TIMEOUT",),
        webhook_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.credentials = credentials
        self.idempotency = False
        self._base_url = ""
        self._control_token = control_token
        self._journal_path = journal
        self._journal: Journal | None = None
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311 - correlation ids of a reproducible run, no secret
        self._store = Store()
        self._faults = Faults()
        self._replays: OrderedDict[tuple[str, str, str], _Replay] = OrderedDict()
        self._hosts = tuple(hosts)
        self._oauth = OAuth.offered(credentials, lambda: clock() + self._store.clock_offset_seconds)
        self._verifier = Verifier(keys_of(credentials), self._hosts, clock, self._oauth)
        self._envelopes = Envelopes(credentials, clock)
        self._services = Services(
            credentials,
            self._store,
            self._keep,
            clock,
            lambda: self._base_url,
            seed=seed,
            taken_on_502=taken_on_502,
            webhook_tls=webhook_tls,
        )
        self._gateway = self._services.gateway
        self._handlers = self._services.handlers
        self._searches = self._services.searches
        self._searches.index_lag_seconds = index_lag_seconds
        self._server = HttpServer(self.answer)

    # Running.

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None) -> str:
        """Read the journal, listen, and return the base URL; raises OSError or ValueError."""
        if self._journal_path is not None and self._journal is None:
            self._journal = Journal(self._journal_path)
            entries = self._journal.read()
            # After a stop the memory still holds what the journal holds.
            for entry in entries if self._store.is_new else ():
                self._store.apply(entry)
        self._base_url = await self._listen(host, port, tls)
        await self._services.deliveries.start()
        log.info("visa_simulator.started", base_url=self._base_url)
        return self._base_url

    async def listen_tls(self, host: str, port: int, tls: ssl.SSLContext) -> str:
        """Listen on one more port, with TLS, and return its URL; raises OSError."""
        url = await self._listen(host, port, tls)
        log.info("visa_simulator.listens_with_tls", url=url)
        return url

    async def _listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        port = await self._server.start(host, port, tls)
        local = LOOPBACK_NAMES if host in {*LOOPBACK_NAMES, *_ANY_ADDRESS} else ()
        for name in {host, *local, *self._hosts}:
            bracketed = f"[{name}]" if name.count(":") > 1 else name
            # A name that came with a port is meant as it is.
            if ":" not in bracketed.rpartition("]")[2]:
                self._verifier.add_host(f"{bracketed}:{port}")
                if port in {80, 443}:
                    self._verifier.add_host(bracketed)
        return f"{'https' if tls is not None else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Close the connections, the address and the journal."""
        await self._server.stop()
        await self._services.deliveries.stop()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        log.info("visa_simulator.stopped", base_url=self._base_url)

    async def __aenter__(self) -> Self:
        if not self._base_url:
            await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def base_url(self) -> str:
        """Where it listens."""
        assert self._base_url, "the simulator has not been started"
        return self._base_url

    # Control.

    @property
    def index_lag_seconds(self) -> float:
        """How long the search index is behind, in seconds of the simulated clock."""
        return self._searches.index_lag_seconds

    @index_lag_seconds.setter
    def index_lag_seconds(self, seconds: float) -> None:
        self._searches.index_lag_seconds = seconds

    def fail_next(
        self,
        kind: FaultKind | str,
        verb: Verb | str | None = None,
        *,
        count: int = 1,
        seconds: float = 0.0,
        processed: bool = False,
    ) -> None:
        """Let a fault happen to the next `count` requests of an operation, or of any."""
        self.inject(Fault(FaultKind(kind), Verb(verb) if verb is not None else None, count, seconds, processed))

    def inject(self, fault: Fault) -> None:
        """Let a fault happen."""
        self._faults.waiting.append(fault)

    def waiting_faults(self) -> list[Fault]:
        """Return the faults still to happen."""
        return list(self._faults.waiting)

    def clear_faults(self) -> None:
        """Forget the faults still to happen."""
        self._faults.waiting.clear()

    def reset(self) -> None:
        """Forget all payments, searches, cached replies and faults. Used tokens stay used."""
        self._keep(Reset(self._gateway.now()))
        self._services.forget()
        self._replays.clear()
        self.clear_faults()

    def advance_clock(self, seconds: float) -> None:
        """Move the simulated clock forward."""
        self._keep(ClockAdvance(seconds))
        self._services.deliveries.clock_moved()

    def cut_off(self) -> int:
        """Send the batch: what is pending becomes transmitted and can no longer be voided. Return how many were."""
        return self._services.cut_off()

    def set_fees(self, fees: FeeSchedule) -> None:
        """Use another fee schedule from the next cut-off on."""
        self._keep(fees)

    @property
    def services(self) -> Services:
        """The parts that the control API drives one by one."""
        return self._services

    @property
    def store(self) -> Store:
        """The state."""
        return self._store

    def journal(self) -> list[dict[str, Any]]:
        """Return every operation of every merchant, oldest first."""
        return [journal_line(record) for record in self._store.records.values()]

    def _keep(self, entry: JournalEntry) -> None:
        if self._journal is not None:
            self._journal.append(entry)
        self._store.apply(entry)

    # Answering.

    def answer(self, request: Request) -> Answer:
        """Answer one request; never raises."""
        if request.target.startswith(PREFIX) and self._control_token is not None:
            return Answer(control(self, request, self._control_token))
        if request.target.startswith(BROWSER_PREFIX):
            return Answer(self._services.payer.page(request))
        granted = self._oauth.answer(request) if self._oauth is not None else None
        answer = Answer(granted) if granted is not None else self._answer_merchant(request)
        if answer.reply is None or answer.reply.dropped:
            return answer
        correlation_id = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        headers = (*answer.reply.headers, ("v-c-correlation-id", correlation_id))
        return replace(answer, reply=replace(answer.reply, headers=headers))

    def _answer_merchant(self, request: Request) -> Answer:
        try:
            route = find_route(request.method, request.target)
        except Refusal as refusal:
            # A path is told only to those who proved who they are.
            return Answer(self._reply(request, refusal))
        fault = self._faults.take(route.verb)
        if fault is None:
            return Answer(self._reply(request, route))
        log.info("visa_simulator.fault", kind=fault.kind.value, operation=route.verb.value)
        return self._answer_wrongly(request, route, fault)

    def _answer_wrongly(self, request: Request, route: Route, fault: Fault) -> Answer:
        if fault.kind is FaultKind.DROP_BEFORE:
            return Answer(None)
        if fault.kind is FaultKind.HTTP_502:
            if fault.processed:
                self._reply(request, route)
            return Answer(refusal_reply(Refusal(fault.reason, status=502), self._gateway.now()))
        if fault.kind is FaultKind.HTTP_429:
            return Answer(_TOO_MANY)
        reply = self._reply(request, route, times=2 if fault.kind is FaultKind.DUPLICATE else 1)
        if fault.kind is FaultKind.DROP_AFTER:
            return Answer(None)
        if fault.kind is FaultKind.GARBAGE:
            return Answer(_GARBAGE)
        return Answer(reply, fault.seconds if fault.kind is FaultKind.SLOW else 0.0)

    def _reply(self, request: Request, route: Route | Refusal, *, times: int = 1) -> Reply:
        """Verify, decrypt, carry out and encrypt; for a path that leads nowhere the reply is its refusal."""
        try:
            identity = self._verifier.verify(request)
        except NotAuthenticError:
            return _UNAUTHENTICATED
        try:
            seal = self._envelopes.sealer(identity)
        except Refusal as refusal:
            # An encrypted reply was asked for, to a key that nobody knows: nothing is done, and nothing told.
            return refusal_reply(refusal, self._gateway.now(), request.target)
        return seal(self._reply_in_clear(identity, request, route, times))

    def _reply_in_clear(self, identity: Identity, request: Request, route: Route | Refusal, times: int) -> Reply:
        if isinstance(route, Refusal):
            return refusal_reply(route, self._gateway.now(), request.target)
        try:
            request = self._envelopes.open(identity, request)
            reply = self._carry_out(identity, route, request)
            for _ in range(times - 1):
                # The network repeated the request: the service cannot tell, and carries it out once more.
                self._carry_out(identity, route, request)
        except Refusal as refusal:
            return refusal_reply(refusal, self._gateway.now(), request.target)
        except Exception as error:
            # The reply and the log hold nothing of an unforeseen mistake but its place.
            log.error("visa_simulator.failed", operation=route.verb.value, **_place_of(error))  # noqa: TRY400
            return refusal_reply(Refusal("SYSTEM_ERROR", status=502), self._gateway.now())
        return reply

    def _carry_out(self, identity: Identity, route: Route, request: Request) -> Reply:
        merchant_id = identity.merchant_id
        handler = self._handlers[route.verb]
        if request.method in {"GET", "DELETE"}:
            return handler(Call(merchant_id, route, {}, read_query(request.target), request.headers.get("accept", "")))
        body = {} if route.verb in _BODILESS and request.body in {b"", b"null"} else parse_body(request.body)
        query = read_query(request.target) if "?" in request.target else {}
        call = Call(merchant_id, route, body, query, request.headers.get("accept", ""))
        key = request.headers.get("v-c-idempotency-id", "")
        if not (self.idempotency and key):
            return handler(call)
        return self._carry_out_once((merchant_id, request.target, key), request.body, lambda: handler(call))

    def _carry_out_once(self, key: tuple[str, str, str], body: bytes, operate: Callable[[], Reply]) -> Reply:
        now = self._clock() + self._store.clock_offset_seconds
        while self._replays:
            oldest = next(iter(self._replays))
            if now - self._replays[oldest].answered_at <= _IDEMPOTENCY_WINDOW_SECONDS:
                break
            del self._replays[oldest]
        digest = hashlib.sha256(body).digest()
        replay = self._replays.get(key)
        if replay is not None:
            if replay.digest != digest:
                raise Refusal("DUPLICATE_REQUEST")
            return replay.reply
        reply = operate()
        self._replays[key] = _Replay(digest, replace(reply, dropped=False), now)
        return reply


def _place_of(error: Exception) -> dict[str, object]:
    place = error.__traceback__
    assert place is not None
    while place.tb_next is not None:
        place = place.tb_next
    file = Path(place.tb_frame.f_code.co_filename).name
    return {"error": type(error).__name__, "file": file, "line": place.tb_lineno}
