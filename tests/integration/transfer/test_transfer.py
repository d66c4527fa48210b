"""The ledger out and in again: nothing is lost, nothing is doubled, secrets stay where they should."""

import base64
import csv
import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pyarrow import parquet

from streamledger.cli.files import FileDamaged, LineFile, read_lines
from streamledger.domain.events import ForeignEvent, PushStopped, is_notification
from streamledger.ledger import mapper, portable, reader
from streamledger.ledger.acts import Actor
from streamledger.ledger.portable import FormatUnknown, Head, LineInvalid, RedactedImport, head_line
from streamledger.operations import export_table
from streamledger.operations.export_events import ResumeMismatch, Wanted, export_events, resumed
from streamledger.operations.export_table import TABLE_KEYS, PyarrowAbsent, export_csv, export_parquet
from streamledger.operations.import_events import Imported, import_events
from streamledger.operations.imported_delivery import ImportRules, event_of
from streamledger.postgres.connection import Database
from streamledger.simulator.incident import IncidentEmpty, read_incident
from streamledger.simulator.truth import Shape
from tests import deliveries
from tests.deliveries import LEDGER
from tests.integration.readmodel.histories import STARTS_AT_MS, bodies, opened, project, rows_of, store

VALID = (
    b'{"position":"1","delivery_id":"0190c7a4-0000-7000-8000-000000000000","received_at_us":1713731478000000,'
)
SHAPE = Shape(streams=3, sessions_per_stream=2, duration_s=300)
NOW_US = STARTS_AT_MS * 1000 + 10**12
RULES = ImportRules(body_bytes_max=10_000, now_us=NOW_US)
ACTOR = Actor(by="operator", reason="restored", at_us=NOW_US)
EVENTS = (
    "SELECT originator_id, originator_version, topic, delivery_id FROM ledger_events"
    " WHERE topic <> 'admin-acted.v1' ORDER BY notification_id"
)

STATES = "SELECT state FROM ledger_events WHERE topic <> 'admin-acted.v1' ORDER BY notification_id"


def exported(connection: psycopg.Connection[Any], **wanted: Any) -> list[bytes]:
    lines: list[bytes] = [head_line(Wanted(**wanted).head)]
    export_events(connection, Wanted(**wanted), lines.append)
    return b"".join(lines).splitlines(keepends=True)


def imported(
    connection: psycopg.Connection[Any], lines: list[bytes], *, plain: bool = False, **rules: Any
) -> Imported:
    found = ImportRules(**{"body_bytes_max": 10_000, "now_us": NOW_US, **rules})
    return import_events(connection, LEDGER, lines, plain=plain, rules=found, actor=ACTOR, source="a test")


def emptied(connection: psycopg.Connection[Any]) -> None:
    """An empty ledger again, which only a test may make."""
    connection.execute("ALTER TABLE ledger_events DISABLE TRIGGER USER")
    connection.execute(f"TRUNCATE ledger_events, projections, {', '.join(TABLE_KEYS)}")
    connection.execute("UPDATE ledger_head SET position = 0")
    connection.execute("ALTER TABLE ledger_events ENABLE TRIGGER USER")


