"""PostgreSQL for the tests (one server a session, one cloned database a test) and Hypothesis's profiles."""

import asyncio
import atexit
import gc
import inspect
import itertools
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import hypothesis
import psycopg
import pytest
from hypothesis import settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streamledger.postgres import embedded
from streamledger.postgres.account import account_for, as_account
from streamledger.postgres.connection import Database
from streamledger.postgres.embedded import EmbeddedServer, start_embedded
from streamledger.postgres.postmaster import Postmaster
from streamledger.postgres.roles import SUPERUSER
from streamledger.postgres.schema import migrate

SYSTEM_BINARIES = Path("/usr/lib/postgresql/15/bin")
TEMPLATE = "streamledger_template"
SEED_VARIABLE = "TEST_SEED"
SEED = 20261127
"""Of the examples in the profile `ci`, so that a commit is judged the same each time. `random` in the
variable draws another, to hunt."""

settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

ROOMS = ("property", "corpus", "drills", "acceptance", "integration", "house", "unit")
"""The order of the tests: neither of two processes should begin something long when the other is done."""
COLLECT_AFTER = (50_000, 20, 50)
"""Objects made before the collector of cycles looks; hypothesis and the folds make many, and few cycles."""
UNPRESSED = {"wal_compression": "off"}
"""Of the server that the tests share: every page of a clone goes through the WAL, and to compress it is three
quarters of the work. What `start_embedded` promises stays as it is, and `doctor` looks for it."""

_numbers = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine has an event loop of its own, at most for its module's DEADLINE_S."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def with_deadline() -> None:
        async with asyncio.timeout(getattr(pyfuncitem.module, "DEADLINE_S", None)):
            await pyfuncitem.obj(**given)

    asyncio.run(with_deadline())
    return True


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C as at a terminal; the profile `ci` has one seed for a run's processes, `dev` one per test."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # What a script starts in the background ignores it, and so would every command that a test starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # the same below nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _let_the_account_pass()
    if config.getoption("--hypothesis-seed") is None and os.environ.get("HYPOTHESIS_PROFILE") == "ci":
        # The processes that the tests are spread over inherit it.
        if os.environ.get(SEED_VARIABLE, "") in ("", "random"):
            drawn = random.randrange(2**32) if os.environ.get(SEED_VARIABLE) else SEED
            os.environ[SEED_VARIABLE] = str(drawn)
        seed = int(os.environ[SEED_VARIABLE])
        vars(hypothesis.core)["global_force_seed"] = seed  # what the option would set


