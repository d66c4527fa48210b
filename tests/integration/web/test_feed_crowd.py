"""A thousand readers on one process: all get every event, through one connection that listens."""

import asyncio

from streamledger.postgres.connection import Database, connect
from streamledger.settings import Settings
from tests.acceptance.page.server import serving
from tests.integration.web.test_feed import deliver

READERS = 1000
DEADLINE_S = 60.0
EVENTS = 3
CONNECTIONS_MORE_MAX = 20


async def follow(host: str, port: int, joined: asyncio.Event, count: list[int]) -> list[int]:
    """One reader on a connection of its own: the ids of the events that it was given."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /v1/events/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await writer.drain()
        found: list[int] = []
        while len(found) < EVENTS:
            line = await reader.readline()
            if not line:
                break
            if line.startswith(b": heartbeat"):
                count[0] += 1
                if count[0] == READERS:
                    joined.set()
            elif line.startswith(b"id: "):
                last = int(line[4:])
            elif line.startswith(b"data: "):
                found.append(last)
        return found
    finally:
        writer.close()


def listeners(database: Database) -> int:
    with connect(database, application_name="test") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE query LIKE 'LISTEN %' AND datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def connections(database: Database) -> int:
    with connect(database, application_name="test") as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_thousand_readers_get_every_event_through_one_listener(database: Database) -> None:
    async def crowd(address: str) -> tuple[list[list[int]], list[int], int, int]:
        host, _, port = address.removeprefix("http://").partition(":")
        joined, count = asyncio.Event(), [0]
        before = await asyncio.to_thread(listeners, database)
        readers = [asyncio.create_task(follow(host, int(port), joined, count)) for _ in range(READERS)]
        await asyncio.wait_for(joined.wait(), DEADLINE_S)
        during = await asyncio.to_thread(listeners, database)
        positions = [
            await asyncio.to_thread(deliver, address, 1, f"room-{number}", str(number))
            for number in range(EVENTS)
        ]
        found = await asyncio.wait_for(asyncio.gather(*readers), DEADLINE_S)
        return found, positions, before, during

    with serving(database, Settings(readers_max=READERS + 10, readers_per_token_max=READERS + 10)) as address:
        idle = connections(database)
        found, positions, before, during = asyncio.run(crowd(address))
        busy = connections(database)
    assert all(each == positions for each in found)
    assert during == before
    # No reader holds a connection of its own: only those of the pools and of the appender are added.
    assert busy <= idle + CONNECTIONS_MORE_MAX
