"""Deliver what is due: claim lanes, sign and send outside of any transaction, acknowledge in one.

A crash at any point loses nothing: the lease of a lane runs out and its deliveries are sent again under the same
`webhook-id`, at most those that were under way. A worker that was thought dead and comes back changes nothing, because its
lease token is no longer the lane's.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import msgspec
import structlog

from shanraq import audit, events
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.batch import Batcher
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Row, Tx
from shanraq.core.http import HttpClient, HttpError, Request, Response, parse_url
from shanraq.core.ids import new_id
from shanraq.core.log import redacted
from shanraq.webhooks import store
from shanraq.webhooks.model import (
    RESPONSE_BODY_LIMIT,
    DeliveryState,
    DisabledReason,
    Endpoint,
    EndpointState,
    ExhaustedMessage,
    message_id,
    subject_of,
)
from shanraq.webhooks.outcome import AttemptRecord, Claimed, Lane, Outcome, decide, error_of, pulse_of
from shanraq.webhooks.retry import BREAKER_FAILURES, JITTER
from shanraq.webhooks.secret import open_secret
from shanraq.webhooks.signing import SigningKey, signature_header
from shanraq.webhooks.subscribe import open_headers

log = structlog.get_logger(__name__)

LEASE_MARGIN: Final = timedelta(seconds=15)
"""A lease is the endpoint's timeout and this: time to begin the claimed attempts, and to acknowledge them."""
LANE_LIMIT: Final = 128
BATCH_LIMIT: Final = 100
ORIGIN_LIMIT: Final = 32
"""Requests at once to one origin, over all endpoints there: as many as the client has connections for it.

What waits longer than the time to begin stays in its queue: a shortage of ours is no failure of the receiver.
"""
_START_SECONDS: Final = 2.0
_ACKNOWLEDGE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = (0.005, 1.0)
_SWEEP_SECONDS: Final = 60.0
_REPORT_SECONDS: Final = 1.0
_PROFILE_LIMIT: Final = 10_000
_KEPT_HEADERS_LIMIT: Final = 8_192
_USER_AGENT: Final = f"Shanraq-Webhooks/{importlib.metadata.version('shanraq')}"
_HIDDEN_HEADERS: Final = frozenset(
    {"set-cookie", "cookie", "authorization", "www-authenticate", "authentication-info", "proxy-authenticate"}
)
# Exhausted messages about webhooks themselves give no event: it would go to the same dead receiver, for ever.
_OPERATIONAL: Final = ("webhook_endpoint.", "message.")

Owner: TypeAlias = tuple[str, Environment]
Acknowledged: TypeAlias = Callable[[Mapping[Owner, str]], Awaitable[None]]
"""Called by the running loop after deliveries succeeded, with the `webhook-id` of one of them for each owner."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did: attempts made, how many succeeded, and a `webhook-id` for each partner that accepted one."""

    attempts: int
    succeeded: int
    acknowledged: Mapping[Owner, str]


@dataclass(frozen=True, slots=True)
class _Profile:
    """What an endpoint's version needs for sending, unsealed: kept in memory only."""

    version: int
    keys: tuple[SigningKey, ...]
    headers: tuple[tuple[str, str], ...]
    hidden_headers: Mapping[str, str]
    origin: asyncio.Semaphore


@dataclass(frozen=True, slots=True)
class _Cargo:
    """A lane with all that sending its deliveries needs, and the outcomes so far."""

    lane: Lane
    profile: _Profile
    stamped: Mapping[int, events.Stamped]
    bodies: Mapping[int, bytes]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def speaks_for_partner(self) -> bool:
        """Tell whether the acknowledge writes events of the partner, and so needs a transaction of its own."""
        return any(outcome.disables or self.is_reported(outcome) for outcome in self.outcomes)

    def is_reported(self, outcome: Outcome) -> bool:
        """Tell whether the partner learns by an event that this message was given up."""
        event = self.stamped[outcome.delivery.event_seq]
        return outcome.state is DeliveryState.EXHAUSTED and not event.type.startswith(_OPERATIONAL)


