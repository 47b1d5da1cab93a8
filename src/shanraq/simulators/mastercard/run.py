"""Run the simulator as a program of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import uvloop

from shanraq.simulators.mastercard.credentials import obtain
from shanraq.simulators.mastercard.simulator import MastercardSimulator
from shanraq.simulators.visa.run import TlsPort, serve_until_stopped, tls_context


def run_mastercard_simulator(
    listen: str,
    port: int,
    credentials_path: Path,
    *,
    tls: TlsPort | None = None,
    index_lag_seconds: float = 0.0,
    seed: int | None = None,
    hosts: Iterable[str] = (),
    journal: Path | None = None,
    control_token: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; the same `seed` gives the same ids, without one they are random.

    Without the file of credentials a set is made and written there (0600). Raises OSError when an address or a file cannot be
    used, ValueError when a file is not what it should be.
    """
    hosts = tuple(hosts)
    credentials = obtain(credentials_path)
    simulator = MastercardSimulator(
        credentials,
        # A session's id is a password: without a seed nobody can know it beforehand.
        seed=secrets.randbits(128) if seed is None else seed,
        index_lag_seconds=index_lag_seconds,
        hosts=hosts,
        journal=journal,
        control_token=control_token,
    )
    context = tls_context(tls, credentials_path, listen, hosts, credentials.client_ca) if tls is not None else None
    tls_port = tls.port if tls is not None else 0
    name = "Mastercard simulator"
    uvloop.run(serve_until_stopped(simulator, listen, port, tls_port, context, name, credentials.merchant_id))
