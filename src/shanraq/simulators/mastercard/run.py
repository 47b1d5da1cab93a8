"""Run the simulator as a program of its own."""

from __future__ import annotations

import asyncio
import secrets
import signal
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from shanraq.simulators.mastercard.credentials import obtain
from shanraq.simulators.mastercard.simulator import MastercardSimulator
from shanraq.simulators.visa.credentials_make import keys_folder
from shanraq.simulators.visa.run import TlsPort, certificate_of
from shanraq.simulators.visa.simulator import LOOPBACK_NAMES
from shanraq.simulators.visa.tls import server_context


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
    context = None
    if tls is not None:
        names = {listen, *LOOPBACK_NAMES, *(urlsplit(f"//{host}").hostname or host for host in hosts)}
        certificate, key = certificate_of(tls, keys_folder(credentials_path), sorted(names))
        context = server_context(certificate, key, credentials.client_ca)
    uvloop.run(_serve(simulator, listen, port, tls.port if tls is not None else 0, context))


async def _serve(
    simulator: MastercardSimulator, listen: str, port: int, tls_port: int, context: ssl.SSLContext | None
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        urls = [await simulator.start(listen, port)]
        if context is not None:
            urls.append(await simulator.listen_tls(listen, tls_port, context))
        sys.stdout.write(
            f"Mastercard simulator listens on {' and '.join(urls)} as {simulator.credentials.merchant_id}\n"
        )
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await simulator.stop()
