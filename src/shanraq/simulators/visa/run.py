"""Run the simulator as a program of its own."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import uvloop

from shanraq.simulators.visa.credentials_make import keys_folder, obtain
from shanraq.simulators.visa.simulator import LOOPBACK_NAMES, VisaSimulator
from shanraq.simulators.visa.tls import Authority, server_context


@dataclass(frozen=True, slots=True)
class TlsPort:
    """A port for TLS, and the files of the certificate; without them an authority of the simulator's own issues one."""

    port: int
    certificate: Path | None = None
    key: Path | None = None


def run_visa_simulator(
    listen: str,
    port: int,
    credentials_path: Path,
    *,
    tls: TlsPort | None = None,
    index_lag_seconds: float = 5.0,
    hosts: Iterable[str] = (),
    journal: Path | None = None,
    control_token: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; without the file of credentials a set is made and written there (0600).

    `listen` is the address of both ports, `hosts` further names clients may sign (host, or host:port). Raises OSError when an
    address or a file cannot be used, ValueError when a file is not what it should be.
    """
    hosts = tuple(hosts)
    credentials = obtain(credentials_path)
    simulator = VisaSimulator(
        credentials, hosts=hosts, index_lag_seconds=index_lag_seconds, journal=journal, control_token=control_token
    )
    context = tls_context(tls, credentials_path, listen, hosts, credentials.client_ca) if tls is not None else None
    tls_port = tls.port if tls is not None else 0
    name = "Visa simulator"
    uvloop.run(serve_until_stopped(simulator, listen, port, tls_port, context, name, credentials.merchant_id))


def tls_context(
    tls: TlsPort, credentials_path: Path, listen: str, hosts: Iterable[str], client_ca: str
) -> ssl.SSLContext:
    """Return the context of a TLS port for the loopback names, the address and further hosts (host, or host:port).

    Certificates are issued beside the file of credentials. Raises OSError, or ValueError for a certificate without its key.
    """
    names = {listen, *LOOPBACK_NAMES, *(urlsplit(f"//{host}").hostname or host for host in hosts)}
    certificate, key = certificate_of(tls, keys_folder(credentials_path), sorted(names))
    return server_context(certificate, key, client_ca)


def certificate_of(tls: TlsPort, folder: Path, names: Iterable[str]) -> tuple[Path, Path]:
    """Return the files of a TLS port's certificate and key; without given ones the folder's own authority issues them.

    Raises OSError, or ValueError for a certificate without its key.
    """
    if (tls.certificate is None) != (tls.key is None):
        raise ValueError("a TLS certificate needs its key, and a key its certificate")
    if tls.certificate is not None and tls.key is not None:
        return tls.certificate, tls.key
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = Authority.kept_in(folder, "ca", "Card simulators, authority of the server")
    certificate, key = folder / "server.pem", folder / "server-key.pem"
    authority.issue_server(names).write(certificate, key)
    return certificate, key


class Simulator(Protocol):
    """What is run: a plain port, and beside it one for TLS."""

    async def start(self, listen: str, port: int) -> str:
        """Listen, and return the URL."""

    async def listen_tls(self, listen: str, port: int, context: ssl.SSLContext) -> str:
        """Listen over TLS too, and return the URL."""

    async def stop(self) -> None:
        """Stop listening."""


async def serve_until_stopped(
    simulator: Simulator, listen: str, port: int, tls_port: int, context: ssl.SSLContext | None, name: str,
    merchant_id: str,
) -> None:  # fmt: skip
    """Serve until SIGINT or SIGTERM; a line on standard output tells the URLs when it began."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        urls = [await simulator.start(listen, port)]
        if context is not None:
            urls.append(await simulator.listen_tls(listen, tls_port, context))
        sys.stdout.write(f"{name} listens on {' and '.join(urls)} as {merchant_id}\n")
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await simulator.stop()
