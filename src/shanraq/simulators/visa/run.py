"""Run the simulator as a program of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

import uvloop

from shanraq.simulators.visa.credentials import VisaCredentials
from shanraq.simulators.visa.simulator import VisaSimulator


def run_visa_simulator(
    host: str,
    port: int,
    credentials_path: Path,
    index_lag_seconds: float = 5.0,
    hosts: Iterable[str] = (),
    journal: Path | None = None,
    control_token: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; without the file of credentials a set is generated and written there (0600).

    Raises OSError when the address or a file cannot be used, ValueError when a file is not what it should be.
    """
    if credentials_path.exists():
        credentials = VisaCredentials.load(credentials_path)
    else:
        credentials = VisaCredentials.generate()
        credentials.save(credentials_path)
    simulator = VisaSimulator(
        credentials, hosts=hosts, index_lag_seconds=index_lag_seconds, journal=journal, control_token=control_token
    )
    uvloop.run(_serve(simulator, host, port))


async def _serve(simulator: VisaSimulator, host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await simulator.start(host, port)
    try:
        sys.stdout.write(f"Visa simulator listens on {simulator.base_url} as {simulator.credentials.merchant_id}\n")
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await simulator.stop()
