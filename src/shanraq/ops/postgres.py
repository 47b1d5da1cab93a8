"""The embedded PostgreSQL: a package's binaries, run as a direct child of this process.

    async with EmbeddedPostgres(Path("/var/lib/shanraq/postgres")) as postgres:
        await postgres.ensure_database("shanraq")
        dsn = postgres.dsn("shanraq")

Beside the data directory D lie D.lock (one supervisor at a time), D.password (0600, of the product's account), D.socket
and D.start.log (what the server says before its own log opens). The server never runs as root: as root it is started
under an existing unprivileged account, and no directory that was there before gets another mode or owner.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import asyncpg
import structlog

from shanraq.core.db import Database
from shanraq.core.errors import UnavailableError
from shanraq.ops.installation import (
    SUPPORTED,
    Account,
    Binaries,
    LocationError,
    answer_of,
    choose_account,
    environment,
    find_binaries,
    first_obstacle,
    is_cluster,
    postgres_bin,
    reachable_binaries,
    spawn,
)

__all__ = [
    "SUPERUSER",
    "EmbeddedPostgres",
    "InUseError",
    "StartFailedError",
    "UnsafeServerError",
    "default_settings",
    "postgres_bin",
    "self_check",
]

log = structlog.get_logger(__name__)

SUPERUSER: Final = "shanraq"

_DEFAULT_PORT: Final = 5432
# sun_path holds 108 bytes on Linux and 104 on macOS and the BSDs, with the zero at the end.
_SOCKET_PATH_LIMIT_BYTES: Final = 103
_POLL_SECONDS: Final = 0.05
_ORPHAN_SIGNALS: Final = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0))
_BACK_OFF_SECONDS: Final = (0.1, 10.0)
_STEADY_SECONDS: Final = 60.0
# Backends of a killed postmaster notice its death within moments, and hold the shared memory until then.
_LEFTOVERS: Final = "is still in use"
_LEFTOVERS_SECONDS: Final = 10.0


class InUseError(UnavailableError, code="postgres_in_use", status=503):
    """Another process runs this data directory."""


class StartFailedError(UnavailableError, code="postgres_start_failed", status=503):
    """PostgreSQL ended instead of starting."""


class UnsafeServerError(UnavailableError, code="postgres_unsafe", status=503):
    """The server is too old, too new, or may lose acknowledged commits."""


class EmbeddedPostgres:
    """A PostgreSQL server on `data_dir` that lives as long as this process, and is started again when it dies.

    Without `listen_tcp` it answers on a unix socket only. `settings` win over the built-in ones; all of them go on the
    server's command line, where nothing in the data directory can weaken them.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        pg_bin: str | Path = "",
        socket_dir: Path | None = None,
        port: int = 0,
        listen_tcp: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir: Final = Path(os.path.realpath(data_dir))
        self.port = port or (_free_port() if listen_tcp else _DEFAULT_PORT)
        self.socket_dir: Final = socket_dir or self._default_socket_dir()
        self._removes_socket_dir = socket_dir is None
        self._pg_bin = pg_bin
        self._listen_tcp = listen_tcp
        self._settings = {**default_settings(), **(settings or {})}
        self._password = ""
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = False

    async def __aenter__(self) -> EmbeddedPostgres:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def pid(self) -> int | None:
        """Return the process id of the postmaster, None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def dsn(self, database: str, user: str = SUPERUSER) -> str:
        """Return the address of a database, with the password, for asyncpg and libpq alike."""
        assert self._password, "start() reads the password"
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{quote(user)}:{quote(self._password)}@/{quote(database)}?host={host}&port={self.port}"

    async def start(self) -> None:
        """Start the server, creating its data at the first start, and return when it accepts connections.

        A crash recovery may take as long as it needs. Call it from a thread that lives as long as the server shall.
        Raises BinariesMissingError, AccountMissingError, LocationError, InUseError, StartFailedError.
        """
        assert self._lock is None, "started already"
        self._stopping = False
        binaries = find_binaries(self._pg_bin)
        account = choose_account(self.data_dir)
        self._make_parent(account)
        self._lock = self._take_lock()
        try:
            binaries = reachable_binaries(binaries, account, self.data_dir.parent)
            self._make_socket_dir(account)
            initialized = self._is_initialized(binaries)
            await self._clear_remains()
            self._password = self._read_password()
            if not initialized:
                await self._initialize(binaries, account)
            await self._launch(binaries, account)
        except BaseException:
            await self._end(signal.SIGINT)
            self._release()
            raise
        self._supervisor = asyncio.create_task(self._supervise(binaries, account), name="postgres")
        log.info("postgres.started", pid=self.pid, version=binaries.version, account=account.name)

    def attach(self) -> None:
        """Prepare `dsn` for the server that another process of ours runs on this data directory.

        Raises LocationError when its password cannot be read.
        """
        assert self._lock is None, "started already"
        self._password = self._read_password()

    async def stop(self) -> None:
        """End all sessions and stop the server; a second call while the first waits stops it without a checkpoint."""
        order = signal.SIGQUIT if self._stopping else signal.SIGINT
        self._stopping = True
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
            self._supervisor = None
        await self._end(order)
        self._release()

    async def ensure_database(self, database: str) -> None:
        """Create the database unless it exists."""
        assert database.isidentifier(), "the names of our databases need no quotes"
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
                await connection.execute(f'CREATE DATABASE "{database}"')
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            pass  # another process was faster
        finally:
            await connection.close()

    def _beside(self, suffix: str) -> Path:
        return self.data_dir.with_name(self.data_dir.name + suffix)

    def _default_socket_dir(self) -> Path:
        beside = self._beside(".socket")
        if len(os.fsencode(self._socket_path(beside))) <= _SOCKET_PATH_LIMIT_BYTES:
            return beside
        digest = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()
        return Path(tempfile.gettempdir()) / f"shanraq-{digest[:16]}"

    def _socket_path(self, directory: Path) -> Path:
        return directory / f".s.PGSQL.{self.port}"

    def _make_parent(self, account: Account) -> None:
        """Make the directory that holds the data directory, and make sure that the account can come there."""
        parent = self.data_dir.parent
        missing = [path for path in (parent, *parent.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir(mode=0o711)
                path.chmod(0o711)  # whatever the umask is
        except OSError as error:
            raise LocationError(
                f"cannot create {error.filename}: {error.strerror}; create it, or set SHANRAQ_DATA_DIR to a directory that"
                " you may write to",
                field="data_dir",
            ) from error
        if not os.access(parent, os.W_OK | os.X_OK):
            raise LocationError(
                f"{parent} cannot be written by user id {os.geteuid()}: set SHANRAQ_DATA_DIR to a directory that can",
                field="data_dir",
            )
        obstacle = None if account.is_ours else first_obstacle(account, [*reversed(parent.parents), parent])
        if obstacle is not None:
            raise LocationError(
                f"the account {account.name}, under which PostgreSQL runs, may not enter {obstacle}: set SHANRAQ_DATA_DIR to"
                " a directory that it can reach, such as /var/lib/shanraq, or start the program as another user than root",
                field="data_dir",
            )

    def _take_lock(self) -> int:
        path = self._beside(".lock")
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise LocationError(f"cannot open {path}: {error.strerror}", field="data_dir") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 32).decode("utf-8", "replace").strip() or "unknown"
            os.close(lock)
            raise InUseError(
                f"the data directory {self.data_dir} is in use by the process {holder}: stop it, or choose another"
                " SHANRAQ_DATA_DIR"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return lock

    def _release(self) -> None:
        if self._lock is None:
            return
        if self._removes_socket_dir:
            with suppress(OSError):
                self.socket_dir.rmdir()
        os.close(self._lock)
        self._lock = None

    def _make_socket_dir(self, account: Account) -> None:
        directory = self.socket_dir
        if len(os.fsencode(self._socket_path(directory))) > _SOCKET_PATH_LIMIT_BYTES:
            raise LocationError(
                f"the socket directory {directory} has too long a path for a unix socket: choose a shorter one"
            )
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            state = directory.lstat()
            # In /tmp somebody else may have been there first, waiting for our passwords.
            if stat.S_ISLNK(state.st_mode) or state.st_uid not in {os.geteuid(), account.uid}:
                raise LocationError(f"the socket directory {directory} belongs to user id {state.st_uid}: remove it")
            if state.st_uid != account.uid:
                os.chown(directory, account.uid, account.gid, follow_symlinks=False)
        except OSError as error:
            raise LocationError(f"cannot use the socket directory {directory}: {error.strerror}") from error

    async def _clear_remains(self) -> None:
        """Stop the postmaster of a supervisor that was killed, and remove lock files that would stop a new one.

        PostgreSQL takes any process of its account that has the recorded id for a rival, a zombie or, after a restart of
        the container, whatever has that id now. We hold the lock and can look.
        """
        for path in (self.data_dir / "postmaster.pid", Path(f"{self._socket_path(self.socket_dir)}.lock")):
            try:
                recorded, _, rest = path.read_text("utf-8", "replace").partition("\n")
            except FileNotFoundError:
                continue
            if path.parent != self.data_dir and rest.partition("\n")[0] != str(self.data_dir):
                continue  # another server's, in a socket directory that is shared
            if not recorded.isdecimal():  # the machine stopped while it was written
                path.unlink(missing_ok=True)
            elif self._is_our_postmaster(int(recorded)):
                await self._stop_orphan(int(recorded))
            elif _exists(int(recorded)):
                path.unlink(missing_ok=True)

    async def _stop_orphan(self, pid: int) -> None:
        log.warning("postgres.orphan_found", pid=pid)
        for order, patience_seconds in _ORPHAN_SIGNALS:
            os.kill(pid, order)
            for _ in range(round(patience_seconds / _POLL_SECONDS)):
                if not self._is_our_postmaster(pid):
                    return
                await asyncio.sleep(_POLL_SECONDS)
        raise InUseError(f"the process {pid} runs {self.data_dir} and does not stop: end it")

    def _is_our_postmaster(self, pid: int) -> bool:
        program, _, arguments = _command_line(pid).partition(" ")
        return program.endswith("postgres") and f"-D {self.data_dir} " in f"{arguments} "

    def _read_password(self) -> str:
        path = self._beside(".password")
        try:
            return path.read_text("utf-8").strip()
        except FileNotFoundError:
            if is_cluster(self.data_dir):
                raise LocationError(
                    f"{path}, the password of {self.data_dir}, is gone: restore it from a backup"
                ) from None
        except OSError as error:
            raise LocationError(f"cannot read {path}: {error.strerror}") from error
        password = secrets.token_urlsafe(32)
        unfinished = self._beside(".password.new")
        unfinished.unlink(missing_ok=True)
        _write_private(unfinished, password)
        unfinished.rename(path)
        _sync_directory(path.parent)
        return password

    def _is_initialized(self, binaries: Binaries) -> bool:
        if not is_cluster(self.data_dir):
            if self.data_dir.exists() and (not self.data_dir.is_dir() or any(self.data_dir.iterdir())):
                raise LocationError(
                    f"{self.data_dir} holds something else than PostgreSQL's data: empty it, or choose another directory",
                    field="data_dir",
                )
            return False
        major = (self.data_dir / "PG_VERSION").read_text("utf-8").strip()
        if major != str(binaries.major):
            raise LocationError(
                f"{self.data_dir} was made by PostgreSQL {major}, and the binaries are {binaries.version}: set SHANRAQ_PG_BIN"
                f" to those of PostgreSQL {major}, or upgrade the data with pg_upgrade"
            )
        return True

    async def _initialize(self, binaries: Binaries, account: Account) -> None:
        """Create the data beside its place and move it there whole: a crash leaves nothing half made."""
        unfinished = self._beside(".new")
        password = self._beside(".pwfile")
        shutil.rmtree(unfinished, ignore_errors=True)
        password.unlink(missing_ok=True)
        command: list[str | Path] = [
            binaries.directory / "initdb",
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={password}",
            "--auth-local=scram-sha-256",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--data-checksums",
        ]
        if self._settings["fsync"] == "off":
            command.append("--no-sync")
        try:
            unfinished.mkdir(mode=0o700)
            _write_private(password, self._password)
            for path in (unfinished, password):
                os.chown(path, account.uid, account.gid)
            status = await _end_of(self._spawn(account, command))
            if status != 0:
                raise StartFailedError(f"initdb ended with status {status}:\n{self._last_words()}")
            unfinished.rename(self.data_dir)
            _sync_directory(self.data_dir.parent)
        except OSError as error:
            raise LocationError(f"cannot create {self.data_dir}: {error.strerror}", field="data_dir") from error
        finally:
            password.unlink(missing_ok=True)
        log.info("postgres.initialized", data_dir=str(self.data_dir), version=binaries.version)

    async def _launch(self, binaries: Binaries, account: Account) -> None:
        """Run the server and return when it accepts connections; raise StartFailedError as soon as it has ended."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        announced = began
        process = self._run(binaries, account)
        while not await self._accepts(binaries):
            if process.poll() is not None:
                words = self._last_words()
                if _LEFTOVERS not in words or loop.time() - began > _LEFTOVERS_SECONDS:
                    raise StartFailedError(f"PostgreSQL ended with status {process.returncode} at its start:\n{words}")
                await asyncio.sleep(2 * _POLL_SECONDS)
                process = self._run(binaries, account)
            if loop.time() - announced > 5.0:
                announced = loop.time()
                log.info("postgres.recovering", seconds=round(announced - began))
            await asyncio.sleep(_POLL_SECONDS / 2)

    def _run(self, binaries: Binaries, account: Account) -> subprocess.Popen[bytes]:
        settings = {
            **self._settings,
            "listen_addresses": "127.0.0.1" if self._listen_tcp else "",
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_dir),
        }
        command: list[str | Path] = [binaries.directory / "postgres", "-D", self.data_dir]
        command += [f"--{name}={value}" for name, value in settings.items()]
        return self._spawn(account, command)

    def _spawn(self, account: Account, command: list[str | Path]) -> subprocess.Popen[bytes]:
        try:
            with self._beside(".start.log").open("wb") as output:
                self._process = spawn(account, command, output=output)
        except OSError as error:
            raise StartFailedError(f"cannot run {command[0]}: {error.strerror}") from error
        return self._process

    async def _accepts(self, binaries: Binaries) -> bool:
        # pg_isready needs no password. Its deadline is for a server that is stopped in its tracks: one that recovers answers.
        command = [str(binaries.directory / "pg_isready"), "-q", "-t3", f"-h{self.socket_dir}", f"-p{self.port}"]
        return await asyncio.to_thread(subprocess.call, command, env=environment()) == 0

    async def _supervise(self, binaries: Binaries, account: Account) -> None:
        """Wait for the server to end and start it again, for ever."""
        least, most = _BACK_OFF_SECONDS
        pause_seconds = least
        loop = asyncio.get_running_loop()
        while True:
            assert self._process is not None
            began = loop.time()
            log.error("postgres.died", status=await _end_of(self._process))
            if loop.time() - began > _STEADY_SECONDS:
                pause_seconds = least
            while True:
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, most)
                try:
                    await self._launch(binaries, account)
                except StartFailedError as error:
                    log.error("postgres.restart_failed", reason=str(error))  # noqa: TRY400 (the server's words say it all)
                else:
                    break
            log.warning("postgres.restarted", pid=self.pid)

    async def _end(self, order: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(order)
        await _end_of(process)

    def _last_words(self) -> str:
        """Return the end of what the server wrote before its log opened, and of its log."""
        logs = sorted((self.data_dir / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(_tail(path) for path in (self._beside(".start.log"), *logs[-1:])).strip()


async def self_check(connection: Any, *, unsafe: bool = False) -> None:
    """Refuse a server that is not PostgreSQL 15 to 18 or may lose acknowledged commits.

    `connection` is a Database or an asyncpg connection; `unsafe` allows lost commits. Raises UnsafeServerError.
    """
    if isinstance(connection, Database):
        async with connection.connection() as lent:
            await self_check(lent, unsafe=unsafe)
        return
    row = await connection.fetchrow(
        """
        SELECT current_setting('server_version_num')::int / 10000 AS major,
               current_setting('fsync') AS fsync,
               current_setting('full_page_writes') AS full_page_writes,
               current_setting('synchronous_commit') AS synchronous_commit
        """
    )
    if row["major"] not in SUPPORTED:
        raise UnsafeServerError(f"the server is PostgreSQL {row['major']}: use 15 to 18")
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if row[name] == "off"]
    if off and not unsafe:
        raise UnsafeServerError(
            f"the server may lose acknowledged commits, because {' and '.join(off)} is off: turn it on, or allow the loss of"
            " money with --unsafe"
        )


def default_settings() -> dict[str, str]:
    """Return the settings of a new server: nothing acknowledged is lost, memory fits the machine, logs rotate in a week."""
    return {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "password_encryption": "scram-sha-256",
        "max_connections": "200",
        "shared_buffers": f"{min(_memory_bytes() // 4, 1 << 30) >> 20}MB",
        "wal_level": "replica",
        "wal_keep_size": "1GB",
        "max_wal_senders": "10",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "jit": "off",
        "shared_preload_libraries": "pg_stat_statements",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "logging_collector": "on",
        "log_directory": "log",
        "log_filename": "postgresql-%a.log",
        "log_rotation_age": "1d",
        "log_rotation_size": "0",
        "log_truncate_on_rotation": "on",
        # The statement and the DETAIL of an error hold what customers sent us.
        "log_statement": "none",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }


def _memory_bytes() -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text("utf-8").strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdecimal() else machine


async def _end_of(process: subprocess.Popen[bytes]) -> int:
    # Asking again and again reaps the child under every event loop, and leaves no thread behind.
    while (status := process.poll()) is None:  # noqa: ASYNC110 (nobody sets an event)
        await asyncio.sleep(_POLL_SECONDS)
    return status


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _command_line(pid: int) -> str:
    """Return the program of a process and its arguments, parted by spaces; empty for a zombie."""
    if Path("/proc/self/cmdline").exists():
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ").strip()
        except OSError:
            return ""
    return answer_of("ps", "-ww", "-o", "args=", "-p", str(pid))


def _write_private(path: Path, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as output:
        output.write(text + "\n")
        output.flush()
        os.fsync(file)


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _tail(path: Path, lines: int = 20, limit_bytes: int = 8192) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - limit_bytes))
        return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