def test_what_is_exported_and_imported_is_the_same_ledger_with_the_same_sessions(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        store(connection, ['{"event_type": 9, "odd": "　txSecret=1"}'.encode()])
        deliveries.store(
            connection,
            [ForeignEvent(originator_id="x", delivery_id=uuid4(), name="not-known-yet.v9", state=b"\xc1")],
        )
        project(connection, database.schema)
        events, rows = connection.execute(EVENTS).fetchall(), rows_of(connection)
        lines = exported(connection)
        emptied(connection)
        done = imported(connection, lines, with_acts=True)
        assert (done.stored, done.known, done.invalid) == (len(events), 0, 0)
        assert connection.execute(EVENTS).fetchall() == events
        project(connection, database.schema)
        for table in ("sessions", "streams"):
            assert len(rows_of(connection)[table]) == len(rows[table])


def test_importing_twice_is_importing_once_and_numbers_go_on_in_a_living_ledger(database: Database) -> None:
    with opened(database) as connection:
        found = bodies(1, SHAPE)
        store(connection, found[:100])
        lines = exported(connection)
        emptied(connection)
        store(connection, found[100:150])
        assert imported(connection, lines).stored == 100
        before = connection.execute(EVENTS).fetchall()
        again = imported(connection, [*lines, *lines])
        assert reader.head(connection) == 150 + 4  # both imports are acts, at their begin and end
        assert (again.stored, again.known) == (0, 200)
        assert connection.execute(EVENTS).fetchall() == before
        gaps = connection.execute(
            "SELECT originator_id FROM ledger_events GROUP BY 1 HAVING max(originator_version) <> count(*)"
        ).fetchall()
        assert gaps == []


def test_a_known_delivery_with_another_body_is_told_and_what_the_ledger_has_stays(database: Database) -> None:
    foreign = ForeignEvent(originator_id="x", delivery_id=uuid4(), name="not-known-yet.v9", state=b"\xc1")
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE)[:20])
        deliveries.store(connection, [foreign])
        lines = exported(connection)
        before = connection.execute(STATES).fetchall()
        known = json.loads(lines[3])
        other = json.dumps(known | {"body": known["body"] + " "}).encode()
        state = lines[-1].replace(base64.b64encode(foreign.state), base64.b64encode(b"\xc2"))
        done = imported(connection, [*lines[:3], other, *lines[4:-1], state], with_acts=True)
        assert (done.stored, done.known, done.differing, done.invalid) == (0, 19, 2, 0)
        assert done.lines == done.known + done.differing
        assert done.faults == [
            f"delivery {known['delivery_id']}: expected the body of the event at position 3, got another",
            f"delivery {foreign.delivery_id}: expected the state of the event at position 21, got another",
        ]
        assert connection.execute(STATES).fetchall() == before


def test_only_one_stream_or_one_time_is_exported(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        events = list(reader.read_all(connection))
        stream = events[0].originator_id
        lines = exported(connection, stream_id=stream)[1:]
        assert [json.loads(line)["position"] for line in lines] == [
            event.position for event in events if event.originator_id == stream
        ]
        moment = events[40].delivery.received_at_us
        later = exported(connection, from_us=moment)[1:]
        earlier = exported(connection, to_us=moment)[1:]
        assert len(later) + len(earlier) == len(events)
        assert all(json.loads(line)["received_at_us"] >= moment for line in later)


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.gz"])
def test_an_export_cut_short_is_gone_on_with(database: Database, tmp_path: Path, name: str) -> None:
    path, whole = tmp_path / name, tmp_path / f"whole-{name}"
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))

        def export(to: Path, *, resume: bool) -> None:
            with LineFile(to, resume=resume) as file:
                after = 0
                if file.last_line:
                    after = int(json.loads(file.last_line).get("position", 0))
                else:
                    file.write(head_line(Head()))
                export_events(connection, Wanted(after=after), file.write)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("streamledger.cli.files.MEMBER_BYTES", 2000)
            patch.setattr("streamledger.operations.export_events.PAGE_EVENTS", 10)
            export(whole, resume=False)
            content = whole.read_bytes()
            for cut in (len(content), len(content) // 2, len(content) // 3 * 2, 5, 0):
                path.write_bytes(content[:cut])
                export(path, resume=True)
                assert list(read_lines(path)) == list(read_lines(whole))


def test_plain_bodies_are_imported_once_with_their_times(database: Database) -> None:
    body = '{"event_type":1,"stream_id":"s","sequence":"7","event_time":1713731478}'
    lines = [
        body.encode() + b"\n",
        json.dumps(
            {"body": body, "received_at": "2024-04-21T20:31:19Z", "source_ip": "203.0.113.5"}
        ).encode(),
        json.dumps({"body": json.loads(body), "received_at": 1713731480}).encode(),
        b"\n",
        b"no body at all\n",
        body.encode() + b"\n",
    ]
    with opened(database) as connection:
        done = imported(connection, lines, plain=True)
        assert (done.stored, done.invalid) == (4, 1)
        assert done.faults[0].startswith("line 5: ")
        assert imported(connection, lines, plain=True).known == 4
        events = [event for event in reader.read_all(connection) if is_notification(event.name)]
        assert [event.delivery.received_at_us for event in events] == [
            NOW_US,
            1713731479_000000,
            1713731480_000000,
            NOW_US,
        ]
        assert events[1].delivery.body == body.encode()
        assert events[1].delivery.source_ip == "203.0.113.5"
        project(connection, database.schema)
        assert connection.execute("SELECT deliveries FROM sessions").fetchall() == [(4,)]


def test_a_redacted_export_holds_no_secret_and_is_played_but_never_imported(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE))
        stream = next(iter(reader.read_all(connection))).originator_id
        open_lines = exported(connection, stream_id=stream)
        lines = exported(connection, stream_id=stream, redacted=True)
        secret = b"".join(open_lines).split(b"txSecret=")[1].split(b"&")[0]
        assert secret in b"".join(open_lines)
        assert secret not in b"".join(lines)
        with pytest.raises(RedactedImport):
            imported(connection, lines)
        history, calls = read_incident(lines)
        assert len(calls) == len(lines) - 1
        assert [call.at_ms for call in calls] == sorted(
            json.loads(line)["received_at_us"] // 1000 for line in lines[1:]
        )
        assert 0 < len(history.facts) <= len(calls)


