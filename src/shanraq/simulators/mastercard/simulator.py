"""The simulator as a whole: a server that verifies, routes, carries out and answers, and goes wrong when told to."""

from __future__ import annotations

import hmac
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
from shanraq.simulators.mastercard.authentication import Authentications
from shanraq.simulators.mastercard.control import PREFIX, control
from shanraq.simulators.mastercard.control_settle import control_settlement
from shanraq.simulators.mastercard.credentials import MastercardCredentials
from shanraq.simulators.mastercard.developers import PATH as DEVELOPERS_PATH
from shanraq.simulators.mastercard.developers import Developers
from shanraq.simulators.mastercard.disputes import Disputes, disputes_csv
from shanraq.simulators.mastercard.faults import Fault, FaultKind, Faults
from shanraq.simulators.mastercard.fees import DEFAULT as DEFAULT_FEES
from shanraq.simulators.mastercard.fees import FeeRule
from shanraq.simulators.mastercard.fields import (
    NUMBER,
    Body,
    find,
    find_text,
    holds_card_number,
    masked_body,
    missing,
    read_expiry,
    read_number,
    reject_unknown,
)
from shanraq.simulators.mastercard.gateway import Asked, Gateway, Judged
from shanraq.simulators.mastercard.history import history_csv, read_query
from shanraq.simulators.mastercard.model import ClockAdvance, Cutoff, Entry, Part, Reset, Transaction
from shanraq.simulators.mastercard.notify import Notifier, is_notification_url
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.mastercard.render import JSON, in_version, kept, refusal_reply, reply_of, told
from shanraq.simulators.mastercard.render import moment as render_moment
from shanraq.simulators.mastercard.risk import (
    DECISIONS,
    Filters,
    Rule,
    Seen,
    assess,
    check_countries,
    check_note,
    checked,
)
from shanraq.simulators.mastercard.route import Resource, Route, find_route
from shanraq.simulators.mastercard.schema import check_fields
from shanraq.simulators.mastercard.sessions import SESSION_PREFIX, Sessions
from shanraq.simulators.mastercard.settle import statement_csv
from shanraq.simulators.mastercard.store import Journal, Store
from shanraq.simulators.mastercard.tokens import Tokens
from shanraq.simulators.mastercard.triggers import Triggers
from shanraq.simulators.mastercard.upload import Uploads
from shanraq.simulators.mastercard.validate import (
    AUTHENTICATION,
    amount_of,
    check_assessment_fields,
    check_id,
    check_order_fields,
    currency_of,
    decimal,
    parse,
)
from shanraq.simulators.mastercard.verify import Verifier, password_of
from shanraq.simulators.outbox import NotificationFault
from shanraq.simulators.serve import Answer, HttpServer, Reply, Request

log = structlog.get_logger(__name__)

_REPORTS: Final = frozenset({Resource.HISTORY, Resource.SETTLEMENT, Resource.DISPUTES, Resource.BATCH})
_GARBAGE: Final = Reply(201, b'{"result": "SUC, <html>', JSON)
_BAD_GATEWAY: Final = Reply(502, b"<html>Bad Gateway</html>", "text/html")
_TOO_MANY: Final = Reply(429, b"{}", JSON, headers=(("Retry-After", "1"),))
_BATCH: Final = frozenset({"acquirer", "apiOperation", "correlationId"})
_TOO_LARGE: Final = refusal_reply(Refusal("", "", "The request body is too large.", status=413))
_CREATED: Final = 201
_BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class _Password(msgspec.Struct, forbid_unknown_fields=True):
    merchant_id: str
    password: str


class _Review(msgspec.Struct, forbid_unknown_fields=True):
    merchant_id: str
    order_id: str
    decision: str
    note: str = ""
    user_id: str = "simulator"


