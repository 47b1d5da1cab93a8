"""The command line: `shanraq --help` teaches it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
import uvloop
from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shanraq.core import log
from shanraq.core.actor import Environment
from shanraq.core.errors import ShanraqError
from shanraq.core.settings import Settings, load
from shanraq.ops.role import USUAL_ROLES, Role
from shanraq.standards.iso8583.errors import Level

if TYPE_CHECKING:
    from shanraq.simulators.visa import TlsPort
    from shanraq.standards.iso8583 import Codec
    from shanraq.standards.iso20022 import Library

T = TypeVar("T")

console: Final = Console(stderr=True, highlight=False)

app: Final = App(
    name="shanraq",
    help="""Shanraq: a self-hosted fintech integration platform.

    Begin with `shanraq demo`: it takes a payment through the whole system on this machine, and cleans up.
    `shanraq serve` runs the platform: REST API, worker, and in the sandbox the simulators, on an embedded PostgreSQL.

    Every setting can be given in a TOML file (SHANRAQ_CONFIG), as a variable (SHANRAQ_PORT), or here; later ones win.""",
    version_flags=["--version"],
)
keys: Final = App(name="keys", help="Rotate the master keys that seal card numbers, personal data and secrets.")
simulate: Final = App(name="simulate", help="Run a payment system's simulator as a program of its own.")
ledger: Final = App(name="ledger", help="Work with the ledger.")
iso: Final = App(name="iso8583", help="Read, write and explain ISO 8583 messages; one a line on standard input.")
iso20022_: Final = App(name="iso20022", help="Validate and explain ISO 20022 payment messages.")
schemas_: Final = App(name="schemas", help="The message definitions at hand: those of the platform, and added ones.")
terminals: Final = App(
    name="terminals", help="Terminals that speak ISO 8583 to `shanraq serve iso8583`: whose they are."
)
settlement: Final = App(name="settlement", help="What card acquirers settled: fetch reports, show days and exceptions.")
operators: Final = App(name="operators", help="The platform's people, who approve and suspend partners.")
routing: Final = App(name="routing", help="Which payment system takes which payment.")
bins_: Final = App(name="bins", help="Whose cards begin with which digits: issuing country and funding, for rules.")
app.command(simulate)
app.command(routing)
routing.command(bins_)
app.command(keys)
app.command(ledger)
app.command(operators)
app.command(settlement)
app.command(iso)
app.command(iso20022_)
iso20022_.command(schemas_)
app.command(terminals)

DataDir = Annotated[Path | None, Parameter(help="Where the embedded database, keys and journals lie.")]
DatabaseUrl = Annotated[str | None, Parameter(help="An external PostgreSQL 15 to 18 instead of the embedded one.")]


@app.command
def serve(
    *roles: Role,
    host: str | None = None,
    port: int | None = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    log_level: str | None = None,
    log_format: str | None = None,
) -> None:
    """Run the platform until Ctrl-C: all roles, or those named.

    Any number of processes may run side by side on one database: `shanraq serve api` many times, `shanraq serve worker` twice.
    Switch the sandbox from the simulator to the real gateway by its URL and credentials (SHANRAQ_VISA_SANDBOX_URL, ...).

    Parameters
    ----------
    roles
        What this process does: api, worker, simulators, iso8583 (the gateway of terminals). The first three if none is named.
    host
        Address to listen on. 127.0.0.1 unless given.
    port
        Port to listen on. 8080 unless given; 0 finds a free one.
    log_level
        debug, info, warning or error.
    log_format
        json or text.
    """
    from shanraq.ops.serve import Running
    from shanraq.ops.serve import serve as serve_roles

    settings = _settings(
        host=host, port=port, data_dir=data_dir, database_url=database_url, log_level=log_level, log_format=log_format
    )
    wanted = frozenset(roles) or USUAL_ROLES

    def ready(now: Running) -> None:
        console.print(f"[bold green]Shanraq serves[/] {now.url}  ({', '.join(sorted(wanted))})")
        console.print(f"  explorer   {now.url}/explorer")
        console.print(f"  documents  {now.url}/openapi-3.0.json  {now.url}/openapi-3.1.json")
        console.print(f"  health     {now.url}/health/ready   metrics  {now.url}/metrics")
        if now.platform.visa_simulator is not None:
            console.print(f"  simulator  {now.platform.visa_simulator.base_url} (Visa)")
        if now.platform.mastercard_simulator is not None:
            console.print(f"  simulator  {now.platform.mastercard_simulator.base_url} (Mastercard)")
        if now.platform.host_simulator is not None:
            console.print(f"  simulator  127.0.0.1:{now.platform.host_simulator.port} (card host, ISO 8583)")
        if now.switch is not None:
            console.print(f"  terminals  {settings.switch.host}:{now.switch.port} (ISO 8583, {settings.switch.layout})")
        console.print("Stop with Ctrl-C.")

    _run(serve_roles(settings, wanted, ready, _announce))


@app.command
def demo(*, json: bool = False) -> None:
    """Take a payment through the whole system, and show every step.

    Starts the platform on an embedded PostgreSQL in a temporary directory, onboards a partner, moves money over HTTP as a
    partner would, receives and verifies every webhook, verifies ledger and audit log, and leaves nothing behind.

    Parameters
    ----------
    json
        Print the steps as JSON, for machines.
    """
    from shanraq.ops.demo import run_demo

    log.configure("error", json=True)
    # A shell starts what runs in the background with Ctrl-C ignored; the demo cleans up on it and on SIGTERM all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(_run(run_demo(as_json=json)))


@app.command
def migrate(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Apply pending migrations, and say which. Safe to run at any time and from several processes."""
    from shanraq.ops.app import open_database
    from shanraq.ops.migrate import migrate as apply

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")

    async def work() -> None:
        async with open_database(settings, _announce) as (owner_dsn, _, _):
            applied = await apply(
                owner_dsn, progress=lambda migration: console.print(f"applying {migration}"), unsafe=settings.unsafe
            )
        console.print(f"{len(applied)} migrations applied" if applied else "nothing to do")

    _run(work())


