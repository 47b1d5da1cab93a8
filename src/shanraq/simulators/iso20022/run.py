"""Run the simulator as a program of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from shanraq.simulators.iso20022.configuration import ClearingConfiguration
from shanraq.simulators.iso20022.credentials import ClearingCredentials
from shanraq.simulators.iso20022.simulator import ClearingSimulator


def clearing_credentials(path: Path) -> ClearingCredentials:
    """Read credentials from a file, or make a set and write it there (0600). Raises OSError, ValueError."""
    if path.exists():
        return ClearingCredentials.load(path)
    credentials = ClearingCredentials.generate()
    credentials.save(path)
    return credentials


def run_clearing_simulator(
    host: str,
    port: int,
    credentials_path: Path,
    *,
    database: Path | None = None,
    cycle_seconds: float = 0.0,
    pending_seconds: float = 1.0,
    control_token: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; without the file of credentials a set is made and written there (0600).

    Raises OSError when the address or a file cannot be used, ValueError when a file is not what it should be.
    """
    configuration = ClearingConfiguration(
        credentials=clearing_credentials(credentials_path),
        database=database,
        cycle_seconds=cycle_seconds,
        pending_seconds=pending_seconds,
    )
    if control_token:
        configuration = replace(configuration, control_token=control_token)
    uvloop.run(_serve(ClearingSimulator(configuration), host, port))


async def _serve(simulator: ClearingSimulator, host: str, port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    await simulator.start(host, port)
    try:
        named = ", ".join(simulator.credentials.participants)
        sys.stdout.write(
            f"Clearing simulator {simulator.credentials.clearing.bic} listens on {simulator.base_url} for {named}\n"
        )
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await simulator.stop()