class Courier:
    """One delivery worker; any number may run side by side, in one process or several.

    At most `lane_limit` endpoints are served at once, each with at most its `max_in_flight` requests.
    """

    def __init__(
        self,
        db: Database,
        client: HttpClient,
        keyring: Keyring,
        *,
        acknowledged: Acknowledged | None = None,
        lane_limit: int = LANE_LIMIT,
        batch_limit: int = BATCH_LIMIT,
    ) -> None:
        self._db = db
        self._client = client
        self._keyring = keyring
        self._acknowledged = acknowledged
        self._lane_limit = lane_limit
        self._batch_limit = batch_limit
        self._profiles: dict[str, _Profile] = {}
        self._origins: WeakValueDictionary[tuple[str, str, int], asyncio.Semaphore] = WeakValueDictionary()
        self._writer: Batcher[_Cargo, _Written] = Batcher(self._write)
        self._news: dict[Owner, str] = {}
        self._has_news = asyncio.Event()
        self._stopping = False

    async def round(self) -> Round:
        """Deliver once what is due now, and return when it is acknowledged."""
        cargoes = await self._claim(self._lane_limit)
        written = await asyncio.gather(*(self._carry(cargo) for cargo in cargoes))
        kept = [outcome for one in written if one is not None for outcome in one.outcomes]
        owners: dict[Owner, str] = {}
        for one in written:
            owners |= one.acknowledged if one is not None else {}
        return Round(len(kept), sum(outcome.state is DeliveryState.SUCCEEDED for outcome in kept), owners)

    async def run(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """Deliver until `stop` is set, then end the attempts under way; `wake` cuts the wait for the next claim short.

        A failure of the database is logged and waited out.
        """
        running: set[asyncio.Task[None]] = set()
        quickest, slowest = _POLL_SECONDS
        wait_seconds = quickest

        async def serve(cargo: _Cargo) -> None:
            try:
                written = await self._carry(cargo)
            except Exception:
                # A mistake of ours with one endpoint must not stop the others; its lease runs out, and it is tried again.
                log.exception("webhook.lane_failed", endpoint_id=cargo.lane.endpoint_id)
                return
            if written is not None and written.more:
                wake.set()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(stop, wake), name="webhooks watch")
                group.create_task(self._sweep(stop), name="webhooks sweep")
                group.create_task(self._report(stop), name="webhooks report")
                while not stop.is_set():
                    wake.clear()
                    cargoes: list[_Cargo] = []
                    try:
                        if len(running) < self._lane_limit:
                            cargoes = await self._claim(self._lane_limit - len(running))
                    except Exception as error:
                        log.exception("webhook.claim_failed", error=type(error).__name__)
                        wait_seconds = slowest
                    for cargo in cargoes:
                        task = group.create_task(serve(cargo), name=f"lane {cargo.lane.endpoint_id}")
                        running.add(task)
                        task.add_done_callback(running.discard)
                    wait_seconds = quickest if cargoes else min(wait_seconds * 2, slowest)
                    if await _set_within(wake, wait_seconds):
                        wait_seconds = quickest
        finally:
            await self._writer.close()
        await self._tell()

    async def _watch(self, stop: asyncio.Event, wake: asyncio.Event) -> None:
        await stop.wait()
        self._stopping = True
        wake.set()
        self._has_news.set()

    async def _report(self, stop: asyncio.Event) -> None:
        """Tell who acknowledged, at once and then at most once a second, beside the deliveries."""
        while not stop.is_set():
            await self._has_news.wait()
            self._has_news.clear()
            await self._tell()
            await _set_within(stop, _REPORT_SECONDS)

    async def _sweep(self, stop: asyncio.Event) -> None:
        while not await _set_within(stop, _SWEEP_SECONDS):
            try:
                await sweep(self._db)
            except Exception as error:
                log.exception("webhook.sweep_failed", error=type(error).__name__)

    # Claim.

    async def _claim(self, lanes: int) -> list[_Cargo]:
        async with self._db.begin(SYSTEM) as tx:
            claimed = await store.claim(tx, lanes=lanes, deliveries=self._batch_limit, lease_margin=LEASE_MARGIN)
            if not claimed:
                return []
            stamped = await events.load(tx, list({item.event_seq for lane in claimed for item in lane.deliveries}))
            profiles = await self._load_profiles(tx, claimed)
        bodies = {seq: events.envelope(event) for seq, event in stamped.items()}
        return [
            _Cargo(lane, profile, stamped, bodies) for lane in claimed if (profile := profiles.get(lane.endpoint_id))
        ]

    async def _load_profiles(self, tx: Tx, lanes: Sequence[Lane]) -> dict[str, _Profile]:
        """Return what sending needs, by endpoint; one whose secrets do not open is left out, and so stays leased."""
        found: dict[str, _Profile] = {}
        stale: list[Lane] = []
        for lane in lanes:
            profile = self._profiles.get(lane.endpoint_id)
            if profile is not None and profile.version == lane.version:
                found[lane.endpoint_id] = profile
            else:
                stale.append(lane)
        if not stale:
            return found
        rows: dict[str, list[Row]] = {lane.endpoint_id: [] for lane in stale}
        for row in await store.secrets(tx, list(rows)):
            rows[row["endpoint_id"]].append(row)
        for lane in stale:
            self._profiles.pop(lane.endpoint_id, None)
            try:
                profile = self._profile_of(lane, rows[lane.endpoint_id])
            except Exception as error:
                log.exception("webhook.profile_failed", endpoint_id=lane.endpoint_id, error=type(error).__name__)
                continue
            found[lane.endpoint_id] = self._profiles[lane.endpoint_id] = profile
        while len(self._profiles) > _PROFILE_LIMIT:
            del self._profiles[next(iter(self._profiles))]
        return found

    def _profile_of(self, lane: Lane, secrets: Sequence[Row]) -> _Profile:
        keys = [
            SigningKey(
                open_secret(self._keyring, row),
                int(row["not_before"].timestamp()),
                int(row["expires_at"].timestamp()) if row["expires_at"] else None,
            )
            for row in secrets
        ]
        own = open_headers(self._keyring, lane.endpoint_id, lane.sealed_headers)
        origin = self._origins.setdefault(parse_url(lane.url).origin, asyncio.Semaphore(ORIGIN_LIMIT))
        return _Profile(lane.version, tuple(keys), tuple(own.items()), dict.fromkeys(own, "****"), origin)

    # Send.

    async def _carry(self, cargo: _Cargo) -> _Written | None:
        """Make the attempts of a lane and acknowledge them; None if that was not possible within the lease."""
        lane = cargo.lane
        clock = asyncio.get_running_loop().time
        started = clock()
        waiting = iter(lane.deliveries)
        failures = lane.failures
        broken = False

        async def work_off() -> None:
            nonlocal failures, broken
            # What is not begun in time stays in the queue: the lease covers one timeout after the last beginning.
            # So does what is left when the receiver seems to be down: an outage must not burn attempts.
            for delivery in waiting:
                if not await _acquired_by(cargo.profile.origin, started + _START_SECONDS):
                    return
                try:
                    if broken or self._stopping:
                        return
                    outcome = await self._attempt(cargo, delivery)
                finally:
                    cargo.profile.origin.release()
                cargo.outcomes.append(outcome)
                failures = failures + 1 if outcome.attempt.error_code else 0
                broken = broken or outcome.disables is not None or failures >= BREAKER_FAILURES

        await _side_by_side(work_off, min(lane.max_in_flight, len(lane.deliveries)))
        return await self._acknowledge(cargo, started + lane.timeout_seconds + LEASE_MARGIN.total_seconds())

    async def _attempt(self, cargo: _Cargo, delivery: Claimed) -> Outcome:
        lane, body = cargo.lane, cargo.bodies[delivery.event_seq]
        at = self._db.clock()
        name, timestamp = message_id(delivery.event_id, lane.endpoint_id), int(at.timestamp())
        number = delivery.attempts + 1
        sent = {
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            "webhook-id": name,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature_header(cargo.profile.keys, name, timestamp, body),
            "webhook-attempt": str(number),
        }
        request = Request("POST", lane.url, (*sent.items(), *cargo.profile.headers), body, replay_on_stale=True)
        clock = asyncio.get_running_loop().time
        started = clock()
        response: Response | None = None
        remote_address: str | None = None
        try:
            response = await self._client.send(request, timeout_seconds=lane.timeout_seconds)
            error_code, remote_address = error_of(response.status), response.remote_address
        except HttpError as error:
            error_code, remote_address = error.error_code, error.remote_address
        except Exception as error:
            log.exception("webhook.send_failed", endpoint_id=lane.endpoint_id, error=type(error).__name__)
            error_code = "internal_error"
        timings = response.timings if response is not None else None
        text, truncated = _kept_body(response)
        attempt = AttemptRecord(
            id=new_id("wat"),
            number=number,
            at=at,
            status_code=response.status if response is not None else None,
            error_code=error_code,
            dns_us=timings.dns_us if timings else None,
            connect_us=timings.connect_us if timings else None,
            tls_us=timings.tls_us if timings else None,
            first_byte_us=timings.first_byte_us if timings else None,
            total_us=int((clock() - started) * 1_000_000),
            remote_address=remote_address,
            request_headers=msgspec.json.encode({**sent, "webhook-signature": "****", **cargo.profile.hidden_headers}),
            response_headers=_kept_headers(response.headers if response is not None else ()),
            response_body=text,
            truncated=truncated,
        )
        return decide(
            delivery,
            attempt,
            response.headers if response is not None else (),
            retry_schedule=lane.retry_schedule,
            jitter=random.uniform(*JITTER),  # noqa: S311 (spreads retries, no secret)
            now=self._db.clock(),
        )

    # Acknowledge.

    async def _acknowledge(self, cargo: _Cargo, deadline: float) -> _Written | None:
        lane = cargo.lane
        group: tuple[str, ...] = (lane.partner_id, lane.environment) if cargo.speaks_for_partner else ()
        wait_seconds = 0.05
        while True:
            try:
                return await self._writer.do(group, cargo)
            except Exception as error:
                remaining = deadline - asyncio.get_running_loop().time()
                log.exception(
                    "webhook.acknowledge_failed",
                    endpoint_id=lane.endpoint_id,
                    error=type(error).__name__,
                    remaining_seconds=round(remaining, 1),
                )
                if remaining <= wait_seconds:
                    return None
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, 1.0)
            # Alone from now on, so that a lane that cannot be written does not hold up the others.
            group = (*group[:2], lane.endpoint_id)

    async def _write(self, _group: object, cargoes: Sequence[_Cargo]) -> Sequence[_Written]:
        first = cargoes[0]
        actor = SYSTEM
        if first.speaks_for_partner:
            actor = SYSTEM.acting_for(first.lane.partner_id, first.lane.environment, 0)

        async def work(tx: Tx) -> tuple[set[str], bool]:
            wishes = {
                cargo.lane.endpoint_id: outcome.disables
                for cargo in cargoes
                for outcome in cargo.outcomes
                if outcome.disables is not None
            }
            endpoints = await store.lock_endpoints(tx, list(wishes)) if wishes else []
            await store.plan_anew(tx)
            held = await store.hold(tx, [cargo.lane for cargo in cargoes])
            outcomes = [
                (cargo.lane, outcome)
                for cargo in cargoes
                for outcome in cargo.outcomes
                if cargo.lane.endpoint_id in held
            ]
            if outcomes:
                await store.acknowledge(tx, outcomes)
            for endpoint in endpoints:
                if endpoint.id in held and endpoint.state.takes_deliveries:
                    await _disable(tx, endpoint, wishes[endpoint.id])
            for cargo in cargoes:
                if cargo.lane.endpoint_id in held:
                    _report_exhausted(tx, cargo)
            pulses = [
                pulse_of(cargo.lane, [outcome.attempt.error_code for outcome in cargo.outcomes], tx.now)
                for cargo in cargoes
            ]
            more = await store.release(tx, list(zip((cargo.lane for cargo in cargoes), pulses, strict=True)))
            return held, more

        async with asyncio.timeout(_ACKNOWLEDGE_SECONDS):
            held, more = await self._db.run(actor, work)
        written = [_Written.of(cargo, more) if cargo.lane.endpoint_id in held else _FENCED for cargo in cargoes]
        for one in written:
            self._news |= one.acknowledged
        if self._news:
            self._has_news.set()
        return written

    async def _tell(self) -> None:
        owners, self._news = self._news, {}
        if self._acknowledged is None or not owners:
            return
        try:
            await self._acknowledged(owners)
        except Exception as error:
            log.exception("webhook.acknowledged_failed", error=type(error).__name__)
            self._news = {**owners, **self._news}