def test_lines_that_are_none_are_counted_and_the_others_stored(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE)[:3])
        lines = exported(connection)
        emptied(connection)
        broken = lines[1].replace(b'"body":"{', b'"body":"no JSON {')
        done = imported(connection, [lines[0], b"{}\n", broken, *lines[2:]])
        assert (done.stored, done.invalid) == (2, 2)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"position":"1","delivery_id":"x","name":"a","originator":"b","body":""}',
        VALID + b'"name":"a","originator":"b"}',
        VALID + b'"name":"","originator":"b","body":""}',
        VALID + b'"name":"a","originator":"b","body_base64":"*"}',
    ],
)
def test_a_line_that_is_no_event_is_told(line: bytes) -> None:
    with pytest.raises(LineInvalid):
        event_of(portable.read_line(line), RULES, 1)


def test_an_event_comes_back_under_the_stream_that_its_body_names_whatever_the_line_says() -> None:
    body = b'"body":"{\\"event_type\\":0,\\"stream_id\\":\\"room\\"}"}'
    line = VALID + b'"name":"push-started.v1","originator":"elsewhere",' + body
    event = event_of(portable.read_line(line), RULES, 1)
    assert isinstance(event, PushStopped)
    assert event.originator_id == "room"


def test_a_body_that_cannot_be_read_is_left_out_of_a_redacted_export() -> None:
    state = mapper.encode(mapper.Delivery(body=b"no JSON, txSecret=abc", received_at_us=7))
    row = (3, "o", 1, "push-started.v1", state, "0190c7a4-0000-7000-8000-000000000000")
    assert b"abc" not in portable.line_of(row, redacted=True)
    with pytest.raises(IncidentEmpty):  # passed over, so that the others of a file are played
        read_incident([portable.line_of(row, redacted=True)])


def test_a_body_that_is_no_text_comes_back_to_the_byte() -> None:
    state = mapper.encode(mapper.Delivery(body=b"\xff\x00{", received_at_us=7, mended=("comments",)))
    row = (3, "o", 1, "push-started.v1", state, "0190c7a4-0000-7000-8000-000000000000")
    assert mapper.encode(portable.delivery_of(portable.read_line(portable.line_of(row)))) == state


def table_of(database: Database) -> psycopg.Connection[Any]:
    connection = opened(database)
    store(connection, bodies(1, SHAPE))
    project(connection, database.schema)
    return connection


@pytest.mark.parametrize("table", TABLE_KEYS)
def test_tables_are_exported_as_csv_without_secrets(database: Database, table: str, tmp_path: Path) -> None:
    with table_of(database) as connection:
        path = tmp_path / "table.csv.gz"
        with LineFile(path, resume=False) as file:
            rows = export_csv(connection, table, file.write)
        content = gzip.decompress(path.read_bytes()).decode()
        read = list(csv.DictReader(io.StringIO(content)))
        assert rows == len(rows_of(connection)[table]) == len(read) > 0
        assert "txSecret=REDACTED" in content or "txSecret" not in content
        assert all(None not in row and None not in row.values() for row in read)