class MastercardSimulator:
    """The Mastercard Gateway (MPGS, REST-JSON) on one or two ports, with all state in memory.

    `clock` gives the wall clock in seconds; orders go by the simulated clock, which starts there and can be advanced. A
    transaction is in the history `index_lag_seconds` after it was made. `hosts` are further names that clients of the
    Developers add-on may sign. With `journal`, every entry is written to that file before it is answered, and read back at
    the next start. The control API is off without `control_token`.
    """

    def __init__(
        self,
        credentials: MastercardCredentials,
        *,
        seed: int = 0,
        index_lag_seconds: float = 0.0,
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
        if not 0 <= index_lag_seconds < float("inf"):
            raise ValueError("the index lag must be a number of seconds from 0")
        self._index_lag_seconds = index_lag_seconds
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - ids of a reproducible run, no secret
        self.store = Store()
        self.gateway = Gateway(
            self.store, self._keep, self.now, credentials.comparison_key(), judge=self._judge, random=self._random
        )
        self.authentications = Authentications(self.gateway, lambda: self._base_url, lambda: self._word(32), self._tell)
        self.gateway.authenticate = self.authentications.operate
        self.filters = Filters()
        self.fees: tuple[FeeRule, ...] = DEFAULT_FEES
        self.disputes = Disputes(self.store, self._keep, self.now)
        self.uploads = Uploads(
            self._operate_line,
            lambda key, state: self._keep(Part("upload", key, state)),
            self.gateway.fingerprint,
            self.now,
        )
        self.sessions = Sessions(self._word, lambda key, state: self._keep(Part("session", key, state)))
        self.tokens = Tokens(
            lambda count: "".join(str(self._random.randrange(10)) for _ in range(count)),
            lambda key, state: self._keep(Part("token", key, state)),
        )
        self.notifier = Notifier(
            self.now, lambda: self._word(32), lambda _: credentials.notification_secret, secret_over_loopback=True
        )
        self._verifier = Verifier(credentials)
        self._faults = Faults()
        self._developers: Developers | None = None
        self._server = HttpServer(self.answer, body_limit_bytes=_BODY_LIMIT_BYTES, too_large=_TOO_LARGE)

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
        await self.uploads.stop()
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
        # What was made before the stop is not made again: the ids after it are others.
        self._random.seed(f"{self._seed} {self.store.entries}")
        self.sessions.restore(self._parts("session"))
        self.tokens.restore(self._parts("token"))
        self.uploads.restore(self._parts("upload"))
        for state in self._parts("filters"):
            self.filters = Filters(msgspec.convert(state["rules"], list[Rule]), dict(state["countries"]))
        for state in self._parts("notification_urls"):
            self.notifier.urls |= state
        for state in self._parts("fees"):
            self.fees = msgspec.convert(state["rules"], tuple[FeeRule, ...])

    def _parts(self, name: str) -> list[dict[str, Any]]:
        return list(self.store.parts.get(name, {}).values())

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
        """Forget everything but the merchants and the clock: orders, sessions, tokens, rules, triggers, faults, and so on."""
        self._keep(Reset(self.now()))
        self.gateway.scripted.clear()
        self.gateway.triggers = Triggers()
        self.filters = Filters()
        self.fees = DEFAULT_FEES
        self.sessions.forget()
        self.tokens.forget()
        self.uploads.forget()
        self.notifier.forget()
        self.clear_faults()

    def advance_clock(self, seconds: float) -> None:
        """Move the simulated clock forward."""
        self._keep(ClockAdvance(seconds))
        self.notifier.clock_moved()

    def cut_off(self, merchant_id: str = "") -> int:
        """Send the batch: what is settled can no longer be voided. Return how many transactions were settled."""
        count = sum(not one.voided and merchant_id in ("", one.merchant_id) for one in self.store.unsettled)
        self._keep(Cutoff(self.now(), merchant_id, self.fees))
        return count

    def set_fees(self, rules: Iterable[FeeRule]) -> None:
        """Set the table of fees for the batches to come; those that were closed keep theirs."""
        self.fees = tuple(rules)
        self._keep(Part("fees", "", {"rules": msgspec.to_builtins(self.fees)}))

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
                "charged_back_minor": order.chargeback,
                "review": order.review,
            }
            for order in self.store.orders.values()
        ]

    def control_more(self, method: str, path: str, request: Request) -> dict[str, Any]:
        """Answer what the parts add to the control API. Raises LookupError for what none of them knows."""
        match method, path:
            case "PUT", "risk-rules":
                rules = msgspec.json.decode(request.body, type=list[Rule])
                self._filter(Filters(checked(rules, self.gateway.fingerprint), self.filters.countries))
            case "PUT", "risk-countries":
                countries = msgspec.json.decode(request.body, type=dict[str, str])
                check_countries(countries)
                self._filter(Filters(self.filters.rules, countries))
            case "GET", "risk-rules":
                return {"rules": msgspec.to_builtins(self.filters.rules), "countries": self.filters.countries}
            case "POST", "review":
                asked = msgspec.json.decode(request.body, type=_Review)
                if asked.decision not in DECISIONS:
                    raise ValueError(f"decision must be one of {', '.join(sorted(DECISIONS))}")
                check_note(asked.note, asked.user_id)
                self.gateway.decide_review(asked.merchant_id, asked.order_id, asked.decision, asked.note, asked.user_id)
            case "GET", "passwords":
                return {"passwords": self._verifier.counts()}
            case "POST", "passwords":
                added = msgspec.json.decode(request.body, type=_Password)
                self._verifier.add_password(added.merchant_id, added.password)
            case "DELETE", "passwords":
                ended = msgspec.json.decode(request.body, type=_Password)
                self._verifier.remove_password(ended.merchant_id, ended.password)
            case "GET", "challenges":
                return {"challenges": self.authentications.open_challenges()}
            case "POST", "notification-faults":
                fault = msgspec.json.decode(request.body, type=NotificationFault)
                self.notifier.faults.append(fault)
            case "PUT", "notification-url":
                wanted = msgspec.json.decode(request.body, type=dict[str, str])
                for merchant_id, url in wanted.items():
                    if merchant_id not in (self.credentials.merchant_id, self.credentials.other_merchant_id):
                        raise ValueError("a key is none of the two merchants")
                    if url and not is_notification_url(url):
                        raise ValueError(f"{merchant_id}: not a URL for notifications")
                self.notifier.urls |= wanted
                self._keep(Part("notification_urls", "", dict(self.notifier.urls)))
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
                return control_settlement(self, method, path, request)
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
            return refusal_reply(refusal, _text_of(request, "correlationId"))
        except Exception as error:
            # The reply and the log hold nothing of an unforeseen mistake but its place.
            log.error("mastercard_simulator.failed", resource=route.resource.value, **_place_of(error))  # noqa: TRY400
            return refusal_reply(Refusal("", "", "The server failed.", "SERVER_FAILED", 500))

    def _verify(self, request: Request, route: Route) -> None:
        session_id = password_of(request, route.merchant_id)
        if session_id.startswith(SESSION_PREFIX) and _is_for_browsers(request, route, session_id):
            self.sessions.authenticate(session_id, route.merchant_id, self._moment())
            return
        self._verifier.verify(request, route.merchant_id, reporting=route.resource in _REPORTS)

    def _carry_out(self, request: Request, route: Route) -> Reply:
        merchant_id = route.merchant_id
        match request.method, route.resource:
            case "PUT", Resource.TRANSACTION:
                return self._operate(request, route)
            case "GET", Resource.TRANSACTION:
                return self.gateway.retrieve_transaction(merchant_id, route.version, *route.ids)
            case "GET", Resource.ORDER:
                return self.gateway.retrieve_order(merchant_id, route.version, *route.ids)
            case _, Resource.SESSIONS | Resource.SESSION:
                return self._session(request, route)
            case _, Resource.TOKENS | Resource.TOKEN | Resource.TOKEN_SEARCH:
                return self._token(request, route)
            case _, Resource.RISK_ASSESSMENT:
                return self._assess(request, route)
            case _, Resource.HISTORY:
                query = read_query(route.query)
                indexed = self.now() - self._index_lag_seconds
                replies = (told(one.reply) for one in self.store.of_merchant(merchant_id) if one.time <= indexed)
                return Reply(200, history_csv(query, replies), "text/csv;charset=utf-8")
            case _, Resource.SETTLEMENT:
                content = statement_csv(read_query(route.query), self.store.batches, merchant_id)
                return Reply(200, content, "text/csv;charset=utf-8")
            case _, Resource.DISPUTES:
                content = disputes_csv(read_query(route.query), self.store.disputes.values(), merchant_id)
                return Reply(200, content, "text/csv;charset=utf-8")
            case _, Resource.BATCH:
                return self._close_batch(request, route)
            case "PUT", Resource.UPLOAD:
                kind = request.headers.get("content-type", "")
                return self.uploads.take(merchant_id, route.version, route.ids[0], kind, request.body)
            case _, Resource.UPLOAD:
                return self.uploads.status(merchant_id, route.version, route.ids[0])
            case _, Resource.UPLOAD_PART:
                if route.ids[1] == "response":
                    return self.uploads.response(merchant_id, route.ids[0])
                return self.uploads.status(merchant_id, route.version, route.ids[0])
            case _, Resource.PAYMENT_OPTIONS:
                body = parse(request.body)
                check_order_fields(body)
                currency = currency_of(body, "order.currency") if find(body, "order.currency") is not None else "KZT"
                return reply_of(200, _payment_options(merchant_id, route.version, currency))
            case _:
                raise Refusal("", "", "The resource was not found.", status=404)

    def _operate(self, request: Request, route: Route) -> Reply:
        raw = parse(request.body)
        merchant_id, moment = route.merchant_id, self._moment()
        order_id, transaction_id = route.ids
        known = self.store.of_order(merchant_id, order_id).get(transaction_id)
        again = known is not None and find(raw, "apiOperation") in ("INITIATE_AUTHENTICATION", known.operation)
        body = raw if again else self._resolved(raw, merchant_id)
        reply = self.gateway.operate(merchant_id, route.version, order_id, transaction_id, body, raw)
        if reply.status == _CREATED:
            self._tell(self.store.of_order(merchant_id, order_id)[transaction_id])
            if find(body, "apiOperation") not in AUTHENTICATION:
                self.sessions.consume(raw, merchant_id, moment)
        return reply

    def _operate_line(self, merchant_id: str, version: str, order_id: str, transaction_id: str, body: Body) -> Body:
        route = Route(Resource.TRANSACTION, merchant_id, version, (order_id, transaction_id))
        return parse(self._operate(Request("PUT", "", {}, msgspec.json.encode(body)), route).body)

    def _resolved(self, raw: Body, merchant_id: str) -> Body:
        """Return a body with the fields of its session and the card of its token; raises Refusal where there are none."""
        body = raw
        if find(raw, "session") is not None:
            body = self.sessions.resolve(body, merchant_id, self._moment())
        if find(body, "sourceOfFunds.token") is not None:
            body = self.tokens.resolve(body, merchant_id)
        return body

    def _tell(self, done: Transaction) -> None:
        url = self.store.orders[done.merchant_id, done.order_id].notification_url
        if not url and not self.notifier.urls.get(done.merchant_id):
            return
        self.notifier.notify(done.merchant_id, in_version(told(done.reply), done.version), url=url)

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
        return self._shown(route, answer, status)

    def _token(self, request: Request, route: Route) -> Reply:
        merchant_id = route.merchant_id
        if request.method == "GET":
            return self._shown(route, self.tokens.retrieve(route.ids[0], merchant_id))
        if request.method == "DELETE":
            answer, status = self.tokens.delete(route.ids[0], merchant_id), 200
        else:
            body = parse(request.body)
            if find(body, "session") is not None:
                body = self.sessions.resolve(body, merchant_id, self._moment())
            match route.resource:
                case Resource.TOKEN_SEARCH:
                    return self._shown(route, self.tokens.search(body, merchant_id))
                case Resource.TOKEN:
                    answer, status = self.tokens.put(route.ids[0], body, merchant_id, self._moment()), 200
                case _:
                    answer, status = self.tokens.create(body, merchant_id, self._moment()), 201
        return self._shown(route, answer, status)

    def _close_batch(self, request: Request, route: Route) -> Reply:
        body = parse(request.body)
        reject_unknown(body, _BATCH)
        check_fields(body)
        if find(body, "apiOperation") not in (None, "CLOSE_BATCH"):
            raise Refusal("apiOperation", "INVALID", "The value must be CLOSE_BATCH.")
        batch, count = self.store.batch, self.cut_off(route.merchant_id)
        answer = {"batch": {"number": batch, "transactionCount": count}, "response": {"gatewayCode": "APPROVED"}}
        return self._shown(route, answer)

    def _shown(self, route: Route, answer: Body, status: int = 200) -> Reply:
        head = {"merchant": route.merchant_id, "result": "SUCCESS", "version": route.version}
        return reply_of(status, head | told(masked_body(answer)))

    def _judge(self, asked: Asked, number: str, csc: str, avs: str) -> Judged:
        judged = self.authentications.of_payment(asked)
        if judged.gateway_code:
            return judged
        decision, judged.risk = self._filtered(asked.operation, asked.body, csc, avs, judged.transaction_status)
        if decision == "REJECTED":
            judged.gateway_code = "BLOCKED"
        judged.review = "PENDING" if decision == "REVIEW_REQUIRED" else ""
        return judged

    def _filtered(
        self, operation: str, body: Body, csc: str, avs: str, authentication: str
    ) -> tuple[str, dict[str, Any] | None]:
        number = read_number(body) or ""
        card = self.gateway.fingerprint(number) if number else ""
        seen = Seen(number, card, csc, avs, authentication, find(body, "device.ipAddress") or "")
        return assess(self.filters, operation, body, seen, lambda: render_moment(self.now()))

    def _assess(self, request: Request, route: Route) -> Reply:
        """Answer the stand-alone risk assessment: nothing is sent to an acquirer, and no order begins."""
        raw, merchant_id, (assessment_id,) = parse(request.body), route.merchant_id, route.ids
        check_id(assessment_id, "riskassessment.id")
        key, digest = f"{merchant_id} {assessment_id}", self.gateway.digest(raw)
        before = self.store.parts.get("assessment", {}).get(key)
        if before is not None:
            if not hmac.compare_digest(before["request"], digest):
                raise Refusal("riskassessment.id", "INVALID", "An assessment with this id and other content exists.")
            return reply_of(200, told(before["reply"]))
        wanted = find(raw, "requestAction")
        if wanted is None:
            raise missing("requestAction")
        body = self._resolved(raw, merchant_id)
        check_assessment_fields(body)
        currency = currency_of(body, "order.currency")
        amount = amount_of(body, "order.amount", currency)
        if read_number(body) is None:
            raise missing(NUMBER)
        read_expiry(body)
        status = self.authentications.status_in(body)
        _, block = self._filtered("PAY", body, *self.gateway.checks_of(body), status)
        assert block is not None
        if wanted == "INFORMATION_ONLY":
            # What was done elsewhere is noted for later assessments: nobody waits for a decision.
            block["response"] |= {"gatewayCode": "NOT_CHECKED", "review": {"decision": "NOT_REQUIRED"}}
        reply = {
            "merchant": merchant_id,
            "order": {"amount": decimal(amount, currency), "currency": currency},
            "result": "SUCCESS",
            "risk": block,
            "riskAssessment": {"id": assessment_id, "requestAction": wanted},
            "timeOfRecord": render_moment(self.now()),
            "version": route.version,
        }
        self._keep(Part("assessment", key, {"request": digest, "reply": kept(reply)}))
        return reply_of(201, reply)

    def _filter(self, filters: Filters) -> None:
        state = {"rules": msgspec.to_builtins(filters.rules), "countries": filters.countries}
        self._keep(Part("filters", "", state))
        self.filters = filters

    def _browser(self, request: Request) -> Reply:
        path, _, query = request.target.partition("?")
        match path.removeprefix(payer.PREFIX):
            case "method":
                return payer.gone("The device data was taken.", 200)
            case "challenge":
                return payer.page(query, self._base_url)
            case "answer" if request.method == "POST":
                key, choice = payer.answered(request)
                if not choice:
                    return payer.gone("Choose how the challenge shall end.", 400)
                done = self.authentications.finish(key, choice)
                return payer.gone("There is no such challenge.") if done is None else payer.back(*done)
            case _:
                return payer.gone("There is nothing here.")

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
    return _text_of(request, "apiOperation")


def _text_of(request: Request, name: str) -> str:
    """Return a short text of a body that may be anything; empty where there is none that may be shown."""
    try:
        body = msgspec.json.decode(request.body)
    except (ValueError, RecursionError):
        return ""
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) and len(value) <= 100 and not holds_card_number(value) else ""


def _is_for_browsers(request: Request, route: Route, session_id: str) -> bool:
    """Tell whether a request is one that a payer's browser may send with a session for its password."""
    if route.resource is Resource.SESSION:
        return route.ids == (session_id,)
    return route.resource is Resource.TRANSACTION and request.method == "PUT" and _named(request) in AUTHENTICATION


def _place_of(error: Exception) -> dict[str, object]:
    place = error.__traceback__
    assert place is not None
    while place.tb_next is not None:
        place = place.tb_next
    file = Path(place.tb_frame.f_code.co_filename).name
    return {"error": type(error).__name__, "file": file, "line": place.tb_lineno}