@dataclass(frozen=True, slots=True)
class _Written:
    """What was acknowledged of a cargo, and whether some lane of its batch has more to do at once."""

    outcomes: tuple[Outcome, ...]
    acknowledged: Mapping[Owner, str]
    more: bool

    @classmethod
    def of(cls, cargo: _Cargo, more: bool) -> _Written:
        lane = cargo.lane
        owners: dict[Owner, str] = {}
        for outcome in cargo.outcomes:
            if outcome.state is DeliveryState.SUCCEEDED:
                owners[lane.partner_id, lane.environment] = message_id(outcome.delivery.event_id, lane.endpoint_id)
                break
        return cls(tuple(cargo.outcomes), owners, more)


# Another worker took the lane over: what was done here changes nothing.
_FENCED: Final = _Written((), {}, False)


async def deliver(db: Database, client: HttpClient, *, keyring: Keyring, lane_limit: int = LANE_LIMIT) -> Round:
    """Deliver once what is due now."""
    return await Courier(db, client, keyring, lane_limit=lane_limit).round()


async def run_deliveries(
    db: Database,
    client: HttpClient,
    stop: asyncio.Event,
    *,
    keyring: Keyring,
    wake: asyncio.Event | None = None,
    acknowledged: Acknowledged | None = None,
    lane_limit: int = LANE_LIMIT,
) -> None:
    """Deliver until `stop` is set; the sequencer of the same process sets `wake` when it has enqueued something."""
    courier = Courier(db, client, keyring, acknowledged=acknowledged, lane_limit=lane_limit)
    await courier.run(stop, wake or asyncio.Event())


