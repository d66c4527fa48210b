"""Only notifications that came again have a row of their own, and an older store gets there by migration."""

import asyncio
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from streamledger.domain.forensics import DeliveryClass
from streamledger.ledger import reader
from streamledger.operations.rebuild import Order
from streamledger.operations.verify_projections import verify_projections
from streamledger.postgres.connection import Database, connect, open_pool_async
from streamledger.postgres.schema import MIGRATIONS, migrate
from streamledger.readmodel import projection
from streamledger.readmodel.audit_queries import AuditQueries, AuditScope
from streamledger.readmodel.delivery_judging import begun, key_of
from streamledger.readmodel.delivery_queries import DeliveryFilter, DeliveryQueries, known_of, list_sql
from streamledger.readmodel.delivery_rows import IDENTITY_SQL, NotificationRow, columns_of
from streamledger.readmodel.first_delivery import identity_of
from streamledger.readmodel.runner import catch_up
from streamledger.readmodel.session_projection import PROJECTIONS
from tests.received import BEGAN_S, SCHEMA, STRANGER, keep, received, screenshot, set_aside, signed, started

SLIM = "0081_"
"""The migration that is tried here."""


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with connect(database, application_name="test") as opened:
        yield opened


def told(connection: psycopg.Connection[Any], *events: Any) -> None:
    keep(connection, events)
    catch_up(connection, SCHEMA, PROJECTIONS)


def keys_kept(connection: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return connection.execute("SELECT key, deliveries FROM notifications ORDER BY 1").fetchall()


def test_a_notification_has_a_row_from_its_second_delivery_on(connection: psycopg.Connection[Any]) -> None:
    told(connection, received(started("room", "1"), BEGAN_S), received(started("room", "2"), BEGAN_S))
    assert keys_kept(connection) == []
    told(connection, received(started("room", "2"), BEGAN_S + 60))
    assert keys_kept(connection) == [("2", 2)]
    told(connection, *(received(started("room", name), BEGAN_S + 120) for name in ("1", "2", "3", "3")))
    assert keys_kept(connection) == [("1", 2), ("2", 3), ("3", 2)]


def test_an_identity_is_the_same_in_sql(connection: psycopg.Connection[Any]) -> None:
    for key in (("room", "push_started", "7"), ("", "other", "md5:\u00fc\U0001f600"), ("a\tb\\", "x", "")):
        row = connection.execute(
            f"SELECT {IDENTITY_SQL.format(row='n')} FROM (SELECT %s::text, %s::text, %s::text)"
            " AS n(stream_id, kind, key)",
            key,
        ).fetchone()
        assert row is not None
        assert row[0].bytes == identity_of(*key)


def test_what_came_once_is_known_as_well_as_what_came_again(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    once, again = signed(started("room", "1"), BEGAN_S + 600), signed(started("room", "2"), BEGAN_S + 600)
    told(connection, *(received(body, BEGAN_S + at) for at, body in enumerate([once, again, again])))
    keep(connection, aside=[set_aside(body, BEGAN_S + 3600, source_ip=STRANGER) for body in (once, again)])

    async def asked() -> tuple[Any, ...]:
        pool = await open_pool_async(database, min_size=1, max_size=1, name="test")
        try:
            queries = DeliveryQueries(pool)
            async with pool.connection() as opened:
                named = [("room", "push_started", name) for name in ("1", "2", "3")]
                known = await known_of(opened, named)
            scope = AuditScope.of(BEGAN_S * 1000, (BEGAN_S + 7200) * 1000, 0)
            return (
                known,
                await queries.delivery(1),
                await queries.delivery(3),
                await AuditQueries(pool).report(scope),
            )
        finally:
            await pool.close()

    known, first, third, report = asyncio.run(asked())
    assert {key[2]: row.deliveries for key, row in known.items()} == {"1": 1, "2": 2}
    assert (first.notification.deliveries, first.notification.contents, first.more) == (1, 1, 0)
    assert third.notification.deliveries == 2
    for detail in (first, third):
        assert [(each.class_, each.evidence.bytes) for each in detail.set_aside] == [("replay", "same")]
    assert [each.would_be for each in report.suspicious] == ["replay", "replay"]
    assert {each.first_position for each in report.suspicious} == {1, 2}


def test_a_sender_of_few_or_of_old_deliveries_is_listed_without_reading_the_others(
    any_database: Database,
) -> None:
    with connect(any_database, application_name="test") as connection:
        senders_are_listed(connection)


def senders_are_listed(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO deliveries SELECT n, n, 'room-' || n % 90, '', 200, 1764000000000 + n::int8 * 100,"
        " 'first', NULL, CASE WHEN n % 900 = 0 THEN '198.51.100.9' ELSE '192.0.2.7' END,"
        " CASE WHEN n < 20000 OR n = 50000 THEN 'old' ELSE 'new' END, false, '{}', md5(n::text)::uuid"
        " FROM generate_series(10, 60000) AS n ORDER BY n % 90, n"
    )
    connection.execute("ANALYZE deliveries")
    wanted = {"source_ip": "198.51.100.9"}, {"key": "old"}, {"key": "new"}, {"source_ip": "192.0.2.7"}
    rows = connection.execute(
        "SELECT received_ms, position, source_ip, callback_key FROM deliveries ORDER BY 1 DESC, 2 DESC"
    ).fetchall()
    for each in wanted:
        facts: dict[str, Any] = {"limit": 30, **each}
        expected = [row[:2] for row in rows if set(each.values()) <= set(row[2:])]
        for goes_on in (False, True):
            sql = list_sql(DeliveryFilter(**each), goes_on=goes_on)
            page, expected = expected[:30], expected[30:]
            assert [row[0] for row in connection.execute(sql, facts).fetchall()] == [row[1] for row in page]
            plan = connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, facts).fetchall()[0][0]
            assert rows_read(plan[0]["Plan"]) < 200, each
            facts |= {"after_ms": page[-1][0], "after_position": page[-1][1]}


def rows_read(node: dict[str, Any]) -> int:
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) if "Relation Name" in node else 0
    return int(own) + sum(rows_read(each) for each in node.get("Plans", []))