@pytest.mark.parametrize("table", TABLE_KEYS)
def test_parquet_holds_the_same_rows_as_csv_with_types(
    database: Database, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_table, "PAGE_ROWS", 50)
    with table_of(database) as connection:
        path = tmp_path / "table.parquet"
        rows = export_parquet(connection, table, path)
        lines: list[bytes] = []
        export_csv(connection, table, lines.append)
    read = parquet.read_table(path).to_pylist()
    assert len(read) == rows > 0
    assert parquet.ParquetFile(path).num_row_groups == -(-rows // 50)
    assert not list(tmp_path.glob("*.partial"))
    as_text = [
        {
            name: {None: "", True: "t", False: "f"}.get(value, str(value))
            if type(value) is not int
            else str(value)
            for name, value in row.items()
        }
        for row in read
    ]
    assert as_text == list(csv.DictReader(io.StringIO(b"".join(lines).decode())))
    numbers = [row[name] for row in read for name in row if name.endswith(("_ms", "position"))]
    assert {type(number) for number in numbers} <= {int, type(None)}


def test_without_pyarrow_parquet_is_refused_with_a_sentence(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with opened(database) as connection, pytest.raises(PyarrowAbsent, match=r"streamledger\[parquet\]"):
        export_parquet(connection, "sessions", tmp_path / "x.parquet")


def test_a_file_of_another_version_is_refused_whole(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE)[:3])
        lines = exported(connection)
        emptied(connection)
        with pytest.raises(FormatUnknown):
            imported(connection, [lines[0].replace(b'"version":2', b'"version":3'), *lines[1:]])
        assert connection.execute(EVENTS).fetchall() == []


def test_a_redacted_line_without_its_head_is_not_imported_either(database: Database) -> None:
    with opened(database) as connection:
        store(connection, bodies(1, SHAPE)[:3])
        with pytest.raises(RedactedImport):
            imported(connection, exported(connection, redacted=True)[1:])


def test_a_file_of_other_events_is_not_gone_on_with() -> None:
    wanted = Wanted(stream_id="room")
    first = head_line(wanted.head)
    event = VALID.replace(b'"1"', b"17") + b'"name":"a","originator":"b","body":""}\n'
    assert resumed(wanted, "f", first, event).after == 17
    assert resumed(wanted, "f", first, first).after == 0
    for other in (Wanted(), Wanted(stream_id="room", redacted=True), Wanted(stream_id="room", from_us=1)):
        with pytest.raises(ResumeMismatch):
            resumed(other, "f", first, event)
    with pytest.raises(ResumeMismatch):
        resumed(wanted, "f", b"a line of something else\n", event)


def read_until_damage(path: Path) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    try:
        for line in read_lines(path):
            found.append(line)  # what came before the damage counts
    except FileDamaged:
        return found, True
    return found, False


def test_the_lines_before_a_files_damage_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    lines = [b"%d %s\n" % (number, b"x" * (number % 97)) for number in range(5000)]
    packed = gzip.compress(b"".join(lines[:3000])) + gzip.compress(b"".join(lines[3000:]))
    path.write_bytes(packed + b"\0" * 512)
    assert read_until_damage(path) == (lines, False)
    path.write_bytes(packed[: len(packed) * 3 // 4])
    found, is_damaged = read_until_damage(path)
    assert is_damaged
    assert found[:-1] == lines[: len(found) - 1]
    assert len(found) > 3000
    path.write_bytes(b"\x1f\x8bnothing of the kind")
    assert read_until_damage(path) == ([], True)


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamledger.cli.files.LINE_BYTES_MAX", 1000)
    monkeypatch.setattr("streamledger.cli.files.READ_BYTES", 100)
    path = tmp_path / "endless"
    path.write_bytes(b"whole\n" + b"x" * 5000)
    assert read_until_damage(path) == ([b"whole\n"], True)
