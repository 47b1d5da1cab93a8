"""The other side of the HTTP client in tests: servers that play a script, and an authority that signs certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shanraq.core.http import Address

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class Call:
    """One request as the server saw it: bytes, how many came before it, and on which connection."""

    request: bytes
    number: int
    connection: int
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Send the pieces one by one."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    def hang_up(self) -> None:
        """Close the connection."""
        self.writer.close()


Script = Callable[[Call], Awaitable[None]]


@dataclass(slots=True)
class Server:
    """A server on loopback: what it saw, and how many connections were opened and are still open."""

    port: int = 0
    scheme: str = "http"
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/in"

    async def until(self, condition: Callable[[Server], bool]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: condition(self))

    async def notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def answering(*pieces: bytes) -> Script:
    """Answer every request with the same pieces."""

    async def script(call: Call) -> None:
        await call.send(*pieces)

    return script


@asynccontextmanager
async def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Run a server that plays `script` for every request."""
    state = Server(scheme="https" if tls else "http")
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        state.open += 1
        connection = state.connections
        await state.notify()
        try:
            while not writer.is_closing() and (request := await read_request(reader)):
                state.requests.append(request)
                await state.notify()
                await script(Call(request, len(state.requests), connection, writer))
        except (OSError, RuntimeError):
            pass  # the client is gone; uvloop raises RuntimeError when writing to a closed transport
        finally:
            writer.close()
            state.open -= 1
            await state.notify()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(converse(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request with its body, or the empty bytes at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head


class StillTransport(asyncio.Transport):
    """A transport that goes nowhere, for bytes that a test hands over itself."""

    def write(self, data: Any) -> None:
        pass

    def abort(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass(slots=True)
class FixedResolver:
    """A resolver that gives the same answer, or fails in the same way, each time."""

    answer: Sequence[str] | Exception
    asked: list[str] = field(default_factory=list)

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.asked.append(host)
        if isinstance(self.answer, Exception):
            raise self.answer
        return [ipaddress.ip_address(text) for text in self.answer]


@dataclass(slots=True)
class Authority:
    """A certificate authority of a test."""

    directory: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    serial: int = 0

    @property
    def name(self) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])

    def certificate(self) -> str:
        """Return its own certificate as PEM."""
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9))
            .not_valid_after(now + timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        return built.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, names: Iterable[str], *, days: int = 1) -> Path:
        """Issue a certificate for host names and addresses that runs out in so many days; return key and chain as a file."""
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test peer")]))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=8))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.serial += 1
        file = self.directory / f"{self.serial}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + built.public_bytes(serialization.Encoding.PEM)
        )
        return file

    def server_tls(self, *names: str, days: int = 1, asks_client: bool = False) -> ssl.SSLContext:
        """Return the context of a server with these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(names, days=days))
        if asks_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.certificate())
        return context

    def client_tls(self, *, identity: Path | None = None) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority alone."""
        context = ssl.create_default_context(cadata=self.certificate())
        if identity is not None:
            context.load_cert_chain(identity)
        return context


def _general_name(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)
