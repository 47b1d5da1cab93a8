"""The composition root: what a process is made of, put together by hand, in the order things depend on each other."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from shanraq import credit_transfers, partners, payments, statements, webhooks
from shanraq.adapters.cardhost import CardHostAdapter
from shanraq.adapters.mastercard import MastercardAdapter
from shanraq.adapters.visa import VisaAdapter
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.http import HttpClient
from shanraq.core.settings import InvalidSettingError, Settings
from shanraq.ops.card_host import card_host, simulated
from shanraq.ops.clearing import clearing, simulated_clearing
from shanraq.ops.institution import institution_of
from shanraq.ops.mastercard import mastercard, simulated_mastercard
from shanraq.ops.migrate import migrate, pending
from shanraq.ops.postgres import EmbeddedPostgres, InUseError, self_check
from shanraq.ops.visa import simulated_visa, visa
from shanraq.payments.adapter import Adapter
from shanraq.simulators.iso8583 import HostConfiguration, Iso8583Host
from shanraq.simulators.iso20022 import ClearingConfiguration, ClearingSimulator, clearing_credentials
from shanraq.simulators.mastercard import MastercardSimulator, obtain
from shanraq.simulators.visa import VisaCredentials, VisaSimulator

log = structlog.get_logger(__name__)

DATABASE: Final = "shanraq"
GATEWAYS: Final[Mapping[str, type[Adapter]]] = {
    "visa": VisaAdapter, "mastercard": MastercardAdapter, "card_host": CardHostAdapter,
}  # fmt: skip
"""The payment systems there are, by the names that settings and routing rules know them by."""

Announce = Callable[[str], None]


@dataclass
class Platform:
    """A process's parts, open. `owner_dsn` is the login that owns the tables; the application itself uses `db`."""

    settings: Settings
    owner_dsn: str
    app_dsn: str
    db: Database
    keyring: Keyring
    acquiring: payments.Acquiring
    webhook_policy: webhooks.GuardPolicy
    interbank: credit_transfers.Interbank
    institution: statements.Institution
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    card_hosts: tuple[CardHostAdapter, ...] = ()
    visa_simulator: VisaSimulator | None = None
    mastercard_simulator: MastercardSimulator | None = None
    host_simulator: Iso8583Host | None = None
    clearing_simulator: ClearingSimulator | None = None
    postgres: EmbeddedPostgres | None = None

    async def check_database(self) -> str:
        """Tell that the database answers; raise if it does not."""
        async with self.db.connection() as connection:
            version: str = await connection.fetchval("SHOW server_version")
        return f"PostgreSQL {version}"

    async def check_migrations(self) -> str:
        """Tell that every migration is applied; raise if one is not."""
        left = await pending(self.owner_dsn)
        if left:
            raise InvalidSettingError(f"{len(left)} migrations are pending: run `shanraq migrate`")
        return "all applied"


def _quiet(_step: str) -> None:
    return


@asynccontextmanager
async def open_database(
    settings: Settings, announce: Announce = _quiet
) -> AsyncIterator[tuple[str, str, EmbeddedPostgres | None]]:
    """Give the addresses of the database for its owner and for the application, starting the embedded one if none is named.

    Where another process of ours already runs the embedded server, that one is used.
    """
    if settings.database_url:
        yield settings.database_owner_url or settings.database_url, settings.database_url, None
        return
    server = EmbeddedPostgres(settings.data_path / "postgres", pg_bin=settings.pg_bin)
    announce("starting the embedded PostgreSQL")
    try:
        await server.start()
    except InUseError:
        server.attach()
        yield server.dsn(DATABASE), server.dsn(DATABASE), None
        return
    try:
        await server.ensure_database(DATABASE)
        yield server.dsn(DATABASE), server.dsn(DATABASE), server
    finally:
        await server.stop()