async def sweep(db: Database) -> list[str]:
    """Wake lanes that sleep over due deliveries and return their endpoints; finding one is an error that is logged."""
    async with db.begin(SYSTEM) as tx:
        found = await store.sweep(tx)
    if found:
        log.error("webhook.lane_was_asleep", endpoints=found)
    return found


async def _disable(tx: Tx, endpoint: Endpoint, reason: DisabledReason) -> None:
    disabled = msgspec.structs.replace(
        endpoint, state=endpoint.state.to(EndpointState.DISABLED), disabled_reason=reason.value
    )
    after = await store.save(tx, endpoint, disabled)
    await store.halt(tx, endpoint.id)
    skipped = await store.drop_queue(tx, endpoint.id, DeliveryState.SKIPPED)
    events.emit(tx, events.Event("webhook_endpoint.disabled", after.subject, after))
    audit.record(tx, "webhook_endpoint.disabled", endpoint.id, {"reason": reason.value, "skipped": skipped})
    log.warning("webhook.endpoint_disabled", endpoint_id=endpoint.id, reason=reason.value, skipped=skipped)


def _report_exhausted(tx: Tx, cargo: _Cargo) -> None:
    for outcome in cargo.outcomes:
        if not cargo.is_reported(outcome):
            continue
        event, endpoint_id = cargo.stamped[outcome.delivery.event_seq], cargo.lane.endpoint_id
        message = ExhaustedMessage(
            id=message_id(event.event_id, endpoint_id),
            event_id=event.event_id,
            event_type=event.type,
            endpoint_id=endpoint_id,
            attempts=outcome.attempt.number,
            status_code=outcome.attempt.status_code,
            error_code=outcome.attempt.error_code,
        )
        events.emit(
            tx, events.Event("message.exhausted", subject_of(endpoint_id), message), request_id=event.request_id
        )