def test_a_store_of_the_older_form_has_the_rows_of_a_rebuild_after_the_migration(
    database: Database, empty_database: Database, tmp_path: Path
) -> None:
    for file in MIGRATIONS.iterdir():
        if file.name < SLIM and file.name.endswith(".sql"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    migrate(empty_database, directory=tmp_path)
    shutil.rmtree(tmp_path)
    with (
        connect(database, application_name="test") as new,
        connect(empty_database, application_name="test") as old,
    ):
        told(new, *invented())
        events = reader.read_after(new, 0, 10_000)
        firsts = {key_of(fact.notification): fact for fact in reversed(projection.read_facts(events))}
        fill_older(old, new, {key: begun(fact) for key, fact in firsts.items()})
        assert migrate(empty_database)[0].startswith(SLIM)
        for table in ("deliveries", "notifications", "delivery_days"):
            rows = f"SELECT * FROM {table} ORDER BY 1, 2, 3"  # constant names
            assert old.execute(rows).fetchall() == new.execute(rows).fetchall()
        classes = {row[0] for row in new.execute("SELECT judged_as FROM deliveries").fetchall()}
        assert classes == {each.value for each in DeliveryClass}


def test_rows_that_other_rules_made_are_said_to_be_so(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    told(connection, received(started("room", "1"), BEGAN_S))
    connection.execute("UPDATE projections SET fold_version = 1, digest = 5 WHERE name = 'deliveries'")
    order = Order(projections=PROJECTIONS, workers=1)
    found = {each.projection: each for each in verify_projections(database, order, clock_us=lambda: 1)}
    assert found["sessions"].sound
    assert not found["deliveries"].sound
    assert "made by version 1 of the rules" in found["deliveries"].detail


def invented() -> list[Any]:
    """Deliveries of every class, some of them late, from strangers, or in odd letters."""
    chance = random.Random(7)
    bodies = [
        *(started("r\u00fc\\m", str(number)) for number in range(20)),
        *(started("r\u00fc\\m", str(number), BEGAN_S + 9, **{'od"d\u00e9': 1}) for number in range(20)),
        *(screenshot("room", BEGAN_S + number) for number in range(20)),
        {"event_type": 999, "data": 1},
    ]
    events = [received(started("once", str(number)), BEGAN_S, key=None) for number in range(9)]
    for _ in range(400):
        at_s = BEGAN_S + chance.choice([0, 1, 60, 61.5, 120, 185, 601, 3600, 86_400])
        events.append(
            received(
                chance.choice(bodies),
                at_s,
                t_s=chance.choice([BEGAN_S + 100, int(at_s) + 600]),
                source_ip=chance.choice(["", "192.0.2.7", "192.0.2.7", STRANGER]),
                key=chance.choice(["main", "main", None, "other"]),
                released=chance.random() < 0.05,
            )
        )
    return events


def fill_older(
    old: psycopg.Connection[Any],
    new: psycopg.Connection[Any],
    once: dict[tuple[str, str, str], NotificationRow],
) -> None:
    """Put the rows of a store into tables of the older form: every notification has a row there."""
    again = {
        tuple(row[0:3]): row
        for row in new.execute(
            "SELECT stream_id, kind, key, first_position, first_ms, source_ip, content, bytes_digest, t,"
            " callback_key, deliveries, try_ms, tries, tries_min, other_contents::text FROM notifications"
        ).fetchall()
    }
    names = (
        "stream_id, kind, key, first_position, first_ms, source_ip, content, bytes_digest, t, callback_key"
    )
    names += ", deliveries, try_ms, tries, tries_min, other_contents"
    for key, row in once.items():
        fields = msgspec.structs.asdict(row)
        values = again.get(key) or [fields[name] for name in names.split(", ")]
        old.execute(
            f"INSERT INTO notifications ({names}) VALUES ({', '.join(['%s'] * 15)})", values
        )  # constant names
    for row in new.execute(
        f"SELECT {columns_of('deliveries', 'd')} FROM deliveries AS d"
    ).fetchall():  # constant names
        old.execute(
            f"INSERT INTO deliveries VALUES ({', '.join(['%s'] * 11)}, %s::jsonb)", row[:12]
        )  # constant text
    for row in new.execute("SELECT * FROM delivery_days").fetchall():
        old.execute("INSERT INTO delivery_days VALUES (%s, %s, %s)", row)
