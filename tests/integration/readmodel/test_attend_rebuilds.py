"""Rebuilds that are asked for: by HTTP's queries, done by the server, cancelled, and due by themselves."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from streamledger.bootstrap import open_queries
from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.rebuild_answers import RebuildAnswer
from streamledger.operations.attend_rebuilds import FOLD_VERSION_CHANGED, RebuildAttendant
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.queries.rebuilds import RebuildQueries
from streamledger.readmodel.rebuild.record import RebuildOver, RebuildUnderWay, RebuildUnknown, only_one
from streamledger.settings import Settings
from streamledger.simulator.truth import Shape
from tests.integration.readmodel.histories import bodies, opened, positions, rows_of, store

SHAPE = Shape(streams=2, sessions_per_stream=2, duration_s=300)
NAMES = [each.name for each in PROJECTIONS]


@contextmanager
def attending(database: Database, *, automatically: bool = False) -> Iterator[RebuildAttendant]:
    attendant = RebuildAttendant(
        database, PROJECTIONS, clock_us=lambda: 1, automatically=automatically, workers=1
    )
    thread = threading.Thread(target=attendant.run)
    thread.start()
    try:
        yield attendant
    finally:
        attendant.stop()
        thread.join()


async def ended(rebuilds: RebuildQueries, number: str) -> RebuildAnswer:
    deadline = time.monotonic() + 60
    while (found := await rebuilds.one(int(number))).state in ("asked", "running"):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    return found


def asking(database: Database, ask: Callable[[RebuildQueries], object], size: int = 2) -> object:
    async def run() -> object:
        async with open_queries(Settings(), database, size=size) as queries:
            return await ask(RebuildQueries(queries.pool))  # type: ignore[misc]  # the callers pass coroutine functions

    return asyncio.run(run())


def test_a_rebuild_that_is_asked_for_is_done(database: Database) -> None:
    with opened(database, bodies(1, SHAPE)) as connection:
        rows, marks = rows_of(connection), positions(connection)

        async def ask(rebuilds: RebuildQueries) -> RebuildAnswer:
            first = await rebuilds.ask([], "operator")
            assert (await rebuilds.ask([], "operator")).id == first.id
            with attending(database):
                return await ended(rebuilds, first.id)

        found = asking(database, ask)
        assert isinstance(found, RebuildAnswer)
        assert (found.state, found.digests_equal, found.projections) == ("done", True, NAMES)
        assert found.asked_by == "operator"
        assert found.events_done == found.events_total > 0
        assert (rows_of(connection), positions(connection)) == (rows, marks)


def test_one_that_waits_is_cancelled_at_once_and_never_begins(database: Database) -> None:
    async def ask(rebuilds: RebuildQueries) -> None:
        waiting = await rebuilds.ask([], "operator")
        assert (await rebuilds.cancel(int(waiting.id))).state == "cancelled"
        with attending(database):
            await asyncio.sleep(0)
        assert (await rebuilds.one(int(waiting.id))).started_at is None
        assert [each.id for each in (await rebuilds.latest()).items] == [waiting.id]

    asking(database, ask)


def test_what_is_only_asked_for_counts_as_under_way(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))

    async def ask(rebuilds: RebuildQueries) -> None:
        first = await rebuilds.ask([], "operator")
        with pytest.raises(RebuildUnderWay):
            await rebuilds.ask([], "operator", dry_run=True)
        with pytest.raises(RebuildUnderWay):
            await rebuilds.ask(["tallies"], "operator")
        with pytest.raises(RebuildUnderWay):
            await rebuilds.ask([], "operator", 1)
        assert (await rebuilds.ask([], "another")).id == first.id
        await rebuilds.cancel(int(first.id))
        assert (await rebuilds.ask(["tallies"], "operator")).state == "asked"

    asking(database, ask)


def test_of_many_who_ask_for_different_things_at_once_one_is_heard(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))

    async def ask(rebuilds: RebuildQueries) -> None:
        for _ in range(10):
            wanted = [
                rebuilds.ask(names, "operator", dry_run=dry_run)
                for names in ([], ["tallies"], ["sessions"], ["addresses"])
                for dry_run in (False, True)
            ]
            answers = await asyncio.gather(*wanted, return_exceptions=True)
            (heard,) = [each for each in answers if isinstance(each, RebuildAnswer)]
            assert {type(each) for each in answers} == {RebuildAnswer, RebuildUnderWay}
            await rebuilds.cancel(int(heard.id))

    asking(database, ask, size=8)


def test_a_command_goes_before_what_is_asked_for_which_waits(database: Database) -> None:
    """Without a server nobody would begin that, and it would stand in the way for ever."""
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        connection.execute("UPDATE projections SET fold_version = 0")

    async def ask(rebuilds: RebuildQueries) -> None:
        waiting = await rebuilds.ask([], "operator", dry_run=True)
        order = Order(projections=PROJECTIONS, workers=1)
        assert (await asyncio.to_thread(rebuild, database, order, clock_us=lambda: 1)).switched
        assert (await rebuilds.one(int(waiting.id))).state == "asked"
        with attending(database):
            assert (await ended(rebuilds, waiting.id)).state == "done"

    asking(database, ask)


def test_one_that_is_over_cannot_be_cancelled(database: Database) -> None:
    async def ask(rebuilds: RebuildQueries) -> None:
        done = await rebuilds.ask([], "operator")
        with attending(database):
            assert (await ended(rebuilds, done.id)).state == "done"
        with pytest.raises(RebuildOver, match="is over: done"):
            await rebuilds.cancel(int(done.id))
        waiting = await rebuilds.ask([], "operator")
        for _ in range(2):  # who has lost the answer asks again
            assert (await rebuilds.cancel(int(waiting.id))).state == "cancelled"

    asking(database, ask)


def test_what_does_not_exist_is_told(database: Database) -> None:
    async def ask(rebuilds: RebuildQueries) -> None:
        with pytest.raises(RebuildUnknown):
            await rebuilds.cancel(7)
        with pytest.raises(ParameterInvalid):
            await rebuilds.ask(["nothing"], "operator")

    asking(database, ask)


def test_a_new_version_of_the_rules_is_rebuilt_by_itself_where_that_is_set(database: Database) -> None:
    with opened(database, bodies(1, SHAPE)) as connection:
        connection.execute("UPDATE projections SET fold_version = 0")
        connection.execute("CREATE TABLE sessions_g77 (x int)")
        with attending(database):
            pass  # without the setting it only clears up

        async def ask(rebuilds: RebuildQueries) -> list[RebuildAnswer]:
            before = (await rebuilds.latest()).items
            assert before == []
            with attending(database, automatically=True):
                deadline = time.monotonic() + 60
                while not (found := (await rebuilds.latest()).items):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.05)
                return [await ended(rebuilds, found[0].id)]

        found = asking(database, ask)
        assert isinstance(found, list)
        assert (found[0].state, found[0].asked_by) == ("done", FOLD_VERSION_CHANGED)
        versions = connection.execute("SELECT name, fold_version FROM projections ORDER BY 1").fetchall()
        assert versions == sorted((each.name, each.version) for each in PROJECTIONS)
        assert connection.execute("SELECT to_regclass('sessions_g77')").fetchall() == [(None,)]


def test_it_lets_another_processes_rebuild_go_on(database: Database) -> None:
    with opened(database) as connection, only_one(database):
        connection.execute("CREATE TABLE sessions_g77 (x int)")
        with attending(database):
            pass
        assert connection.execute("SELECT to_regclass('sessions_g77')").fetchall() == [("sessions_g77",)]