def _let_the_account_pass() -> None:
    """Where root runs the tests, the server's account must pass through their directories.

    pytest closes its own; below a root of this process nobody else's run closes it again.
    """
    if os.geteuid() == 0 and "PYTEST_XDIST_WORKER" not in os.environ:
        root = tempfile.mkdtemp(prefix="streamledger-pytest-")
        Path(root).chmod(0o711)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = root
        atexit.register(shutil.rmtree, root, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def passable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """See `_let_the_account_pass`."""
    if os.geteuid() == 0:
        root = Path(os.environ["PYTEST_DEBUG_TEMPROOT"])
        directory = tmp_path_factory.getbasetemp()
        while directory.is_relative_to(root):
            directory.chmod(0o711)
            directory = directory.parent


@pytest.fixture(autouse=True)
def passable_path(request: pytest.FixtureRequest) -> None:
    """The directory of the test itself."""
    if os.geteuid() == 0 and "tmp_path" in request.fixturenames:
        request.getfixturevalue("tmp_path").chmod(0o711)


def pytest_report_header(config: pytest.Config) -> str:
    """Prints the seed that repeats this run."""
    seed = config.getoption("--hypothesis-seed") or os.environ.get(SEED_VARIABLE)
    return f"repeat with: --hypothesis-seed={seed}" if seed is not None else "hypothesis seed: one per test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The rooms with the longest tests first; xdist hands files out in this order."""
    items.sort(key=lambda item: _room(item.path))


def pytest_collection_finish() -> None:
    """What is loaded and collected stays: the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _room(path: Path) -> int:
    tests = Path(__file__).parent
    found = path.relative_to(tests).parts[0] if path.is_relative_to(tests) else ""
    return ROOMS.index(found) if found in ROOMS else len(ROOMS)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The embedded server of this test session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "_PROMISES", {**vars(embedded)["_PROMISES"], **UNPRESSED})
        server = start_embedded(_passable(tmp_path_factory.mktemp("postgres")))
    with server:
        let_superuser_in(server)
        yield server


def _passable(directory: Path) -> Path:
    directory.chmod(0o711)
    return directory


def let_superuser_in(server: EmbeddedServer) -> None:
    """Tests make databases, end connections and tamper with tables: for them there is a way in."""
    sockets = str(conninfo_to_dict(server.dsn)["host"])
    hba = Path(sockets).parent / "postgres" / "pg_hba.conf"
    hba.write_text("local all all trust\n")
    os.kill(server.postmaster.pid, signal.SIGHUP)
    server.dsn = make_conninfo(host=sockets, port=5432, user=SUPERUSER, dbname="postgres")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError):
            psycopg.connect(server.dsn).close()
            return
        time.sleep(0.01)
    pytest.fail("the server did not read pg_hba.conf again")


@pytest.fixture(scope="session")
def template_database(postgres_server: EmbeddedServer) -> str:
    """Name of a database on `postgres_server` that has every migration; `database` clones it."""
    return _make_template(postgres_server.dsn)


@pytest.fixture
def database(postgres_server: EmbeddedServer, template_database: str) -> Iterator[Database]:
    """A migrated database of this test's own on the embedded server."""
    with clone(postgres_server.dsn, template_database) as cloned:
        yield cloned


@pytest.fixture
def empty_database(postgres_server: EmbeddedServer) -> Iterator[Database]:
    """A database of this test's own that no migration has touched."""
    with clone(postgres_server.dsn, "template0") as cloned:
        yield cloned


@pytest.fixture(scope="session")
def system_postgres() -> Iterator[str]:
    """DSN of a PostgreSQL 15 run from the system's programs; skips where there are none."""
    if not (SYSTEM_BINARIES / "postgres").exists():
        pytest.skip(f"PostgreSQL 15 is not installed in {SYSTEM_BINARIES}")
    # Not under pytest's directory: its path may be too long for a socket.
    directory = Path(tempfile.mkdtemp(prefix="streamledger-15-"))
    account = account_for(directory)
    os.chown(directory, account.uid, account.gid)
    cluster, log = directory / "postgres", directory / "log"
    command, options = as_account(
        account,
        [str(SYSTEM_BINARIES / "initdb"), "-D", str(cluster), "-U", "streamledger", "-N", "-A", "trust"],
    )
    subprocess.run(
        [*command, "-E", "UTF8", "--locale=C"], check=True, capture_output=True, cwd="/", **options
    )
    server = [str(SYSTEM_BINARIES / "postgres"), "-D", str(cluster), "-k", str(directory)]
    command, options = as_account(account, [*server, "-c", "listen_addresses=", "-p", "5432"])
    postmaster = Postmaster(command, {**options, "cwd": "/"}, log)
    try:
        dsn = make_conninfo(host=str(directory), port=5432, user="streamledger", dbname="postgres")
        _wait_until_ready(dsn, postmaster, log)
        yield dsn
    finally:
        postmaster.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def system_template_database(system_postgres: str) -> str:
    """Name of the migrated template on `system_postgres`."""
    return _make_template(system_postgres)


@pytest.fixture
def system_database(system_postgres: str, system_template_database: str) -> Iterator[Database]:
    """Like `database`, on the system's PostgreSQL 15."""
    with clone(system_postgres, system_template_database) as cloned:
        yield cloned


@pytest.fixture(params=["embedded", "system"])
def any_database(request: pytest.FixtureRequest) -> Database:
    """A migrated database on the embedded PostgreSQL and, where it is installed, on the system's 15."""
    found: Database = request.getfixturevalue(
        "database" if request.param == "embedded" else "system_database"
    )
    return found


def _make_template(dsn: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(Database(make_conninfo(dsn, dbname=TEMPLATE)))
    return TEMPLATE


@contextmanager
def clone(dsn: str, template: str) -> Iterator[Database]:
    name = f"test_{next(_numbers)}"
    # wal_log copies page by page without a checkpoint: for a small template much faster than file_copy.
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield Database(make_conninfo(dsn, dbname=name))
    finally:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _wait_until_ready(dsn: str, postmaster: Postmaster, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not postmaster.exited.wait(0.02) and time.monotonic() < deadline:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            continue
        return
    pytest.fail(f"PostgreSQL 15 did not start: {log.read_text()}")