@asynccontextmanager
async def open_platform(
    settings: Settings, *, simulators: bool = True, control_token: str | None = None, announce: Announce = _quiet
) -> AsyncIterator[Platform]:
    """Open everything a process needs, migrations applied; close it in the opposite order.

    With `simulators`, and no gateway set for the sandbox, the built-in Visa and Mastercard simulators run in this process
    (their control API is on when `control_token` is given), and where card_gateway asks for one, the card host simulator
    too. Raises what the parts raise, as ShanraqErrors that say what to do.
    """
    institution = institution_of(settings)
    async with AsyncExitStack() as stack:
        owner_dsn, app_dsn, server = await stack.enter_async_context(open_database(settings, announce))
        announce("applying migrations")
        await migrate(owner_dsn, unsafe=settings.unsafe)
        keyring = _keyring(settings)
        role = None if settings.database_owner_url else "shanraq_app"
        db = await Database.connect(app_dsn, role=role, max_size=settings.database_connections)
        stack.push_async_callback(db.close)
        await self_check(db, unsafe=settings.unsafe)
        simulator: VisaSimulator | None = None
        adapters: dict[Environment, dict[str, Adapter]] = {}
        if settings.visa_sandbox.url:
            adapters[Environment.SANDBOX] = {"visa": visa("visa_sandbox", settings.visa_sandbox)}
        elif simulators:
            announce("starting the Visa simulator")
            simulator = await stack.enter_async_context(_simulator(settings, control_token))
            adapters[Environment.SANDBOX] = {"visa": simulated_visa(settings.visa_sandbox, simulator)}
        if settings.visa_live.url:
            adapters[Environment.LIVE] = {"visa": visa("visa_live", settings.visa_live)}
        for environment, name, merchant in (
            (Environment.SANDBOX, "mastercard_sandbox", settings.mastercard_sandbox),
            (Environment.LIVE, "mastercard_live", settings.mastercard_live),
        ):
            if merchant.url:
                by_name = adapters.setdefault(environment, {})
                by_name["mastercard"] = mastercard(name, merchant, live=environment is Environment.LIVE)
        mastercard_simulator: MastercardSimulator | None = None
        if simulators and not settings.mastercard_sandbox.url:
            announce("starting the Mastercard simulator")
            mastercard_simulator = await stack.enter_async_context(_mastercard_simulator(settings, control_token))
            by_name = adapters.setdefault(Environment.SANDBOX, {})
            by_name["mastercard"] = simulated_mastercard(settings.mastercard_sandbox, mastercard_simulator)
        hosts: list[CardHostAdapter] = []
        host_simulator: Iso8583Host | None = None
        for environment, name, host_settings in (
            (Environment.SANDBOX, "card_host_sandbox", settings.card_host_sandbox),
            (Environment.LIVE, "card_host_live", settings.card_host_live),
        ):
            wanted = simulators and environment is Environment.SANDBOX and settings.card_gateway == "card_host"
            if wanted and not host_settings.addresses:
                announce("starting the card host simulator")
                host_simulator = await stack.enter_async_context(_host_simulator(settings))
                host_settings = simulated(host_settings, host_simulator)
            if host_settings.addresses:
                host = card_host(name, host_settings, db, keyring)
                hosts.append(host)
                adapters.setdefault(environment, {})[host.name] = host
        for by_name in adapters.values():
            for adapter in by_name.values():
                stack.push_async_callback(adapter.close)
        for host in hosts:
            await host.open()
        gateways = payments.Gateways(
            {environment: _preferred(settings.card_gateway, by_name) for environment, by_name in adapters.items()},
            _routing_order(settings, {name for by_name in adapters.values() for name in by_name}),
        )
        acquiring = payments.Acquiring(db, keyring, gateways, timedelta(seconds=settings.recover_after_seconds))
        clearing_simulator: ClearingSimulator | None = None
        if simulators and not settings.clearing_sandbox.url:
            announce("starting the clearing simulator")
            clearing_simulator = await stack.enter_async_context(_clearing_simulator(settings, control_token))
        interbank = await _interbank(stack, settings, db, keyring, clearing_simulator)
        yield Platform(
            settings,
            owner_dsn,
            app_dsn,
            db,
            keyring,
            acquiring,
            _webhook_policy(settings),
            interbank,
            institution,
            card_hosts=tuple(hosts),
            visa_simulator=simulator,
            mastercard_simulator=mastercard_simulator,
            host_simulator=host_simulator,
            clearing_simulator=clearing_simulator,
            postgres=server,
        )


async def _interbank(
    stack: AsyncExitStack,
    settings: Settings,
    db: Database,
    keyring: Keyring,
    simulator: ClearingSimulator | None,
) -> credit_transfers.Interbank:
    clearings: dict[Environment, credit_transfers.Clearing] = {}
    for environment, name, clearing_settings in (
        (Environment.SANDBOX, "clearing_sandbox", settings.clearing_sandbox),
        (Environment.LIVE, "clearing_live", settings.clearing_live),
    ):
        if clearing_settings.url:
            clearings[environment] = adapter = clearing(name, clearing_settings)
            stack.push_async_callback(adapter.close)
    if simulator is not None:
        clearings[Environment.SANDBOX] = simulated_adapter = simulated_clearing(settings.clearing_sandbox, simulator)
        stack.push_async_callback(simulated_adapter.close)
    return credit_transfers.Interbank(
        db,
        keyring,
        clearings,
        zone=institution_of(settings).zone,
        ask_after_seconds=settings.clearing_ask_after_seconds,
    )


