"""A store made by older rules: `serve` says that a rebuild is due, and does it where that is set."""

import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from streamledger.operations.attend_rebuilds import FOLD_VERSION_CHANGED
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.embedded import start_embedded
from streamledger.readmodel.projections.registry import PROJECTIONS
from tests.acceptance.serving import Service, run, serving
from tests.deliveries import push_started, push_stopped, screenshot
from tests.waiting import until

NOW_S = int(time.time())
SEQUENCE = "2210464508206756938"


def screenshots_of(service: Service) -> int:
    found: int = service.read(f"/v1/sessions/{SEQUENCE}")["screenshots"]["count"]
    return found


def versions(connection: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return connection.execute("SELECT name, fold_version FROM projections ORDER BY 1").fetchall()


def test_older_rows_serve_until_the_rebuild_that_serve_began_by_itself_has_switched() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="streamledger-") as directory,
        start_embedded(Path(directory)) as server,  # the test's own, so that it outlives each serve
    ):
        unused = Path(directory) / "unused"
        with serving(unused, database_url=server.owner_dsn) as service:
            service.deliver(push_started("aged", SEQUENCE, NOW_S - 60))
            service.deliver(screenshot("aged", NOW_S - 30))
            service.deliver(push_stopped("aged", SEQUENCE, NOW_S))
            assert screenshots_of(service) == 1
        with connect(Database(server.owner_dsn), application_name="test") as connection:
            # What an older version would have left: its number, and rows of its rules.
            connection.execute("UPDATE projections SET fold_version = fold_version - 1")
            connection.execute("UPDATE sessions SET screenshots = 77")

            with serving(unused, database_url=server.owner_dsn) as service:
                until(lambda: service.log.read_text().count("a rebuild is due") == len(PROJECTIONS))
                assert service.read("/v1/rebuilds")["items"] == []
                assert screenshots_of(service) == 77
                doctor = run("doctor", "--json", database_url=server.owner_dsn)
                assert doctor.stdout.count(": rebuild") == len(PROJECTIONS)

            with connect(Database(server.owner_dsn), application_name="reader") as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT FROM sessions")  # the switch waits for this reader
                with serving(unused, database_url=server.owner_dsn, rebuild_automatically="true") as service:
                    switching = "SELECT FROM rebuilds WHERE state = 'running' AND phase = 'switching'"
                    until(lambda: connection.execute(switching).fetchall())
                    (rebuild,) = service.read("/v1/rebuilds")["items"]
                    assert rebuild["asked_by"] == FOLD_VERSION_CHANGED
                    assert rebuild["projections"] == [each.name for each in PROJECTIONS]
                    assert screenshots_of(service) == 77
                    reader.execute("ROLLBACK")
                    ended = "SELECT FROM rebuilds WHERE state = 'done' AND digests_equal IS NULL"
                    until(lambda: connection.execute(ended).fetchall())
                    assert screenshots_of(service) == 1
                    assert versions(connection) == sorted((each.name, each.version) for each in PROJECTIONS)

            with serving(unused, database_url=server.owner_dsn, rebuild_automatically="true") as service:
                assert screenshots_of(service) == 1
                assert len(service.read("/v1/rebuilds")["items"]) == 1  # what is done is not due again
