"""The simulator as a whole: a server that verifies, routes, carries out and answers, and goes wrong when told to."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import structlog

from shanraq.simulators.mastercard import payer
from shanraq.simulators.mastercard.control import PREFIX, control
from shanraq.simulators.mastercard.credentials import MastercardCredentials
from shanraq.simulators.mastercard.developers import PATH as DEVELOPERS_PATH
from shanraq.simulators.mastercard.developers import Developers
from shanraq.simulators.mastercard.faults import Fault, FaultKind, Faults
from shanraq.simulators.mastercard.fields import Body, find, find_text, masked_body
from shanraq.simulators.mastercard.gateway import Gateway, Judged
from shanraq.simulators.mastercard.history import history_csv, read_query
from shanraq.simulators.mastercard.model import ClockAdvance, Cutoff, Entry, Parts, Reset
from shanraq.simulators.mastercard.notify import Notifier, is_notification_url
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.render import JSON, refusal_reply, reply_of, told
from shanraq.simulators.mastercard.render import moment as render_moment
from shanraq.simulators.mastercard.risk import DECISIONS, Rule, Seen, assess, check
from shanraq.simulators.mastercard.route import Resource, Route, find_route
from shanraq.simulators.mastercard.sessions import Sessions
from shanraq.simulators.mastercard.store import Journal, Store
from shanraq.simulators.mastercard.tokens import Tokens
from shanraq.simulators.mastercard.validate import currency_of, parse
from shanraq.simulators.mastercard.verify import Verifier
from shanraq.simulators.outbox import NotificationFault
from shanraq.simulators.serve import Answer, HttpServer, Reply, Request

log = structlog.get_logger(__name__)

_REPORTS: Final = frozenset({Resource.HISTORY, Resource.SETTLEMENT, Resource.DISPUTES, Resource.BATCH})
_GARBAGE: Final = Reply(201, b'{"result": "SUC, <html>', JSON)
_BAD_GATEWAY: Final = Reply(502, b"<html>Bad Gateway</html>", "text/html")
_TOO_MANY: Final = Reply(429, b"{}", JSON, headers=(("Retry-After", "1"),))
_BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class _Review(msgspec.Struct, forbid_unknown_fields=True):
    merchant_id: str
    order_id: str
    decision: str
    note: str = ""
    user_id: str = "simulator"


class MastercardSimulator:
    """The Mastercard Gateway (MPGS, REST-JSON) on one or two ports, with all state in memory.

    `clock` gives the wall clock in seconds; orders go by the simulated clock, which starts there and can be advanced. `hosts`
    are further names that clients of the Developers add-on may sign. With `journal`, every entry is written to that file
    before it is answered, and read back at the next start. The control API is off without `control_token`.
    """

    def __init__(
        self,
        credentials: MastercardCredentials,
        *,
        seed: int = 0,
        hosts: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
        journal: Path | None = None,
        control_token: str | None = None,
    ) -> None:
        self.credentials = credentials
        self._base_url = ""
        self._control_token = control_token
        self._journal_path = journal
        self._journal: Journal | None = None
        self._clock = clock
        self._hosts = tuple(hosts)
        self._random = random.Random(seed)  # noqa: S311 - ids of a reproducible run, no secret
        self.store = Store()
        self.gateway = Gateway(self.store, self._keep, self.now, seed=seed, judge=self._judge)
        self.gateway.base_url = lambda: self._base_url
        self.gateway.new_key = lambda: self._word(32)
        self.risk_rules: list[Rule] = []
        self.sessions = Sessions(self._word)
        self.tokens = Tokens(lambda count: "".join(str(self._random.randrange(10)) for _ in range(count)))
        self.notifier = Notifier(
            self.now, lambda: self._word(32), lambda _: credentials.notification_secret, secret_over_loopback=True
        )
        self._verifier = Verifier(credentials)
        self._faults = Faults()
        self._developers: Developers | None = None
        self._server = HttpServer(self.answer, body_limit_bytes=_BODY_LIMIT_BYTES)

    # Running.

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None) -> str:
        """Read the journal, listen, and return the base URL; raises OSError or ValueError."""
        if self._journal_path is not None and self._journal is None:
            self._journal = Journal(self._journal_path)
            entries = self._journal.read()
            for entry in entries if self.store.is_new else ():
                self.store.apply(entry)
            self._restore()
        self._base_url = await self._listen(host, port, tls)
        await self.notifier.start()
        log.info("mastercard_simulator.started", base_url=self._base_url)
        return self._base_url

    async def listen_tls(self, host: str, port: int, tls: ssl.SSLContext) -> str:
        """Listen on one more port, with TLS, and return its URL; raises OSError."""
        return await self._listen(host, port, tls)

    async def _listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> str:
        port = await self._server.start(host, port, tls)
        if self.credentials.consumer_key:
            names = [f"{name}:{port}" for name in {host, "127.0.0.1", "localhost"}]
            self._developers = Developers(
                self.credentials.consumer_key,
                self.credentials.signing_cert.encode(),
                (*names, *self._hosts),
                self._clock,
            )
        return f"{'https' if tls is not None else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Close the connections, the address and the journal."""
        await self._server.stop()
        await self.notifier.stop()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        log.info("mastercard_simulator.stopped", base_url=self._base_url)

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

    def now(self) -> float:
        """Return the simulated clock, Unix seconds."""
        return self._clock() + self.store.clock_offset_seconds

    def _word(self, count: int) -> str:
        return "".join(self._random.choice(_LETTERS) for _ in range(count))

    def _keep(self, entry: Entry) -> None:
        if self._journal is not None:
            self._journal.append(entry)
        self.store.apply(entry)

    def _restore(self) -> None:
        for name, part in (("sessions", self.sessions), ("tokens", self.tokens)):
            state = self.store.parts.get(name)
            if state:
                part.restore(state)
        rules = self.store.parts.get("risk", {}).get("rules", [])
        self.risk_rules = msgspec.convert(rules, list[Rule])

    # Control.

    def fail_next(
        self,
        kind: FaultKind | str,
        operation: str = "",
        *,
        count: int = 1,
        seconds: float = 0.0,
        processed: bool = False,
    ) -> None:
        """Let a fault happen to the next `count` requests of an operation, or of any."""
        self.inject(Fault(FaultKind(kind), operation, count, seconds, processed))

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
        """Forget all orders, scripted answers and faults."""
        self._keep(Reset(self.now()))
        self.gateway.scripted.clear()
        self.clear_faults()

    def advance_clock(self, seconds: float) -> None:
        """Move the simulated clock forward."""
        self._keep(ClockAdvance(seconds))
        self.notifier.clock_moved()

    def cut_off(self, merchant_id: str = "") -> int:
        """Send the batch: what is settled can no longer be voided. Return how many transactions were settled."""
        count = sum(not one.voided and merchant_id in ("", one.merchant_id) for one in self.store.unsettled)
        self._keep(Cutoff(self.now(), merchant_id))
        return count

    def journal(self) -> list[dict[str, Any]]:
        """Return every transaction of every merchant, oldest first, amounts in minor units."""
        return [
            {
                "sequence": one.sequence,
                "merchant_id": one.merchant_id,
                "order_id": one.order_id,
                "transaction_id": one.id,
                "operation": one.operation,
                "type": one.type,
                "target_id": one.target_id,
                "amount_minor": one.amount,
                "currency": one.currency,
                "approved": one.approved,
                "gateway_code": one.gateway_code,
                "result": one.result,
                "voided": one.voided,
                "settled": one.settled,
                "time": one.time,
            }
            for one in self.store.all
        ]

    def orders(self) -> list[dict[str, Any]]:
        """Return every order of every merchant, amounts in minor units."""
        return [
            {
                "merchant_id": order.merchant_id,
                "order_id": order.id,
                "status": order.status,
                "currency": order.currency,
                "authorized_minor": order.authorized,
                "captured_minor": order.captured,
                "refunded_minor": order.refunded,
                "disbursed_minor": order.disbursed,
                "review": order.review,
            }
            for order in self.store.orders.values()
        ]

    def control_more(self, method: str, path: str, request: Request) -> dict[str, Any]:
        """Answer what the parts add to the control API. Raises LookupError for what none of them knows."""
        match method, path:
            case "PUT", "risk-rules":
                rules = msgspec.json.decode(request.body, type=list[Rule])
                check(rules)
                self.risk_rules = rules
                self._keep_part("risk", {"rules": msgspec.to_builtins(rules)})
            case "POST", "review":
                asked = msgspec.json.decode(request.body, type=_Review)
                if asked.decision not in DECISIONS:
                    raise ValueError(f"decision must be one of {', '.join(sorted(DECISIONS))}")
                self.gateway.decide_review(asked.merchant_id, asked.order_id, asked.decision, asked.note, asked.user_id)
            case "POST", "notification-faults":
                fault = msgspec.json.decode(request.body, type=NotificationFault)
                self.notifier.faults.append(fault)
            case "PUT", "notification-url":
                wanted = msgspec.json.decode(request.body, type=dict[str, str])
                for merchant_id, url in wanted.items():
                    if url and not is_notification_url(url):
                        raise ValueError(f"{merchant_id}: not a URL for notifications")
                    self.notifier.urls[merchant_id] = url
            case "GET", "notifications":
                sent = [
                    {
                        "id": one.notification.id,
                        "attempt": one.notification.attempt,
                        "status": one.status,
                        "error": one.error,
                    }
                    for one in self.notifier.log
                ]
                return {"sent": sent, "waiting": self.notifier.waiting}
            case _:
                raise LookupError(f"{method} {path}")
        return {"ok": True}

    # Answering.

    def answer(self, request: Request) -> Answer:
        """Answer one request; never raises."""
        if request.target.startswith(PREFIX) and self._control_token is not None:
            return Answer(control(self, request, self._control_token))
        if self._developers is not None and request.target.partition("?")[0] == DEVELOPERS_PATH:
            return Answer(self._developers.answer(request))
        if request.target.startswith(payer.PREFIX):
            return Answer(self._browser(request))
        try:
            route = find_route(request.method, request.target)
        except Refusal as refusal:
            return Answer(refusal_reply(refusal))
        fault = self._faults.take(request.method, _named(request)) if self._faults.waiting else None
        if fault is None:
            return Answer(self._reply(request, route))
        log.info("mastercard_simulator.fault", kind=fault.kind.value, resource=route.resource.value)
        return self._answer_wrongly(request, route, fault)

    def _answer_wrongly(self, request: Request, route: Route, fault: Fault) -> Answer:
        match fault.kind:
            case FaultKind.DROP_BEFORE:
                return Answer(None)
            case FaultKind.HTTP_429:
                return Answer(_TOO_MANY)
            case FaultKind.SERVER_BUSY:
                return Answer(refusal_reply(Refusal("", "", "The server is busy.", "SERVER_BUSY", 503)))
            case FaultKind.LOCK_FAILURE:
                return Answer(reply_of(200, {"response": {"gatewayCode": "LOCK_FAILURE"}, "result": "FAILURE"}))
            case FaultKind.SERVER_FAILED | FaultKind.HTTP_502:
                if fault.processed:
                    self._reply(request, route)
                if fault.kind is FaultKind.HTTP_502:
                    return Answer(_BAD_GATEWAY)
                return Answer(refusal_reply(Refusal("", "", "The server failed.", "SERVER_FAILED", 500)))
        reply = self._reply(request, route)
        if fault.kind is FaultKind.DUPLICATE:
            self._reply(request, route)
        if fault.kind is FaultKind.DROP_AFTER:
            return Answer(None)
        if fault.kind is FaultKind.GARBAGE:
            return Answer(_GARBAGE)
        return Answer(reply, fault.seconds if fault.kind is FaultKind.SLOW else 0.0)

    def _reply(self, request: Request, route: Route) -> Reply:
        try:
            if route.resource is Resource.INFORMATION:
                return reply_of(200, {"status": "OPERATING", "gatewayHost": "simulator"})
            self._verify(request, route)
            return self._carry_out(request, route)
        except Refusal as refusal:
            return refusal_reply(refusal)
        except Exception as error:
            # The reply and the log hold nothing of an unforeseen mistake but its place.
            log.error("mastercard_simulator.failed", resource=route.resource.value, **_place_of(error))  # noqa: TRY400
            return refusal_reply(Refusal("", "", "The server failed.", "SERVER_FAILED", 500))

    def _verify(self, request: Request, route: Route) -> None:
        self._verifier.verify(request, route.merchant_id, reporting=route.resource in _REPORTS)

    def _carry_out(self, request: Request, route: Route) -> Reply:
        merchant_id = route.merchant_id
        match request.method, route.resource:
            case "PUT", Resource.TRANSACTION:
                return self._operate(request, route)
            case "GET", Resource.TRANSACTION:
                return self.gateway.retrieve_transaction(merchant_id, *route.ids)
            case "GET", Resource.ORDER:
                return self.gateway.retrieve_order(merchant_id, *route.ids)
            case _, Resource.SESSIONS | Resource.SESSION:
                return self._session(request, route)
            case _, Resource.TOKENS | Resource.TOKEN | Resource.TOKEN_SEARCH:
                return self._token(request, route)
            case _, Resource.HISTORY:
                query = read_query(route.query)
                replies = (told(one.reply) for one in self.store.of_merchant(merchant_id))
                return Reply(200, history_csv(query, replies), "text/csv;charset=utf-8")
            case _, Resource.BATCH:
                return self._close_batch(request, route)
            case _, Resource.PAYMENT_OPTIONS:
                body = parse(request.body)
                currency = currency_of(body, "order.currency") if find(body, "order.currency") is not None else "KZT"
                return reply_of(200, _payment_options(merchant_id, route.version, currency))
            case _:
                raise Refusal("", "", "The resource was not found.", status=404)

    def _operate(self, request: Request, route: Route) -> Reply:
        raw = parse(request.body)
        merchant_id, moment = route.merchant_id, self._moment()
        order_id, transaction_id = route.ids
        before = self.store.of_order(merchant_id, order_id).get(transaction_id)
        second = find(raw, "apiOperation") == "AUTHENTICATE_PAYER"
        known = before is not None and not (second and before.operation == "INITIATE_AUTHENTICATION")
        body = raw
        if not known:
            if find(raw, "session.id") is not None:
                body = self.sessions.resolve(body, merchant_id, moment)
            if find(body, "sourceOfFunds.token") is not None:
                body = self.tokens.resolve(body, merchant_id)
        reply = self.gateway.operate(merchant_id, route.version, order_id, transaction_id, body, raw)
        if not known:
            order = self.store.orders[merchant_id, order_id]
            done = self.store.of_order(merchant_id, order_id)[transaction_id]
            self.notifier.notify(merchant_id, told(done.reply), url=order.notification_url)
        if not known and find(raw, "session.id") is not None:
            self.sessions.consume(raw, merchant_id, moment)
            self._keep_part("sessions", self.sessions.snapshot())
        return reply

    def _session(self, request: Request, route: Route) -> Reply:
        merchant_id, moment = route.merchant_id, self._moment()
        if request.method == "GET":
            return self._shown(route, self.sessions.retrieve(route.ids[0], merchant_id, moment))
        body = {} if request.body.strip() in (b"", b"{}") else parse(request.body)
        if route.resource is Resource.SESSION:
            answer, status = self.sessions.update(route.ids[0], body, merchant_id, moment), 200
        elif find_text(body, "apiOperation") in ("INITIATE_CHECKOUT", "CREATE_CHECKOUT_SESSION"):
            answer, status = self.sessions.initiate_checkout(body, merchant_id, moment, int(route.version)), 201
        else:
            answer, status = self.sessions.create(body, merchant_id, moment), 201
        self._keep_part("sessions", self.sessions.snapshot())
        return self._shown(route, answer, status)

    def _token(self, request: Request, route: Route) -> Reply:
        merchant_id = route.merchant_id
        if request.method == "GET":
            return self._shown(route, self.tokens.retrieve(route.ids[0], merchant_id))
        if request.method == "DELETE":
            answer, status = self.tokens.delete(route.ids[0], merchant_id), 200
        else:
            body = parse(request.body)
            if find(body, "session.id") is not None:
                body = self.sessions.resolve(body, merchant_id, self._moment())
            match route.resource:
                case Resource.TOKEN_SEARCH:
                    return self._shown(route, self.tokens.search(body, merchant_id))
                case Resource.TOKEN:
                    answer, status = self.tokens.put(route.ids[0], body, merchant_id, self._moment()), 200
                case _:
                    answer, status = self.tokens.create(body, merchant_id, self._moment()), 201
        self._keep_part("tokens", self.tokens.snapshot())
        return self._shown(route, answer, status)

    def _close_batch(self, request: Request, route: Route) -> Reply:
        body = parse(request.body)
        if find(body, "apiOperation") not in (None, "CLOSE_BATCH"):
            raise Refusal("apiOperation", "INVALID", "The value must be CLOSE_BATCH.")
        batch, count = self.store.batch, self.cut_off(route.merchant_id)
        answer = {"batch": {"number": batch, "transactionCount": count}, "response": {"gatewayCode": "APPROVED"}}
        return self._shown(route, answer)

    def _shown(self, route: Route, answer: Body, status: int = 200) -> Reply:
        head = {"merchant": route.merchant_id, "result": "SUCCESS", "version": route.version}
        return reply_of(status, head | masked_body(answer))

    def _judge(
        self, merchant_id: str, order_id: str, operation: str, body: Body, number: str, csc: str, avs: str
    ) -> Judged:
        judged = self.gateway.authentication_of(merchant_id, order_id, body)
        if judged.gateway_code:
            return judged
        seen = Seen(
            number, self.gateway.fingerprint(number), csc, avs, judged.transaction_status,
            find_text(body, "device.ipAddress") or "",
        )  # fmt: skip
        decision, block = assess(self.risk_rules, operation, body, seen, lambda: render_moment(self.now()))
        judged.risk = block
        if decision == "REJECTED":
            judged.gateway_code = "BLOCKED"
        judged.review = "PENDING" if decision == "REVIEW_REQUIRED" else ""
        return judged

    def _browser(self, request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        match path.removeprefix(payer.PREFIX):
            case "method":
                return payer.gone("The device data was taken.", 200)
            case "challenge":
                return payer.page(query, self._base_url)
            case "answer" if request.method == "POST":
                key, letter = payer.answered(request)
                if not letter:
                    return payer.gone("Choose how the challenge shall end.", 400)
                done = self.gateway.finish_challenge(key, letter)
                return payer.gone("There is no such challenge.") if done is None else payer.back(*done)
            case _:
                return payer.gone("There is nothing here.")

    def _keep_part(self, name: str, state: dict[str, Any]) -> None:
        self._keep(Parts(name, state))

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self.now(), UTC)


def _payment_options(merchant_id: str, version: str, currency: str) -> Body:
    return {
        "merchant": merchant_id,
        "paymentTypes": {"card": {"cardTypes": [{"cardType": "MASTERCARD"}, {"cardType": "VISA"}]}},
        "result": "SUCCESS",
        "supportedCurrencies": [currency],
        "transactionMode": "AUTHORIZE_CAPTURE",
        "version": version,
    }


def _named(request: Request) -> str:
    """Return the operation that a body names, for faults: it may be anything."""
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    name = body.get("apiOperation") if isinstance(body, dict) else None
    return name if isinstance(name, str) else ""


def _place_of(error: Exception) -> dict[str, object]:
    place = error.__traceback__
    assert place is not None
    while place.tb_next is not None:
        place = place.tb_next
    file = Path(place.tb_frame.f_code.co_filename).name
    return {"error": type(error).__name__, "file": file, "line": place.tb_lineno}
