"""Run roles of the platform in one process, with an ordered end: first no new requests, then the worker, then the rest."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog
import uvicorn

from shanraq import partners, payments, statements, webhooks
from shanraq.api import v1
from shanraq.api.app import Edge, create_app
from shanraq.api.health import Health
from shanraq.api.metrics import Metrics
from shanraq.api.ratelimit import RateLimiter
from shanraq.api.services import ApiServices
from shanraq.core.actor import Actor
from shanraq.core.errors import UnavailableError
from shanraq.core.settings import Settings
from shanraq.ops.app import Announce, Platform, open_courier, open_platform
from shanraq.ops.role import Role
from shanraq.ops.routing import measure_endpoints
from shanraq.ops.settlement import sources_of
from shanraq.ops.switch import switching
from shanraq.ops.worker import Worker
from shanraq.switch import Acceptor

log = structlog.get_logger(__name__)

_DRAIN_SECONDS: Final = 20
# Requests leave hardly any cycles behind: the collector runs after this many objects more than were freed, not after 700.
_COLLECT_AFTER: Final = (50_000, 20, 20)


class AddressInUseError(UnavailableError, code="address_in_use", status=503):
    """Another program listens on this address: choose another port with --port."""


@dataclass(frozen=True, slots=True)
class Running:
    """A platform that serves at `url`."""

    platform: Platform
    url: str
    failed: asyncio.Future[None]
    switch: Acceptor | None = None


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: this process decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def build_api(platform: Platform, *, routes: bool = True) -> Edge:
    """Put the REST application together; without `routes` it answers for health and metrics only."""
    settings = platform.settings
    services = ApiServices(
        platform.db,
        platform.keyring,
        platform.acquiring,
        platform.webhook_policy,
        platform.interbank,
        platform.institution,
        settings.payment_file_limit_bytes,
    )

    async def authenticate(credentials: partners.Credentials, address: str) -> Actor:
        return await partners.authenticate(platform.db, platform.keyring, credentials, address=address)

    return create_app(
        services,
        routes=v1.ROUTES if routes else [],
        authenticate=authenticate,
        health=Health({"database": platform.check_database, "migrations": platform.check_migrations}),
        metrics=Metrics(platform.registry),
        credential_limit=RateLimiter(settings.rate_limit_per_second, settings.rate_limit_burst),
        address_limit=RateLimiter(settings.public_rate_limit_per_second, settings.public_rate_limit_burst),
        body_limit_bytes=settings.body_limit_bytes,
        upload_limit_bytes=settings.payment_file_limit_bytes,
        upload_timeout_seconds=settings.payment_file_timeout_seconds,
    )


@asynccontextmanager
async def running(
    settings: Settings, roles: frozenset[Role], *, control_token: str | None = None, announce: Announce = lambda _: None
) -> AsyncIterator[Running]:
    """Run the roles until the block ends. Raises what the parts raise, and AddressInUseError."""
    simulators = Role.SIMULATORS in roles
    async with (
        open_platform(settings, simulators=simulators, control_token=control_token, announce=announce) as platform,
        open_courier(platform) as courier,
    ):
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        measure_endpoints(platform.registry, platform.acquiring.gateways.adapters)
        app = build_api(platform, routes=Role.API in roles)
        async with AsyncExitStack() as stack:
            if Role.WORKER in roles:
                announce("starting the worker")
                await stack.enter_async_context(_working(platform, courier, failed))
            announce("starting the HTTP server")
            server = await stack.enter_async_context(_listening(app, settings, failed))
            switch: Acceptor | None = None
            if Role.ISO8583 in roles:
                announce("starting the gateway of terminals")
                switch = await stack.enter_async_context(switching(platform))
            try:
                yield Running(platform, _url(server, settings.host), failed, switch)
            finally:
                failed.cancel()


async def serve(
    settings: Settings, roles: frozenset[Role], ready: Callable[[Running], None], announce: Announce
) -> None:
    """Run the roles until SIGINT or SIGTERM; `ready` is called when requests are accepted."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(settings, roles, announce=announce) as now:
        _keep_what_stays()
        ready(now)
        waiting = asyncio.create_task(stop.wait())
        endings: list[asyncio.Future[Any]] = [waiting, now.failed]
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if now.failed.done():
            now.failed.result()
        announce("stopping")


def _keep_what_stays() -> None:
    """Spare the garbage collector what was made at start and stays: it would look through all of it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _days(number: int) -> timedelta | None:
    return timedelta(days=number) if number >= 0 else None


@asynccontextmanager
async def _working(
    platform: Platform, courier: webhooks.Courier, failed: asyncio.Future[None]
) -> AsyncIterator[asyncio.Task[None]]:
    worker = Worker(
        platform.db,
        platform.acquiring,
        courier,
        platform.registry,
        card_hosts=platform.card_hosts,
        interbank=platform.interbank,
        recover_interval_seconds=platform.settings.recover_interval_seconds,
        produce_reports=partial(statements.produce, platform.db, platform.keyring, platform.institution),
        settlement_sources=sources_of(platform),
        settle_interval_seconds=platform.settings.settlement.interval_seconds,
        card_retention=payments.CardRetention(
            after_expiry=_days(platform.settings.card_kept_days_after_expiry),
            after_last_use=_days(platform.settings.card_kept_days_after_use),
        ),
        notices_kept=_days(platform.settings.gateway_notices_kept_days),
    )
    working = asyncio.create_task(worker.run(), name="worker")
    working.add_done_callback(_reporter(failed))
    try:
        yield working
    finally:
        working.cancel()
        await asyncio.wait([working], timeout=_DRAIN_SECONDS)


@asynccontextmanager
async def _listening(app: Edge, settings: Settings, failed: asyncio.Future[None]) -> AsyncIterator[_Server]:
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        server_header=False,
        date_header=True,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_DRAIN_SECONDS - 5,
        backlog=2048,
    )
    server = _Server(config)
    serving = asyncio.create_task(_serve(server), name="http")
    try:
        while not server.started:
            if serving.done():
                serving.result()
                raise AddressInUseError(f"cannot listen on {settings.host}:{settings.port}")
            await asyncio.sleep(0.005)
        serving.add_done_callback(_reporter(failed))
        yield server
    finally:
        server.should_exit = True
        await asyncio.wait([serving], timeout=_DRAIN_SECONDS)


async def _serve(server: _Server) -> None:
    try:
        await server.serve()
    except SystemExit:
        raise AddressInUseError(f"cannot listen on {server.config.host}:{server.config.port}") from None


def _url(server: _Server, host: str) -> str:
    port = server.servers[0].sockets[0].getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _reporter(failed: asyncio.Future[None]) -> Callable[[asyncio.Task[None]], None]:
    def report(task: asyncio.Task[None]) -> None:
        if failed.done():
            return
        with suppress(asyncio.CancelledError):
            error = task.exception()
            if error is not None:
                failed.set_exception(error)

    return report