@app.command
def verify(*, json: bool = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Prove the books: ledger balanced entry by entry, audit chains unbroken, no webhook lost.

    Exit code 0 if everything holds, 1 if not, with every finding.

    Parameters
    ----------
    json
        Print `{"ok", "findings"}` for machines.
    """
    from shanraq.ops.verify import verify_platform

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    with _progress() as progress:
        findings = _run(verify_platform(settings, progress, _announce))
    if json:
        sys.stdout.write(msgspec.json.encode({"ok": not findings, "findings": findings}).decode() + "\n")
    for finding in findings:
        console.print(f"[bold red]![/] {escape(finding)}")
    if not findings:
        console.print("[bold green]ok[/]  ledger balanced, audit chains unbroken, deliveries accounted for")
    sys.exit(1 if findings else 0)


@ledger.command
def replay(*files: Path, memory: bool = False) -> None:
    """Replay recorded scenarios in a scratch ledger; prints one JSON object a scenario.

    `{"id", "ok", "differences": [...]}`; exit code 1 if any differs. Scenarios with amounts beyond 63 bits run in memory,
    the others on the tables of an embedded PostgreSQL.

    Parameters
    ----------
    files
        Scenario files, one JSON object a line (.jsonl, or compressed .jsonl.xz).
    memory
        Run every scenario on the evaluator alone, without a database.
    """
    from shanraq.ops.replay import replay_files

    if not files:
        console.print("name at least one scenario file")
        sys.exit(2)
    with _progress() as progress:
        failed = _run(replay_files(files, progress, sys.stdout, in_memory=memory))
    sys.exit(1 if failed else 0)


@simulate.command
def visa(
    *,
    listen: str = "127.0.0.1",
    port: int = 8189,
    tls_port: int | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    credentials: Path = Path("visa-simulator.json"),
    index_lag: float = 5.0,
    host: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    journal: Path | None = None,
    control_token: str | None = None,
) -> None:
    """Pretend to be Visa (CyberSource REST) over HTTP and TLS, with real signatures, encryption, state and troubles on demand.

    Parameters
    ----------
    listen
        Address to bind.
    port
        Port for plain HTTP; 0 finds a free one.
    tls_port
        Port for TLS, beside the other; 0 finds a free one.
    tls_cert
        Certificate chain of the TLS port (PEM); without it the simulator's own authority issues one.
    tls_key
        Private key of that certificate (PEM).
    credentials
        JSON with merchant_id, key_id, secret and other_..., and keys and certificates of further schemes; made, with its
        files beside it, if it is not there.
    index_lag
        Seconds until a payment can be found by search.
    host
        A further name that clients may sign, as host or host:port; may be given several times.
    journal
        File to keep the state in across restarts.
    control_token
        Switches the control API under /__sim/ on, for those who send this token.
    """
    from shanraq.simulators.visa import run_visa_simulator

    log.configure("info", json=False)
    with _plain_errors():
        run_visa_simulator(
            listen,
            port,
            credentials,
            tls=_tls_port(tls_port, tls_cert, tls_key),
            index_lag_seconds=index_lag,
            hosts=host,
            journal=journal,
            control_token=control_token,
        )


@simulate.command
def mastercard(
    *,
    listen: str = "127.0.0.1",
    port: int = 8190,
    tls_port: int | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    credentials: Path = Path("mastercard-simulator.json"),
    index_lag: float = 0.0,
    seed: int | None = None,
    host: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    journal: Path | None = None,
    control_token: str | None = None,
) -> None:
    """Pretend to be the Mastercard Gateway (MPGS, REST-JSON) over HTTP and TLS, with state, triggers and troubles on demand.

    Parameters
    ----------
    listen
        Address to bind.
    port
        Port for plain HTTP; 0 finds a free one.
    tls_port
        Port for TLS, beside the other; 0 finds a free one.
    tls_cert
        Certificate chain of the TLS port (PEM); without it the simulator's own authority issues one.
    tls_key
        Private key of that certificate (PEM).
    credentials
        JSON with mpgs_merchant_id, mpgs_password, mpgs_other_..., and mc_consumer_key with mc_signing_cert; made if it is not
        there, and added to a file that holds none of them.
    index_lag
        Seconds until a transaction is in the history of the Reporting API.
    seed
        The same number gives the same ids of sessions, tokens and notifications in every run; random without it.
    host
        A further name that clients of the Developers add-on may sign; may be given several times.
    journal
        File to keep the state in across restarts.
    control_token
        Switches the control API under /__sim/ on, for those who send this token.
    """
    from shanraq.simulators.mastercard import run_mastercard_simulator

    log.configure("info", json=False)
    with _plain_errors():
        run_mastercard_simulator(
            listen,
            port,
            credentials,
            tls=_tls_port(tls_port, tls_cert, tls_key),
            index_lag_seconds=index_lag,
            seed=seed,
            hosts=host,
            journal=journal,
            control_token=control_token,
        )


@simulate.command(name="iso20022")
def simulate_iso20022(
    *,
    host: str = "127.0.0.1",
    port: int = 8022,
    credentials: Path = Path("clearing-simulator.json"),
    journal: Path | None = None,
    cycle_seconds: float = 0.0,
    pending_seconds: float = 1.0,
    control_token: str | None = None,
) -> None:
    """Pretend to be a clearing system of credit transfers (ISO 20022 over HTTP), with real signatures and troubles on demand.

    Parameters
    ----------
    port
        Port to listen on; 0 finds a free one.
    credentials
        JSON with keys, certificates and tokens of the clearing and its participants; made and written if it is not there.
    journal
        File (SQLite) to keep the books in across restarts.
    cycle_seconds
        How long payments wait (PDNG) for settlement; 0 settles at once.
    pending_seconds
        How long triggers take that decide later, such as SIM-PDNG and SIM-RTRN-AC04.
    control_token
        The token of the control API under /control/; without it nobody can use it.
    """
    from shanraq.simulators.iso20022 import run_clearing_simulator

    log.configure("info", json=False)
    with _plain_errors():
        run_clearing_simulator(
            host,
            port,
            credentials,
            database=journal,
            cycle_seconds=cycle_seconds,
            pending_seconds=pending_seconds,
            control_token=control_token,
        )


@simulate.command(name="iso8583")
def simulate_iso8583(
    *,
    scheme: Literal["generic", "visa", "mastercard", "unionpay", "generic93"] = "generic",
    host: str = "127.0.0.1",
    port: int = 8583,
    seed: int = 0,
    journal: Path | None = None,
    rules: Path | None = None,
    layout: str | None = None,
    framing: str | None = None,
    require_sign_on: bool = False,
    echo_after: float | None = None,
    keep_alive_after: float | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    tls_ca: Path | None = None,
    verbose: bool = False,
) -> None:
    """Pretend to be a card host that speaks ISO 8583 over TCP, with money that adds up and troubles on demand.

    Parameters
    ----------
    scheme
        Whose layout, framing, network management and response codes.
    port
        Port to listen on; 0 finds a free one.
    seed
        Decides approval codes and what rules leave to chance.
    journal
        File to keep the state in, also when killed.
    rules
        JSON file: what to answer when, see docs/iso8583-simulator.md.
    layout
        A layout by name (see `shanraq iso8583 specs`) or the file of your own, instead of the scheme's.
    framing
        How messages are marked off, instead of the scheme's: binary2, ascii4, nac, ...
    require_sign_on
        Answer 91 until the connection has signed on.
    echo_after
        Seconds of silence after which the host sends an echo test.
    keep_alive_after
        Seconds of silence after which the host sends a keep-alive, where the framing has one.
    tls_cert
        Certificate (PEM); switches TLS on.
    tls_key
        Its key, if it is in a file of its own.
    tls_ca
        CA of the clients, who then need a certificate.
    verbose
        Print every message, masked.
    """
    from shanraq.simulators.iso8583 import HostConfiguration, load_rules, run_iso8583_host, server_tls

    log.configure("warning", json=False)
    with _plain_errors():
        if tls_cert is None and (tls_key is not None or tls_ca is not None):
            raise ValueError("--tls-key and --tls-ca need --tls-cert")
        configuration = HostConfiguration(
            scheme=scheme,
            layout=_codec(layout).layout if layout is not None else None,
            framing=framing,
            seed=seed,
            host=host,
            port=port,
            require_sign_on=require_sign_on,
            journal=journal,
            rules=load_rules(rules) if rules is not None else (),
            echo_after_seconds=echo_after,
            keep_alive_after_seconds=keep_alive_after,
            ssl=server_tls(tls_cert, tls_key, tls_ca) if tls_cert is not None else None,
        )
        run_iso8583_host(configuration, verbose=verbose)


@routing.command
def explain(
    *,
    first_digits: Annotated[str, Parameter(name="--bin")],
    amount: int,
    currency: str,
    environment: Literal["sandbox", "live"] = "sandbox",
    partner: str = "",
    payment: str = "",
    capture: bool = False,
    initiator: Literal["customer", "merchant"] = "customer",
    billing_country: str = "",
    operation: Literal["payment", "credit", "verification", "authentication"] = "payment",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Tell how a payment would be routed, and why, as JSON; makes none.

    Circuit breakers live in a running server: POST /v1/routing/explain asks one with them.

    Parameters
    ----------
    first_digits
        Of the card, 11 at most; never the whole number.
    amount
        In minor units.
    currency
        ISO 4217, such as KZT.
    environment
        Where the payment would be made.
    partner
        The partner's id, for rules about partners.
    payment
        A payment's id, for what hangs on its hash; a new one unless given.
    capture
        A sale instead of an authorisation.
    initiator
        Who would start the payment.
    billing_country
        ISO 3166-1 alpha-2.
    operation
        What would be asked of the payment system.
    """
    from shanraq.ops.routing import explain as explain_
    from shanraq.ops.routing import question_of

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    question = question_of(
        environment=environment,
        bin_=first_digits,
        amount=amount,
        currency=currency,
        partner_id=partner,
        payment_id=payment,
        capture=capture,
        initiator=initiator,
        billing_country=billing_country,
        operation=operation,
    )
    told = _run(explain_(settings, question, _announce))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")


@bins_.command(name="import")
def import_bins_(file: Path, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Put the table in a CSV file in the place of the whole table of BINs; print the new version as JSON.

    The first line names the columns: bin_from, scheme, issuer_country, and if wanted bin_to, funding, issuer_name; between them
    are commas or semicolons. Nothing changes unless every line is right; what is wrong is told by line, and ends with 1.

    Parameters
    ----------
    file
        UTF-8. A BIN has 6 to 8 digits; without bin_to a line is of one BIN. Funding is credit, debit, prepaid or charge.
    """
    from shanraq.ops.bins import BinFileError, import_bins, read_bins

    try:
        with _progress() as progress:
            task = progress.add_task("reading lines", total=None)
            ranges = read_bins(file, lambda count: progress.update(task, advance=count))
    except BinFileError as error:
        for problem in error.problems:
            console.print(f"[bold red]error[/] {escape(str(problem))}")
        if error.more:
            console.print(f"and {error.more} more")
        sys.exit(1)
    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    with _progress() as progress:
        task = progress.add_task("new ranges", total=None)
        table = _run(import_bins(settings, ranges, _announce, lambda count: progress.update(task, advance=count)))
    sys.stdout.buffer.write(msgspec.json.encode(table) + b"\n")


@bins_.command(name="list")
def list_bins_(*, version: int | None = None, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the table of BINs as JSON, one range a line, in the order of the digits.

    Parameters
    ----------
    version
        Of the table; the newest unless given.
    """
    from shanraq.ops.bins import list_bins

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    for one in _run(list_bins(settings, version, _announce)):
        sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")


@bins_.command(name="show")
def show_bin_(prefix: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show what the table of BINs knows of the cards with these first digits, as JSON.

    Parameters
    ----------
    prefix
        The first 1 to 8 digits; never the whole number.
    """
    from shanraq.ops.bins import show_bin

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    told = _run(show_bin(settings, prefix, _announce))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")


@bins_.command(name="versions")
def list_bin_tables(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the versions of the table of BINs, the newest first, as JSON: one object a line."""
    from shanraq.ops.bins import versions

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    for table in _run(versions(settings, _announce)):
        sys.stdout.buffer.write(msgspec.json.encode(table) + b"\n")


@operators.command
def create(
    name: str, *, scope: tuple[str, ...] = (), data_dir: DataDir = None, database_url: DatabaseUrl = None
) -> None:
    """Create an operator and print its token, once. Approving a partner takes another operator than the one who applied.

    Parameters
    ----------
    name
        Whom the token is for.
    scope
        What it may do; partners:write, partners:approve, partners:suspend and partners:read if none is named.
    """
    from shanraq.ops.operators import create_operator

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    operator_id, token = _run(create_operator(settings, name, scope, _announce))
    console.print(f"operator {operator_id} ({escape(name)}); its token, shown this once:")
    sys.stdout.write(token + "\n")


@operators.command(name="list")
def list_(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the operators, the newest first, as JSON: one object a line."""
    from shanraq.ops.operators import list_operators

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    for operator in _run(list_operators(settings, _announce)):
        sys.stdout.buffer.write(msgspec.json.encode(operator) + b"\n")


@operators.command
def disable(operator_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Take an operator's access away for ever; at once, in every process.

    Parameters
    ----------
    operator_id
        As `shanraq operators list` shows it.
    """
    from shanraq.ops.operators import disable_operator

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    operator = _run(disable_operator(settings, operator_id, _announce))
    console.print(f"operator {operator.id} ({escape(operator.name)}) has no access any more")


Where = Annotated[Literal["sandbox", "live"], Parameter(help="sandbox or live.")]


@settlement.command(name="fetch")
def fetch_settlement(
    adapter: str,
    day: str,
    until: str | None = None,
    *,
    environment: Where = "sandbox",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Fetch and settle the report of a day now, also one read before; print the totals as JSON, one day a line.

    Parameters
    ----------
    adapter
        The payment system, such as visa or mastercard.
    day
        Such as 2026-11-25 (UTC).
    until
        The last day, for several.
    """
    from shanraq.ops.settlement import fetch

    first, last = _day(day), _day(until or day)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    if not days:
        console.print("[bold red]error[/] the last day is before the first")
        sys.exit(2)
    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    for figures in _run(fetch(settings, Environment(environment), adapter, days, _announce)):
        if figures.day.revision == 0:
            console.print(f"{figures.day.day}: {escape(figures.day.problem)}")
        sys.stdout.buffer.write(msgspec.json.encode(figures) + b"\n")


@settlement.command(name="show")
def show_settlement(
    adapter: str,
    day: str,
    *,
    environment: Where = "sandbox",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Print the totals of a day as JSON. Ends with 1 unless all of it is posted.

    Parameters
    ----------
    adapter
        The payment system, such as visa or mastercard.
    day
        Such as 2026-11-25 (UTC).
    """
    from shanraq.ops.settlement import show

    wanted = _day(day)
    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    figures = _run(show(settings, Environment(environment), adapter, wanted, _announce))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(figures)).decode() + "\n")
    sys.exit(0 if figures.settled else 1)


@settlement.command(name="exceptions")
def list_settlement_exceptions(
    *,
    status: Literal["open", "proposed", "resolved", "cleared"] = "open",
    environment: Where = "sandbox",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """List what a person has to look at, the newest first, as JSON: one object a line.

    They are resolved over REST by two operators: /v1/settlement/exceptions.

    Parameters
    ----------
    status
        open, proposed, resolved or cleared.
    """
    from shanraq.ops.settlement import exceptions
    from shanraq.settlement import ExceptionStatus

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    for one in _run(exceptions(settings, Environment(environment), ExceptionStatus(status), _announce)):
        sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        console.print(f"[bold red]error[/] {escape(text)} is not a day such as 2026-11-25")
        sys.exit(2)


@keys.command(name="status")
def keys_status(*, json: bool = False, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show the master keys, the newest first, and how many sealed values hang on each.

    Parameters
    ----------
    json
        One JSON object instead of a table.
    """
    from shanraq.ops.keys import holdings

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    key_ids, held = _run(holdings(settings, _announce))
    if json:
        sys.stdout.buffer.write(msgspec.json.encode({"keys": key_ids, "sealed": held}) + b"\n")
        return
    for key_id in dict.fromkeys((*key_ids, *(one.key_id for one in held))):
        known = "newest" if key_id == key_ids[0] else "older" if key_id in key_ids else "NOT IN THE KEYRING"
        own = [one for one in held if one.key_id == key_id]
        console.print(f"{key_id} ({known}): {sum(one.values for one in own)} values")
        for one in own:
            console.print(f"    {one.table}.{one.column}: {one.values}")


@keys.command(name="rotate")
def rotate_keys(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Put a new master key first. Processes on this keyring file take it within seconds; copies of it must be exchanged."""
    from shanraq.ops.keys import rotate

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    key_id = _run(rotate(settings, _announce))
    console.print(f"{key_id} is the newest master key of {settings.keyring_path}")
    console.print("now: give the file to every machine, then `shanraq keys reseal`, then `shanraq keys retire OLD`")


@keys.command(name="reseal")
def reseal_keys(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Hang every sealed value on the newest master key, while the platform runs. Safe to repeat."""
    from shanraq.ops.keys import reseal_all

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    with _progress() as progress:
        task = progress.add_task("sealed values", total=None)

        def told(name: str, rows: int) -> None:
            progress.update(task, advance=rows, description=name)

        changed = _run(reseal_all(settings, _announce, told))
    for name, count in changed.items():
        console.print(f"{name}: {count} resealed")


@keys.command(name="retire")
def retire_key(key_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Take a master key out of the keyring file, if nothing hangs on it. Keep a copy as long as backups are sealed by it.

    Parameters
    ----------
    key_id
        As `shanraq keys status` shows it.
    """
    from shanraq.ops.keys import retire

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    _run(retire(settings, key_id, _announce))
    console.print(f"{key_id} is out of {settings.keyring_path}; backups made before still need it")


@terminals.command
def add(
    partner_id: str,
    account_id: str,
    *,
    terminal: str,
    acceptor: str,
    live: bool = False,
    name: str = "",
    mac_key: str = "",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Register a terminal of a partner; prints it as JSON.

    Parameters
    ----------
    partner_id
        Whose it is.
    account_id
        The account that its payments go to.
    terminal
        DE41 as the terminal sends it, without blanks around it.
    acceptor
        DE42, the same way.
    live
        For real money; the sandbox otherwise.
    name
        What you call it.
    mac_key
        The name of its key in the file of SHANRAQ_SWITCH_MAC_KEYS_FILE: only messages with a right code are believed then.
    """
    from shanraq.core.actor import Environment
    from shanraq.ops.switch import register
    from shanraq.terminals import NewTerminal

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    new = NewTerminal(terminal=terminal, acceptor=acceptor, account_id=account_id, name=name, mac_key=mac_key)
    environment = Environment.LIVE if live else Environment.SANDBOX
    registered = _run(register(settings, partner_id, environment, new, _announce))
    sys.stdout.buffer.write(msgspec.json.encode(registered) + b"\n")


@terminals.command(name="list")
def list_terminals(*, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List the terminals, the newest first, as JSON: one object a line."""
    from shanraq.ops.switch import list_all

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    for terminal in _run(list_all(settings, _announce)):
        sys.stdout.buffer.write(msgspec.json.encode(terminal) + b"\n")


@terminals.command(name="disable")
def disable_terminal(terminal_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Shut a terminal out: its messages are refused, at once and in every process.

    Parameters
    ----------
    terminal_id
        As `shanraq terminals list` shows it.
    """
    _set_terminal(terminal_id, "disabled", data_dir, database_url)


@terminals.command(name="enable")
def enable_terminal(terminal_id: str, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Let a terminal in again.

    Parameters
    ----------
    terminal_id
        As `shanraq terminals list` shows it.
    """
    _set_terminal(terminal_id, "active", data_dir, database_url)


def _set_terminal(terminal_id: str, status: str, data_dir: Path | None, database_url: str | None) -> None:
    from shanraq.ops.switch import set_status
    from shanraq.terminals import TerminalStatus

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    changed = _run(set_status(settings, terminal_id, TerminalStatus(status), _announce))
    console.print(f"terminal {changed.id} ({escape(changed.terminal)}, {escape(changed.acceptor)}) is {changed.status}")


@iso.command
def queue(*, limit: int = 100, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """List what must still reach card hosts (reversals, repeated advices), the oldest first: one JSON object a line.

    What was given up (status given_up: the host refused it, or it was sent too often) needs a person: talk to the host,
    then `shanraq iso8583 retry ID`.

    Parameters
    ----------
    limit
        How many at most.
    """
    from shanraq.ops.host_queue import read_queue

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    for entry in _run(read_queue(settings, limit, _announce)):
        sys.stdout.buffer.write(msgspec.json.encode(entry) + b"\n")


@iso.command
def retry(queued_id: int, *, data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Put a message that was given up back into the queue of its card host.

    Parameters
    ----------
    queued_id
        As `shanraq iso8583 queue` shows it.
    """
    from shanraq.ops.host_queue import retry_queued

    settings = _settings(data_dir=data_dir, database_url=database_url, log_level="warning")
    if not _run(retry_queued(settings, queued_id, _announce)):
        console.print(f"nothing with the number {queued_id} was given up: see `shanraq iso8583 queue`")
        sys.exit(1)
    console.print(f"{queued_id} is in the queue again")


Spec = Annotated[
    str,
    Parameter(
        help="A layout by name (see `shanraq iso8583 specs`) or a file: your own, or one of moov, jPOS, pyiso8583."
    ),
]
CheckedTo = Annotated[Level, Parameter(help="How deep to check: structure, content (character classes), semantic.")]


@iso.command
def decode(
    *,
    spec: Spec,
    raw: bool = False,
    level: CheckedTo = Level.CONTENT,
    file: Path | None = None,
    form: Annotated[Literal["hex", "vbs", "1014"], Parameter(name="--format")] = "hex",
) -> None:
    """Read messages in hex; print each as one JSON object: {"mti", "header", "fields", "parts"}, or {"error"}.

    Parameters
    ----------
    raw
        Show card numbers, tracks and PIN blocks as they are. Without it they are masked at every depth.
    file
        Read this file instead of standard input.
    form
        hex: one message a line. vbs, 1014: a file of records, as Mastercard clearing (IPM) has them; it needs --file. What is
        wrong with the file itself is the last line, {"file_error"}, and the exit code 1.
    """
    from shanraq.ops.iso8583 import decode_file, decode_lines

    codec = _codec(spec)
    if file is None and form != "hex":
        console.print(f"[bold red]error[/] --format {form} needs --file")
        sys.exit(1)
    broken = False
    try:
        if file is None:
            messages = decode_lines(sys.stdin.buffer, codec, level, raw=raw)
        elif form == "hex":
            messages = decode_lines(file.read_bytes().splitlines(), codec, level, raw=raw)
        else:
            messages = decode_file(file, form, codec, level, raw=raw)
        for found in messages:
            broken = broken or "file_error" in found
            sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    except OSError as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(1)
    sys.exit(1 if broken else 0)


@iso.command
def encode(*, spec: Spec, level: CheckedTo = Level.STRUCTURE) -> None:
    """Write messages: JSON objects as `decode --raw` prints them become hex, one a line; or {"error"}."""
    from shanraq.ops.iso8583 import encode_lines

    for found in encode_lines(sys.stdin.buffer, _codec(spec), level):
        sys.stdout.buffer.write((found.encode() if isinstance(found, str) else msgspec.json.encode(found)) + b"\n")


@iso.command
def describe(*, spec: Spec) -> None:
    """Show messages in hex for people: every element with its name, place and value, masked."""
    from shanraq.ops.iso8583 import describe as show

    codec = _codec(spec)
    right = [show(line, codec, Console(highlight=False)) for line in sys.stdin.buffer if line.strip()]
    sys.exit(0 if all(right) else 1)


@iso.command
def check(*, spec: Spec, rules: str) -> None:
    """Check messages in hex against rules; print for each {"mti", "findings": [{"code", "field", "expected"}]}, or {"error"}.

    Ends with 1 if anything was found.

    Parameters
    ----------
    rules
        Rules by name (see `shanraq iso8583 rules`) or the file of your own.
    """
    from shanraq.ops.iso8583 import check_lines, find_rules
    from shanraq.standards.iso8583 import LayoutError

    codec = _codec(spec)
    try:
        wanted = find_rules(rules)
    except LayoutError as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(1)
    right = True
    for found in check_lines(sys.stdin.buffer, codec, wanted):
        right = right and found.get("findings") == []
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    sys.exit(0 if right else 1)


@iso.command(name="rules")
def rules_(name: str | None = None) -> None:
    """List the rules that come with the platform, or print a set as JSON, to begin your own from.

    Parameters
    ----------
    name
        The rules to print.
    """
    from shanraq.ops.iso8583 import find_rules
    from shanraq.standards.iso8583 import LayoutError
    from shanraq.standards.iso8583.rules import rule_set, rule_set_names

    if name is not None:
        try:
            sys.stdout.buffer.write(find_rules(name).to_json() + b"\n")
        except LayoutError as error:
            console.print(f"[bold red]error[/] {escape(str(error))}")
            sys.exit(1)
        return
    for known in rule_set_names():
        sys.stdout.write(f"{known:12} {rule_set(known).title}\n")


@iso.command
def convert(spec: str, *, to: Literal["shanraq", "moov", "jpos", "pyiso8583"], strict: bool = False) -> None:
    """Print a specification in another format. What is not the same afterwards is listed on standard error.

    Parameters
    ----------
    spec
        A layout by name, or a file in any of the formats; which one shows in its content.
    to
        The format to print.
    strict
        Print nothing and end with 1 if anything would be lost.
    """
    from shanraq.ops.iso8583 import convert_specification
    from shanraq.standards.iso8583 import LayoutError

    try:
        converted = convert_specification(spec, to)
    except (LayoutError, OSError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(1)
    for note in converted.notes:
        console.print(escape(str(note)), soft_wrap=True)
    if strict and converted.losses:
        console.print(f"[bold red]error[/] {len(converted.losses)} losses; without --strict it is printed all the same")
        sys.exit(1)
    sys.stdout.write(converted.text.rstrip("\n") + "\n")


@iso.command
def doctor() -> None:
    """Guess the framing and layout of captures in hex, and say why."""
    from shanraq.ops.iso8583 import examine

    right = [examine(line, Console(highlight=False)) for line in sys.stdin.buffer if line.strip()]
    sys.exit(0 if all(right) else 1)


@iso.command
def specs(name: str | None = None) -> None:
    """List the layouts that come with the platform, or print one as JSON, to begin your own from.

    Parameters
    ----------
    name
        The layout to print.
    """
    from shanraq.standards import iso8583

    if name is not None:
        sys.stdout.buffer.write(_codec(name).layout.to_json() + b"\n")
        return
    for known in iso8583.layout_names():
        layout = iso8583.layout(known)
        sys.stdout.write(f"{known:24} {layout.iso_version}  {len(layout.fields):3} elements  {layout.title}\n")


def _codec(spec: str) -> Codec:
    from shanraq.ops.iso8583 import find_codec
    from shanraq.standards.iso8583 import LayoutError

    try:
        return find_codec(spec, lambda loss: console.print(escape(str(loss)), soft_wrap=True))
    except (LayoutError, OSError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(1)


@app.command
def docs(folder: Path = Path()) -> None:
    """Write the OpenAPI documents and event schemas into a checkout (openapi/, events/).

    Parameters
    ----------
    folder
        The checkout; the present directory unless given.
    """
    from shanraq.ops.documents import write_documents

    for path in write_documents(folder):
        console.print(f"wrote {path}")


@app.command
def bench(name: str, *, seconds: float = 5.0, rounds: int | None = None) -> None:
    """Measure, and print ratios to a yardstick of the same run: `ledger` and `api` to pgbench, `iso8583` to pyiso8583,
    `iso20022` to xmllint, xmlschema and pyiso20022, `cards` to the official CyberSource SDK where there is one.

    Parameters
    ----------
    name
        What to measure.
    seconds
        How long each part runs.
    rounds
        How often the parts take turns; the medians are printed. 3, for `iso8583` 9 unless given.
    """
    from shanraq.ops.bench import BENCHMARKS

    if name not in BENCHMARKS:
        console.print(f"no such benchmark: {escape(name)}; there are {', '.join(sorted(BENCHMARKS))}")
        sys.exit(2)
    log.configure("error")
    result = _run(BENCHMARKS[name](seconds, rounds, console))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(result)).decode() + "\n")


def main() -> None:
    """Run the command line; errors of ours end it with one sentence and exit code 1."""
    log.configure("warning", json=False)
    try:
        app()
    except ShanraqError as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _tls_port(port: int | None, certificate: Path | None, key: Path | None) -> TlsPort | None:
    from shanraq.simulators.visa import TlsPort

    if port is None:
        if certificate or key:
            raise ValueError("--tls-cert and --tls-key need --tls-port")
        return None
    return TlsPort(port, certificate, key)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """End with one sentence and 1 when an address, a file or an option cannot be used."""
    try:
        yield
    except (OSError, ValueError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(1)


def _settings(**given: Any) -> Settings:
    overrides = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    settings = load(None, None, **overrides)
    log.configure(settings.log_level, json=settings.log_format == "json")
    return settings


def _announce(step: str) -> None:
    console.print(f"[dim]{escape(step)} ...[/]")


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    return uvloop.run(work)


Definitions = Annotated[
    Path | None,
    Parameter(help="The folder of added message definitions; `iso20022` in the data directory unless given."),
]


@iso20022_.command(name="validate")
def validate_messages(
    *files: Path,
    profile: str = "iso",
    as_of: str | None = None,
    option: Annotated[
        list[str] | None, Parameter(help="A setting of the profile, NAME=VALUE; may be repeated.")
    ] = None,
    store: Annotated[list[Path] | None, Parameter(help="A message processed before; repeated, oldest first.")] = None,
    definitions: Definitions = None,
) -> None:
    """Validate messages; print each as one JSON object: {"file", "message", "valid", "findings"}. Ends with 1 if one is not.

    Parameters
    ----------
    files
        Files of one message each, with or without an envelope.
    profile
        Whose rules apply besides those of the standard.
    as_of
        The moment to judge dates by, such as 2026-11-23T06:00:00Z; now unless given.
    """
    from shanraq.ops.iso20022 import read_moment, read_option, validate_files

    try:
        moment = None if as_of is None else read_moment(as_of)
        options = dict(read_option(each) for each in option or ())
        before = [path.read_bytes() for path in store or ()]
    except (ValueError, OSError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(2)
    right = True
    for report in validate_files(
        files, _definitions(definitions)[1], profile=profile, as_of=moment, options=options, store=before
    ):
        right = right and report["valid"]
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.exit(0 if right else 1)


@iso20022_.command(name="describe")
def describe_message(file: Path, *, raw: bool = False, definitions: Definitions = None) -> None:
    """Show a message for people: every element with its value and type. Values are masked.

    Parameters
    ----------
    file
        A file of one message.
    raw
        Show names, accounts and amounts as they are.
    """
    from shanraq.ops.iso20022 import describe_file

    sys.exit(0 if describe_file(file, _definitions(definitions)[1], Console(highlight=False), raw=raw) else 1)


@iso20022_.command(name="sign")
def sign_message(
    message: Path,
    *,
    key: Path,
    certificate: Path,
    profile: str = "shanraq-sig-1",
    algorithm: str | None = None,
    password_file: Path | None = None,
    signed_at: str | None = None,
    output: Path | None = None,
) -> None:
    """Sign a message; write it to standard output or a file. For the sandbox: a bank's key belongs in an HSM.

    Parameters
    ----------
    message
        A file of one message, not signed.
    key
        The private key, PKCS #8 in PEM: RSA, P-256, P-384 or Ed25519.
    certificate
        Its certificate in PEM.
    profile
        What is signed and how, see docs/iso20022-signatures.md.
    algorithm
        rsa-sha256, rsa-pss-sha256, ecdsa-sha256, ecdsa-sha384 or ed25519; the key's usual one unless given.
    password_file
        A file with the password of the key.
    signed_at
        SigningTime of XAdES, such as 2026-11-23T06:00:00Z; now unless given.
    output
        Where to write it.
    """
    from shanraq.ops.iso20022_signatures import sign_file

    try:
        signed = sign_file(
            message,
            key=key,
            certificate=certificate,
            profile=profile,
            algorithm=algorithm,
            password_file=password_file,
            signed_at=signed_at,
        )
        if output is None:
            sys.stdout.buffer.write(signed)
        else:
            output.write_bytes(signed)
    except (ValueError, OSError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(2)


@iso20022_.command(name="verify")
def verify_messages(
    *files: Path,
    trust: Path,
    profile: str = "shanraq-sig-1",
    as_of: str | None = None,
    sender: str | None = None,
    document: Path | None = None,
) -> None:
    """Verify signed messages; print each verdict as one JSON object. Ends with 1 if one is not good.

    It does not know what was sent before: repetitions are for the platform to refuse.

    Parameters
    ----------
    files
        Files of one signed message each.
    trust
        The trust list, see docs/iso20022-signatures.md.
    profile
        What the sender has to have signed, and how.
    as_of
        The moment to judge certificates at, such as 2026-11-23T06:00:00Z; now unless given.
    sender
        Who sent messages without a header, such as bic:HSBKKZKX.
    document
        Where to write the Document that was verified; for one file.
    """
    from shanraq.ops.iso20022_signatures import (
        load_trust,
        read_as_of,
        read_profile,
        read_sender,
        verify_file,
        write_document,
    )

    right = True
    try:
        store, moment, wanted = load_trust(trust), read_as_of(as_of), read_profile(profile)
        named = None if sender is None else read_sender(sender)
        if document is not None and len(files) != 1:
            raise ValueError("--document is for one file")
        for file in files:
            verdict, verified = verify_file(file, store, profile=wanted, as_of=moment, sender=named)
            right = right and verified is not None
            sys.stdout.buffer.write(msgspec.json.encode(verdict) + b"\n")
            if document is not None and verified is not None:
                write_document(verified, document)
    except (ValueError, OSError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(2)
    sys.exit(0 if right else 1)


@schemas_.command(name="list")
def list_schemas(kind: str = "", *, definitions: Definitions = None) -> None:
    """List the message versions there are definitions of.

    Parameters
    ----------
    kind
        Only those that begin so, such as pacs or pacs.008.
    """
    for message_id in _definitions(definitions)[1].ids():
        if message_id.startswith(kind):
            sys.stdout.write(f"{message_id}\n")


@schemas_.command(name="add")
def add_schemas_(*sources: Path, definitions: Definitions = None) -> None:
    """Take in XML schemas, official or a bank's own; print what became of each as JSON. Ends with 1 if any was refused.

    A schema has one global element and includes nothing; its namespace names the message its file is called after. A definition
    that is there is never replaced by another content.

    Parameters
    ----------
    sources
        Files, folders or zip archives.
    """
    from shanraq.ops.iso20022 import add_schemas

    folder, library = _definitions(definitions)
    right = True
    for told in add_schemas(sources, folder, library):
        right = right and "code" not in told
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.exit(0 if right else 1)


def _definitions(folder: Path | None) -> tuple[Path, Library]:
    from shanraq.core.settings import default_data_dir
    from shanraq.ops.iso20022 import load_library
    from shanraq.standards.iso20022 import DefinitionError

    where = folder or default_data_dir() / "iso20022"
    try:
        return where, load_library(where)
    except (DefinitionError, OSError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(2)


@iso20022_.command(name="convert")
def convert_message_(
    file: Path,
    *,
    to: str,
    supply: tuple[str, ...] = (),
    header: str = "head.001.001.02",
    layout: str | None = None,
    created: str | None = None,
    raw: bool = False,
    lossless: bool = False,
    definitions: Definitions = None,
) -> None:
    """Print a message in another version or standard; tell on standard error, as JSON, what became of its values.

    A MT103 becomes a pacs.008, a MT202 (COV) a pacs.009, MT940 and MT942 camt.053 and camt.052, and the other way round (but
    for pacs.009); a card message of ISO 8583 becomes a cain.001 to .006, several cleared ones a pacs.009. Ends with 2 when the
    target demands what the message does not say: the error names the key to supply.

    Parameters
    ----------
    file
        A file of one message, with or without an envelope; of MT940 or MT942, or of cleared card messages, also several.
    to
        The version, such as pacs.008.001.10, or MT103, MT103STP, MT940, MT942, iso8583.
    supply
        KEY=VALUE, as often as needed: the end of a path such as Cdtr/Nm, a field such as 71F, an element such as 32.
    header
        The version of the business header of what was no ISO 20022 before; none when empty.
    layout
        How card messages are written, in hex; without it they are JSON as iso8583 decode --raw prints it.
    created
        The moment that the output is made, such as 2026-11-23T06:00:00Z, instead of the present one.
    raw
        Show the values in the report; those of a card stay masked.
    lossless
        Print nothing and end with 1 when a value would be changed or dropped.
    """
    from shanraq.ops.iso20022 import read_moment
    from shanraq.ops.iso20022_convert import convert_message, report
    from shanraq.ops.iso20022_translate import Request, is_other_standard, translate_message, translation_report

    library = _definitions(definitions)[1]
    try:
        given = dict(_pair(each) for each in supply)
        moment = None if created is None else read_moment(created)
    except ValueError as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(2)
    codec = None if layout is None else _codec(layout)
    data = _told(file.read_bytes)
    if is_other_standard(data, to):
        request = Request(to, library, header, given, codec, moment)
        message, done = _told(lambda: translate_message(data, request))
        told, lossy = translation_report(str(file), done, raw=raw), bool(done.losses)
    else:
        message, converted = _told(lambda: convert_message(data, to, library, given))
        told, lossy = report(str(file), converted, raw=raw), bool(converted.losses)
    sys.stderr.buffer.write(msgspec.json.encode(told) + b"\n")
    if lossless and lossy:
        sys.exit(1)
    sys.stdout.buffer.write(message)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ValueError(f"{text!r} is not KEY=VALUE")
    return key, value


@iso20022_.command(name="to-json")
def message_to_json_(file: Path, *, definitions: Definitions = None) -> None:
    """Print a message as JSON without loss, header and document one a line.

    Parameters
    ----------
    file
        A file of one message, with or without an envelope.
    """
    from shanraq.ops.iso20022_convert import message_to_json

    library = _definitions(definitions)[1]
    for line in _told(lambda: message_to_json(file.read_bytes(), library)):
        sys.stdout.buffer.write(line + b"\n")


@iso20022_.command(name="from-json")
def message_from_json_(file: Path, *, definitions: Definitions = None) -> None:
    """Print the XML of a message in JSON; header and document of two lines come inside of an Envelope.

    Parameters
    ----------
    file
        A file of one JSON object a line, as to-json prints them.
    """
    from shanraq.ops.iso20022_convert import message_from_json

    library = _definitions(definitions)[1]
    sys.stdout.buffer.write(_told(lambda: message_from_json(file.read_bytes().splitlines(), library)))


def _told(work: Callable[[], T]) -> T:
    """Return what work returns; tell of a message that cannot be read, and end with 2."""
    from shanraq.standards.iso8583 import Iso8583Error
    from shanraq.standards.iso20022 import Iso20022Error
    from shanraq.standards.mt import MtError
    from shanraq.standards.translate import TranslationError

    try:
        return work()
    except (Iso20022Error, Iso8583Error, MtError, TranslationError, OSError) as error:
        console.print(f"[bold red]error[/] {escape(str(error))}")
        sys.exit(2)
