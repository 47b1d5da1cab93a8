"""Run the host as a program of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from shanraq.simulators.iso8583.configuration import HostConfiguration
from shanraq.simulators.iso8583.simulator import Iso8583Host
from shanraq.standards.iso8583 import Message


def run_iso8583_host(configuration: HostConfiguration, *, verbose: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, then print a summary; with `verbose` every message is printed, masked.

    Raises OSError when the address or a file cannot be used, ValueError when one is not what it should be.
    """
    if verbose:
        configuration = replace(configuration, observe=_print_message)
    uvloop.run(_serve(Iso8583Host(configuration)))


def server_tls(certificate: Path, key: Path | None = None, clients: Path | None = None) -> ssl.SSLContext:
    """Return the context of a TLS server; with `clients`, a CA, only who has a certificate of it is let in.

    Raises OSError and ssl.SSLError for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _serve(host: Iso8583Host) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    configuration = host.configuration
    port = await host.start()
    try:
        how = "TLS" if configuration.ssl is not None else "TCP"
        if configuration.ssl is not None and configuration.ssl.verify_mode is ssl.CERT_REQUIRED:
            how = "TLS with client certificates"
        _print(
            f"ISO 8583 host listens on {configuration.host}:{port} ({how}): scheme {host.scheme.name}, "
            f"layout {host.layout}, framing {host.framing}, seed {configuration.seed}"
        )
        if configuration.journal is not None:
            _print(f"journal {configuration.journal}: {host.operations} operations known")
        if configuration.rules:
            _print(f"{len(configuration.rules)} rules")
        await stopping.wait()
    finally:
        await host.stop()
        _print_summary(host)


def _print_summary(host: Iso8583Host) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in sorted(host.counts.items()))
    standings = host.standings().values()
    _print(f"stopped: {counts or 'nothing was asked'}")
    _print(
        f"stands: {len(standings)} references, authorized {sum(one.authorized for one in standings)}, "
        f"held {sum(one.held for one in standings)}, captured {sum(one.captured for one in standings)}, "
        f"refunded {sum(one.refunded for one in standings)} (minor units of all currencies)"
    )


def _print_message(direction: str, message: Message) -> None:
    shown = message.masked()
    _print(f"{direction:3} {shown['mti']} {json.dumps(shown['fields'], ensure_ascii=True)}")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
