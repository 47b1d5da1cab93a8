"""The host as a whole: it reads requests, moves money, writes down, answers, and goes wrong when told to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import structlog

from shanraq.simulators.iso8583.accounts import Accounts, Asked, Decision, Entry, Kind, Standing
from shanraq.simulators.iso8583.configuration import HostConfiguration
from shanraq.simulators.iso8583.faults import HALF, Fault, Faults, Predicate, fault_named
from shanraq.simulators.iso8583.journal import Card, Cards, Journal
from shanraq.simulators.iso8583.read import RefusedError, key_of, pan_of, read_request
from shanraq.simulators.iso8583.schemes import SCHEMES, Result, Scheme, Session
from shanraq.simulators.iso8583.serve import Connection
from shanraq.simulators.iso8583.triggers import Triggers
from shanraq.simulators.iso8583.wire import Wire, is_sealed
from shanraq.standards.iso8583 import FramingError, Iso8583Error, Message
from shanraq.standards.iso8583.flow import is_request, is_response
from shanraq.standards.iso8583.framing import Received

log = structlog.get_logger(__name__)

_NO_FAULT: Final = Fault()
_APPROVALS: Final = 1_000_000
_STEP: Final = 387_413
"""Has no divisor in common with a million: the first million approval codes of a run all differ."""


class Iso8583Host:
    """An acquirer's or issuer's host on one address, with its money in memory and, if wanted, in a journal.

    Raises ValueError for a scheme, layout, framing or response code there is not.
    """

    def __init__(self, configuration: HostConfiguration | None = None) -> None:
        self.configuration: Final = configuration or HostConfiguration()
        wanted = self.configuration.scheme
        if isinstance(wanted, str) and wanted not in SCHEMES:
            raise ValueError(f"there is no scheme {wanted[:32]!r}; there are {', '.join(SCHEMES)}")
        self.scheme: Final[Scheme] = SCHEMES[wanted] if isinstance(wanted, str) else wanted
        self.counts: Final[Counter[str]] = Counter()
        self.port = self.configuration.port
        self._wire = Wire(self.scheme, self.configuration)
        self._random = random.Random(self.configuration.seed)  # noqa: S311 - a reproducible run, no secret
        self._approval_offset = self._random.randrange(_APPROVALS)
        self._cards = Cards(self._random.randbytes(32))
        self._accounts = self._new_accounts()
        self._journal: Journal | None = None
        self._entries: list[Entry] = []
        self._answers: dict[tuple[str, ...], bytes] = {}
        self._faults = Faults()
        self._triggers = Triggers(
            list(self.configuration.rules),
            self.configuration.seed,
            built_in=self.configuration.built_in_triggers,
            slow_seconds=self.configuration.slow_seconds,
            late_seconds=self.configuration.late_seconds,
        )
        for rule in self.configuration.rules:
            self._check_code(rule.then)
        self._connections: set[Connection] = set()
        self._signed_on = False
        self._server: asyncio.Server | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._stan = 0

    # Running.

    async def start(self) -> int:
        """Read the journal, listen, and return the port; raises OSError or ValueError."""
        assert self._server is None, "the host is running"
        path = self.configuration.journal
        if path is not None:
            self._journal = Journal(path, self.scheme.name)
            self._cards = Cards(self._journal.salt)
            # The journal knows what was answered; the memory may be ahead of it, if it could not be written.
            self._accounts = self._new_accounts()
            self._answers.clear()
            for entry in self._journal.entries:
                self._accounts.apply(entry)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self, self._wire.framing),
                self.configuration.host,
                self.port,
                ssl=self.configuration.ssl,
            )
        except BaseException:
            self._close_journal()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self._watch()
        log.info("iso8583_host.started", scheme=self.scheme.name, port=self.port)
        return self.port

    async def stop(self) -> None:
        """Close the address, the connections and the journal. What was known stays known; `start` takes the same port again."""
        if self._server is None:
            return
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._server.close()
        self.disconnect()
        await self._server.wait_closed()
        self._server = None
        self._close_journal()
        self._signed_on = False
        log.info("iso8583_host.stopped", scheme=self.scheme.name, port=self.port)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _new_accounts(self) -> Accounts:
        return Accounts(
            by_trace=not self.scheme.names_originals, second_reversal=Result(self.configuration.second_reversal)
        )

    # What a test asks and tells.

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def signed_on(self) -> int:
        """How many connections have signed on."""
        return sum(connection.is_signed_on for connection in self._connections)

    @property
    def layout(self) -> str:
        """The name of the layout it speaks."""
        return self._wire.codec.layout.id

    @property
    def framing(self) -> str:
        """The name of the framing it speaks."""
        return self._wire.framing.name

    @property
    def operations(self) -> int:
        """How many requests it remembers, of this run and of the journal."""
        return len(self._accounts)

    def standing(self, rrn: str) -> Standing:
        """Return what stands under a DE37, in minor units; zeros when nothing was ever approved there."""
        return self._accounts.standing(rrn.rstrip())

    def standings(self) -> dict[str, Standing]:
        """Return what stands under every DE37 that ever had an approval."""
        return self._accounts.standings()

    def fail_next(
        self, fault: str | Fault, when: Predicate | None = None, *, count: int = 1, seconds: float | None = None
    ) -> None:
        """Let a fault happen to the next `count` requests of class 1, 2 or 4 (of those for which `when` holds).

        `seconds` is the delay of `slow` and `late`. Raises ValueError for a fault there is not.
        """
        if isinstance(fault, str):
            name = fault if seconds is None else f"{fault}:{seconds}"
            fault = fault_named(
                name,
                slow_seconds=self.configuration.slow_seconds,
                late_seconds=self.configuration.late_seconds,
            )
        self._check_code(fault)
        if count < 1:
            raise ValueError("a fault happens at least once")
        self._faults.add(fault, when, count)

    @property
    def waiting_faults(self) -> int:
        """How many faults are still to happen."""
        return len(self._faults)

    def clear_faults(self) -> None:
        """Forget the faults still to happen."""
        self._faults.clear()

    def disconnect(self) -> None:
        """Close all connections at once; clients may connect again."""
        for connection in list(self._connections):
            connection.abort()

    def send_echo(self) -> int:
        """Send an echo test on every connection, and return on how many."""
        for connection in self._connections:
            self._echo(connection)
        return len(self._connections)

    def send(self, message: Message) -> int:
        """Send a message of one's own on every connection, and return on how many; raises Iso8583Error."""
        raw = self._wire.encode(message)
        for connection in self._connections:
            connection.send(raw)
        return len(self._connections)

    def _check_code(self, fault: Fault) -> None:
        if fault.response_code:
            self.scheme.code_of(fault.response_code)

    # Connections.

    def opened(self, connection: Connection) -> bool:
        """Take a connection; False when there are too many."""
        if len(self._connections) >= self.configuration.connections:
            self.counts["refused_connections"] += 1
            return False
        self._connections.add(connection)
        self.counts["connections"] += 1
        return True

    def closed(self, connection: Connection) -> None:
        """Let a connection go."""
        self._connections.discard(connection)

    def lost_frame(self, connection: Connection, error: FramingError) -> None:
        """Count a stream that cannot be followed."""
        self.counts["lost_frames"] += 1
        log.warning("iso8583_host.frame_lost", code=error.code, open=self.connections)

    def keep(self) -> bool:
        """Write down what was carried out; False when that failed: then nothing may be answered any more."""
        if not self._entries:
            return True
        entries, self._entries = self._entries, []
        if self._journal is None:
            return True
        try:
            self._journal.append(entries)
        except OSError as error:
            log.error("iso8583_host.journal_failed", reason=error.strerror)  # noqa: TRY400 - the place says nothing
            self.counts["journal_failures"] += 1
            # The memory is ahead of the journal now: whoever goes on would answer from what a restart forgets.
            if self._server is not None:
                self._server.close()
            self.disconnect()
            return False
        return True

    def _watch(self) -> None:
        """Look after silent connections, several times within the shorter of the two periods."""
        echo, keep_alive = self.configuration.echo_after_seconds, self.configuration.keep_alive_after_seconds
        periods = [seconds for seconds in (echo, keep_alive) if seconds is not None]
        if not periods:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in self._connections:
            silent = now - connection.last_seen
            if echo is not None and silent >= echo:
                connection.last_seen = now
                self._echo(connection)
            elif keep_alive is not None and silent >= keep_alive:
                connection.last_seen = now
                connection.send_keep_alive()
        self._idle = loop.call_later(max(min(periods) / 4, 0.01), self._watch)

    def _echo(self, connection: Connection) -> None:
        scheme, now = self.scheme, datetime.now(UTC)
        self._stan = self._stan % 999_999 + 1
        code = scheme.echo_code()
        offset = scheme.session_offset
        fields = {7: f"{now:%m%d%H%M%S}", 11: f"{self._stan:06d}", scheme.session_element: "0" * offset + code}
        if scheme.edition == "1993":
            fields[12] = f"{now:%y%m%d%H%M%S}"
        message = Message(
            scheme.echo_type,
            {number: value for number, value in fields.items() if number in self._wire.has},
            header=connection.next_header or self._wire.first_header(),
        )
        self.counts["echoes_sent"] += 1
        self._tell("out", message)
        connection.send(self._wire.encode(message, sealed=False))

    # Messages.

    def take(self, connection: Connection, received: Received) -> None:
        """Carry out one message; never raises."""
        self.counts["received"] += 1
        try:
            message = self._wire.decode(received.message)
        except Iso8583Error as error:
            self._answer_unreadable(connection, received, error)
            return
        self._tell("in", message)
        try:
            self._take(connection, received, message)
        except Exception as error:
            # The log holds nothing of an unforeseen mistake but its name: its text may hold what was sent.
            self.counts["mistakes"] += 1
            log.error("iso8583_host.failed", mti=message.mti, error=type(error).__name__)  # noqa: TRY400

    def _take(self, connection: Connection, received: Received, message: Message) -> None:
        if not is_request(message.mti):
            self.counts["responses" if is_response(message.mti) else "ignored"] += 1
            return
        if not self._wire.is_authentic(received.message, message):
            self.counts["wrong_macs"] += 1
            mac = self.configuration.mac
            if mac is not None and mac.on_failure == "refuse":
                self._answer(connection, received, self._wire.answer(message, self.scheme.codes[Result.WRONG_MAC]))
            return
        if message.mti[1] == "8":
            connection.next_header = self._wire.next_header(message)
        match message.mti[1]:
            case "1" | "2" | "4":
                self._take_financial(connection, received, message)
            case "8":
                self._take_session(connection, received, message)
            case _:
                code = self.scheme.codes[Result.INVALID_TRANSACTION]
                self._answer(connection, received, self._wire.answer(message, code))

    def _answer_unreadable(self, connection: Connection, received: Received, error: Iso8583Error) -> None:
        self.counts["unreadable"] += 1
        log.info("iso8583_host.unreadable", code=error.code, element=error.field, offset=error.offset)
        answer = self._wire.answer_unreadable(error.partial) if error.partial is not None else None
        if answer is not None:
            connection.answer(answer, received.tpdu)

    def _take_session(self, connection: Connection, received: Received, message: Message) -> None:
        fault = self._triggers.find_for_session(message) or _NO_FAULT
        if fault.before:
            self._go_wrong(connection, fault)
            return
        scheme = self.scheme
        text = message.fields.get(scheme.session_element)
        at = scheme.session_offset
        session = scheme.sessions.get(text[at : at + 3]) if text is not None else None
        self.counts["sessions"] += 1
        if fault.response_code:
            code = scheme.code_of(fault.response_code)
        elif session is None:
            code = scheme.codes[Result.FORMAT_ERROR if text is None else Result.UNSUPPORTED]
        else:
            code = scheme.codes[Result.MANAGED]
            if session is Session.SIGN_ON:
                connection.is_signed_on = self._signed_on = True
            elif session is Session.SIGN_OFF:
                connection.is_signed_on = self._signed_on = False
        response = self._wire.answer_session(message, code)
        self._tell("out", response)
        raw = self._wire.encode(response, sealed=is_sealed(message))
        self._deliver(connection, received, raw, fault)

    def _take_financial(self, connection: Connection, received: Received, message: Message) -> None:
        if self.configuration.require_sign_on and not self._is_signed_on(connection):
            self.counts["not_signed_on"] += 1
            if self.configuration.unsigned == "decline":
                code = self.scheme.codes[Result.NOT_SIGNED_ON]
                self._answer(connection, received, self._wire.answer(message, code))
            return
        self.counts["financial"] += 1
        fault = self._faults.take(message) or self._triggers.find(message) or _NO_FAULT
        if fault.before:
            self._go_wrong(connection, fault)
            return
        if fault.format_error:
            self._count_fault(fault)
            code = self.scheme.codes[Result.FORMAT_ERROR]
            self._answer(connection, received, self._wire.answer(message, code))
            return
        self._deliver(connection, received, self._carry_out(message, fault), fault)

    def _is_signed_on(self, connection: Connection) -> bool:
        return self._signed_on if self.configuration.sign_on_of == "host" else connection.is_signed_on

    # Money.

    def _carry_out(self, message: Message, fault: Fault) -> bytes:
        """Carry out a request once, and return its answer, the same each time it comes."""
        key = key_of(message)
        answer = self._answers.get(key)
        entry = None
        if answer is not None or (entry := self._accounts.find(key)) is not None:
            self.counts["duplicates"] += 1
            if answer is None:
                return self._remember(message, entry)
            if self.configuration.observe is not None:
                self._tell("out", self._wire.decode(answer))
            return answer
        card = self._cards.card(pan_of(message))
        try:
            asked = read_request(message, self.scheme, card.hash)
        except RefusedError as error:
            self.counts["declined"] += 1
            return self._written(self._wire.answer(message, self.scheme.codes[error.result]))
        if fault.response_code:
            code, decision = self.scheme.code_of(fault.response_code), Decision(Result.NO_ACTION)
        else:
            decision = self._accounts.decide(asked)
            code = self._code(message, decision.result)
        moves = decision.result is Result.APPROVED
        self.counts["approved" if moves else "declined"] += 1
        if code in self.scheme.retryable:
            return self._written(self._wire.answer(message, code))
        entry = self._entry(asked, decision, code, card)
        if moves and fault.approve_partial is not None:
            entry = self._partial(entry, fault.approve_partial)
        self._accounts.apply(entry)
        self._entries.append(entry)
        return self._remember(message, entry)

    def _code(self, message: Message, result: Result) -> str:
        if result is Result.APPROVED:
            if message.mti[1] == "4":
                result = Result.REVERSED
            elif message.mti[2] == "2":
                result = Result.ADVISED
        return self.scheme.codes[result]

    def _entry(self, asked: Asked, decision: Decision, code: str, card: Card) -> Entry:
        sequence = self._accounts.last_sequence + 1
        moves = decision.result is Result.APPROVED
        rrn, approval = asked.rrn, asked.approval
        if asked.kind in (Kind.REVERSAL, Kind.COMPLETION):
            rrn = rrn or self._accounts.reference(decision.target)
        else:
            rrn = rrn or f"{sequence:012d}"
            if moves and not approval:
                approval = f"{(self._approval_offset + sequence * _STEP) % _APPROVALS:06d}"
        return Entry(
            sequence, asked.key, asked.kind, code, moves, rrn, approval, asked.amount, asked.currency, asked.card,
            card.masked, decision.target, asked.remaining, decision.remembered,
        )  # fmt: skip

    def _partial(self, entry: Entry, wanted: int) -> Entry:
        if entry.kind not in (Kind.AUTHORIZATION, Kind.PURCHASE):
            return entry
        amount = max(entry.amount // 2, 1) if wanted == HALF else wanted
        if not 0 < amount < entry.amount:
            return entry
        return entry._replace(amount=amount, code=self.scheme.codes[Result.PARTIAL])

    def _remember(self, message: Message, entry: Entry | None) -> bytes:
        """Write the answer an entry stands for, and keep it for repeats; it is written the same after a restart."""
        assert entry is not None
        response = self._wire.answer(message, entry.code)
        fields, has = response.fields, self._wire.has
        if entry.rrn and 37 in has and not fields.get(37, "").strip():
            fields[37] = entry.rrn
        if entry.moves and entry.approval and 38 in has:
            fields[38] = entry.approval
        if entry.code == self.scheme.codes[Result.PARTIAL]:
            fields[4] = f"{entry.amount:012d}"
        raw = self._written(response)
        if len(self._answers) >= self.configuration.kept_answers:
            del self._answers[next(iter(self._answers))]
        self._answers[entry.key] = raw
        return raw

    # Answers.

    def _written(self, response: Message) -> bytes:
        self._tell("out", response)
        return self._wire.encode(response)

    def _answer(self, connection: Connection, received: Received, response: Message) -> None:
        connection.answer(self._written(response), received.tpdu)

    def _deliver(self, connection: Connection, received: Received, raw: bytes, fault: Fault) -> None:
        """Send an answer, as well as the fault lets it go out."""
        if fault is _NO_FAULT:
            connection.answer(raw, received.tpdu)
            return
        if fault.is_dropped or fault.is_cut_off:
            self._go_wrong(connection, fault)
            return
        self._count_fault(fault)
        if fault.wrong_stan or fault.wrong_mti:
            raw = self._mistaken(raw, fault)
        if fault.garbage:
            raw = bytes(self._random.choices(range(0xA0, 0xF0), k=len(raw)))
        if fault.bad_frame or fault.cut_frame:
            connection.answer_cut(raw, received.tpdu, keep=0.5 if fault.cut_frame else 1.0)
            if fault.cut_frame:
                connection.end()
            return
        for _ in range(fault.times):
            if fault.delay_seconds:
                loop = asyncio.get_running_loop()
                loop.call_later(fault.delay_seconds, connection.send, raw, received.tpdu)
            else:
                connection.answer(raw, received.tpdu)

    def _mistaken(self, raw: bytes, fault: Fault) -> bytes:
        response = self._wire.decode(raw)
        if fault.wrong_stan:
            response.fields[11] = f"{(int(response.fields.get(11, '0')) + 500_000) % 1_000_000:06d}"
        if fault.wrong_mti:
            mti = response.mti
            response.mti = mti[0] + {"1": "2", "2": "1"}.get(mti[1], "1") + mti[2:]
        return self._wire.encode(response)

    def _go_wrong(self, connection: Connection, fault: Fault) -> None:
        self._count_fault(fault)
        if fault.is_cut_off:
            connection.end()

    def _count_fault(self, fault: Fault) -> None:
        self.counts["faults"] += 1
        log.info("iso8583_host.fault", fault=fault.name)

    def _tell(self, direction: str, message: Message) -> None:
        if self.configuration.observe is not None:
            self.configuration.observe(direction, message)