async def _side_by_side(work: Callable[[], Awaitable[None]], count: int) -> None:
    if count <= 1:
        await work()
        return
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_run(work))


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def _acquired_by(origin: asyncio.Semaphore, deadline: float) -> bool:
    """Take one of an origin's places before `deadline`, a time of the loop."""
    if asyncio.get_running_loop().time() > deadline:
        return False
    if not origin.locked():
        return await origin.acquire()
    try:
        async with asyncio.timeout_at(deadline):
            return await origin.acquire()
    except TimeoutError:
        return False


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _kept_body(response: Response | None) -> tuple[bytes, bool]:
    """Return the first 16 KiB of an answer as UTF-8, without card numbers and credentials."""
    if response is None or not response.body:
        return b"", response is not None and response.truncated
    text = redacted(response.body[:RESPONSE_BODY_LIMIT].decode("utf-8", "replace")).encode()
    kept = text[:RESPONSE_BODY_LIMIT].decode("utf-8", "ignore").encode()
    return kept, response.truncated or len(response.body) > RESPONSE_BODY_LIMIT or len(text) > len(kept)


def _kept_headers(headers: Sequence[tuple[str, str]]) -> bytes:
    kept: dict[str, str] = {}
    room = _KEPT_HEADERS_LIMIT
    for name, value in headers:
        lower = name.lower()
        room -= len(lower) + len(value)
        if room < 0:
            break
        kept[lower] = "****" if lower in _HIDDEN_HEADERS else redacted(value)
    return msgspec.json.encode(kept)