def gateway_names(settings: Settings, environment: Environment) -> tuple[str, ...]:
    """Return the names of the payment systems that the settings set up, simulators included, the preferred one first."""
    sandbox = environment is Environment.SANDBOX
    visa = settings.visa_sandbox if sandbox else settings.visa_live
    mastercard_ = settings.mastercard_sandbox if sandbox else settings.mastercard_live
    host = settings.card_host_sandbox if sandbox else settings.card_host_live
    found = {
        "visa": sandbox or bool(visa.url),
        "mastercard": sandbox or bool(mastercard_.url),
        "card_host": bool(host.addresses) or (sandbox and settings.card_gateway == "card_host"),
    }
    names = [name for name, there in found.items() if there]
    return tuple(sorted(names, key=lambda name: name != settings.card_gateway))


def _routing_order(settings: Settings, there: Collection[str]) -> tuple[str, ...]:
    for name in settings.routing_order:
        if name not in there:
            known = ", ".join(sorted(there)) or "none"
            raise InvalidSettingError(
                f"{name} is no payment system that is set up (there are: {known})", field="routing_order"
            )
    if len(set(settings.routing_order)) < len(settings.routing_order):
        raise InvalidSettingError("names a payment system twice", field="routing_order")
    return settings.routing_order


def _preferred(name: str, adapters: Mapping[str, Adapter]) -> dict[str, Adapter]:
    """Return adapters with the named one first, if it is there: the first takes new payments."""
    return dict(sorted(adapters.items(), key=lambda item: item[0] != name))


@asynccontextmanager
async def open_courier(platform: Platform) -> AsyncIterator[webhooks.Courier]:
    """Give the deliverer of webhooks, whose connections go only where the guard allows."""

    async def acknowledged(owners: Mapping[tuple[str, Environment], str]) -> None:
        for (partner_id, environment), message_id in owners.items():
            async with platform.db.begin(SYSTEM.acting_for(partner_id, environment, 0)) as tx:
                await partners.observe(tx, partners.Check.WEBHOOK_ACKNOWLEDGED, message_id)

    client = HttpClient(resolver=webhooks.GuardedResolver(platform.webhook_policy))
    try:
        yield webhooks.Courier(platform.db, client, platform.keyring, acknowledged=acknowledged)
    finally:
        await client.close()


@asynccontextmanager
async def _mastercard_simulator(settings: Settings, control_token: str | None) -> AsyncIterator[MastercardSimulator]:
    folder = settings.data_path / "simulators"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    credentials = obtain(folder / "mastercard.json")
    simulator = MastercardSimulator(
        credentials, seed=secrets.randbits(128), journal=folder / "mastercard.jsonl", control_token=control_token
    )
    async with simulator:
        yield simulator


@asynccontextmanager
async def _simulator(settings: Settings, control_token: str | None) -> AsyncIterator[VisaSimulator]:
    folder = settings.data_path / "simulators"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "visa.json"
    if file.exists():
        credentials = VisaCredentials.load(file)
    else:
        credentials = VisaCredentials.generate()
        credentials.save(file)
    simulator = VisaSimulator(
        credentials,
        index_lag_seconds=settings.visa_sandbox.index_lag_seconds,
        journal=folder / "visa.jsonl",
        control_token=control_token,
    )
    async with simulator:
        yield simulator


@asynccontextmanager
async def _host_simulator(settings: Settings) -> AsyncIterator[Iso8583Host]:
    folder = settings.data_path / "simulators"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with Iso8583Host(HostConfiguration(journal=folder / "card-host.jsonl")) as host:
        yield host


@asynccontextmanager
async def _clearing_simulator(settings: Settings, control_token: str | None) -> AsyncIterator[ClearingSimulator]:
    folder = settings.data_path / "simulators"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = ClearingConfiguration(
        credentials=clearing_credentials(folder / "clearing.json"), database=folder / "clearing.sqlite"
    )
    if control_token:
        configuration = replace(configuration, control_token=control_token)
    async with ClearingSimulator(configuration) as simulator:
        yield simulator


def _keyring(settings: Settings) -> Keyring:
    path = settings.keyring_path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Keyring.load_or_create(path)


def _webhook_policy(settings: Settings) -> webhooks.GuardPolicy:
    return webhooks.GuardPolicy(
        allow_hosts=settings.webhook_allow_hosts,
        allow_cidrs=settings.webhook_allow_cidrs,
        allow_ports=settings.webhook_allow_ports,
    )
