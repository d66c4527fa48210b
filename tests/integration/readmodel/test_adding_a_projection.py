"""docs/adding-a-projection.md followed to the letter: its code is run, and does what the page says."""

import asyncio
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources, util
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from streamledger.domain.answers import ProjectionStatus
from streamledger.domain.suspicion import SuspectLimits
from streamledger.ledger.application import Ledger
from streamledger.operations.rebuild import Order, rebuild
from streamledger.operations.verify_projections import verify_projections
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.postgres.schema import MIGRATIONS, migrate
from streamledger.readmodel.projections.runner import Runner, catch_up
from streamledger.readmodel.projections.view import Projection
from streamledger.readmodel.queries.sessions import Queries
from tests.deliveries import NOON_S, new_event, push_started, screenshot, store

PAGE: Final = (Path(__file__).parents[3] / "docs" / "adding-a-projection.md").read_text("utf-8")
PACKAGE: Final = "src/streamledger/"
MODULE: Final = "streamledger.readmodel.projections.pushes"

_BLOCK: Final = re.compile(r"^```(?P<form>\w+) (?P<path>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_ASKED: Final = re.compile(r"^```python\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def changed(path: str, hunks: list[str]) -> str:
    """A file of the program with the page's hunks put in, each of which must fit in one place alone."""
    text = resources.files("streamledger").joinpath(path.removeprefix(PACKAGE)).read_text("utf-8")
    for hunk in hunks:
        lines = hunk.splitlines()
        before = "\n".join(line[1:] for line in lines if line[0] in " -") + "\n"
        after = "\n".join(line[1:] for line in lines if line[0] in " +") + "\n"
        assert text.count(before) == 1, f"{path}: found {text.count(before)} times: {before}"
        text = text.replace(before, after)
    return text


def loaded(name: str, text: str, folder: Path) -> ModuleType:
    """A module of this text."""
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(text, "utf-8")
    spec = util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def projections(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Projection, ...]:
    """All projections, the page's among them, and its table."""
    files: dict[str, list[str]] = {}
    for block in _BLOCK.finditer(PAGE):
        files.setdefault(block["path"], []).append(block["text"])
    assert len(files) == 3
    for path, blocks in files.items():
        if path.endswith(".sql"):
            migrations = tmp_path / "migrations"
            migrations.mkdir()
            for each in MIGRATIONS.iterdir():
                if each.name.endswith(".sql"):
                    (migrations / each.name).write_bytes(each.read_bytes())
            (migrations / Path(path).name).write_text("".join(blocks), "utf-8")
            assert migrate(database, directory=migrations) == [Path(path).name]
        elif not path.endswith("registry.py"):
            assert path == f"src/{MODULE.replace('.', '/')}.py"
            monkeypatch.setitem(sys.modules, MODULE, loaded(MODULE, "".join(blocks), tmp_path))
        else:
            registry = loaded("registry_with_it", changed(path, blocks), tmp_path)
    found: tuple[Projection, ...] = registry.PROJECTIONS
    return found


@contextmanager
def running(database: Database, projections: tuple[Projection, ...]) -> Iterator[None]:
    runner = Runner(lambda: connect(database, application_name="runner"), database.schema, projections)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield
    finally:
        runner.stop()
        thread.join(20)


def statuses(database: Database) -> Mapping[str, ProjectionStatus]:
    async def ask() -> list[ProjectionStatus]:
        async with await open_pool_async(database, min_size=1, max_size=2, name="test") as pool:
            return await Queries(
                pool, SuspectLimits(silence_ms_max=1), clock_ms=lambda: (NOON_S + 60) * 1000
            ).projections()

    return {each.name: each for each in asyncio.run(ask())}


def test_a_projection_is_added_as_the_page_says(
    database: Database, projections: tuple[Projection, ...]
) -> None:
    view_type = projections[-1]
    rows = "SELECT domain, stream_id, sequence FROM pushes_by_domain ORDER BY 1, 2, 3"
    with connect(database, application_name="test") as connection:
        start = push_started("room", "1", NOON_S, app="a.example.com")
        batches = [
            [new_event(start), new_event(screenshot("room", NOON_S + 5))],
            [
                new_event(start, NOON_S + 60, NOON_S + 660),  # delivered again
                new_event(push_started("hall", "2", NOON_S, app="b.example.com")),
            ],
        ]
        names: dict[str, Any] = {
            **{"PushesView": view_type, "connection": connection, "database": database},
            "Ledger": Ledger,
        }
        asked = _ASKED.search(PAGE)
        assert asked is not None
        with running(database, projections):
            for events in batches:
                names["position"] = store(connection, events).positions[-1]
                exec(asked["text"], names)  # the page's own words
        expected = [("a.example.com", "room", "1"), ("b.example.com", "hall", "2")]
        assert connection.execute(rows).fetchall() == expected

        # Nobody follows now: it lags, says so, and a rebuild takes it along.
        position = store(connection, [new_event(push_started("yard", "3", NOON_S))]).positions[-1]
        status = statuses(database)["pushes"]
        assert (status.position, status.head, status.lag_events) == (position - 1, position, 1)
        assert status.lag_s > 0
        assert status.parked == 0
        assert (status.digest, status.digest_position) == (None, None)
        connection.execute("DELETE FROM pushes_by_domain WHERE stream_id = 'room'")
        done = rebuild(database, Order(projections=projections), clock_us=lambda: 1)
        assert done.digests_equal is False
        assert {row[1] for row in connection.execute(rows).fetchall()} == {"hall", "room", "yard"}
        assert view_type(connection, database.schema).max_tracking_id(Ledger.name) == position
        position = store(connection, [new_event(push_started("yard", "4", NOON_S))]).positions[-1]
        catch_up(connection, database.schema, projections)
        verified = verify_projections(database, Order(projections=projections), clock_us=lambda: 1)
        assert [each.projection for each in verified if each.sound] == [each.name for each in projections]
        status = statuses(database)["pushes"]
        assert (status.digest, status.digest_position) == (verified[-1].live_digest, position)
