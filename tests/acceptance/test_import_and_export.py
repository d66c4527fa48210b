"""Import and export by command beside a running server: at once, killed half way, damaged, repeated."""

import gzip
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streamledger.domain.events import Delivery, event_name
from streamledger.ledger import mapper, portable
from streamledger.ledger.portable import Head
from streamledger.postgres.connection import connect
from tests.acceptance.serving import COMMAND, Service, data_directory, database_of, run, serving, settings_of
from tests.deliveries import push_started, screenshot
from tests.waiting import until

NOW_S = int(time.time())
STORED = "SELECT count(*) FROM ledger_events WHERE originator_id LIKE %s"


@pytest.fixture(scope="module")
def own() -> Iterator[tuple[Service, str]]:
    """A service of this module's own, and its data directory."""
    with data_directory(made=True) as data_dir, serving(data_dir) as started:
        yield started, str(data_dir)


def connected(data_dir: str) -> psycopg.Connection[Any]:
    return connect(database_of(data_dir), application_name="test")


def lines_of(prefix: str, count: int) -> list[bytes]:
    """An export of so many events of three streams."""
    found = [portable.head_line(Head())]
    for number in range(count):
        stream_id = f"{prefix}-{number % 3}"
        body = json.dumps(screenshot(stream_id, NOW_S - number, pic_url=f"/{number}.jpg")).encode()
        state = mapper.encode(Delivery(body=body, received_at_us=(NOW_S * 1000 + number) * 1000))
        row = (number + 1, stream_id, number // 3 + 1, event_name(200), state, str(uuid.uuid4()))
        found.append(portable.line_of(row))
    return found


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=settings_of(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def numbered_without_gap(connection: psycopg.Connection[Any], prefix: str) -> bool:
    rows = connection.execute(
        "SELECT count(*), max(originator_version), count(DISTINCT delivery_id) FROM ledger_events"
        " WHERE originator_id LIKE %s GROUP BY originator_id",
        (prefix + "%",),
    ).fetchall()
    return len(rows) == 3 and all(count == last == ids for count, last, ids in rows)


def test_an_import_that_was_killed_is_repeated_and_every_event_is_there_once_in_order(
    own: tuple[Service, str], tmp_path: Path
) -> None:
    service, data_dir = own
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"".join(lines_of("killed", 30_000)))
    with connected(data_dir) as connection:
        process = started("import", str(path), "--data-dir", data_dir)
        until(lambda: connection.execute(STORED, ("killed%",)).fetchall()[0][0])
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        before = until(
            lambda: (
                not connection.execute(
                    "SELECT FROM pg_stat_activity WHERE application_name = 'streamledger import'"
                ).fetchall()
                and connection.execute(STORED, ("killed%",)).fetchall()[0][0]
            )
        )
        assert before % 5000 == 0  # whole chunks or nothing
        service.deliver(push_started("killed-1", "1", NOW_S))  # live ones come in between
        done = run("import", str(path), "--data-dir", data_dir, "--json")
        assert done.returncode == 0, done
        found = json.loads(done.stdout)[str(path)]
        assert (found["stored"], found["known"], found["invalid"]) == (30_000 - before, before, 0)
        assert numbered_without_gap(connection, "killed")
        rows = connection.execute(
            "SELECT state FROM ledger_events WHERE originator_id LIKE 'killed%'"
            " AND topic = 'screenshot-created.v1' ORDER BY notification_id"
        ).fetchall()
    received = [mapper.decode(event_name(200), bytes(state))[1].received_at_us for (state,) in rows]
    assert len(received) == 30_000
    assert received == sorted(received)
    doctor = run("doctor", "--json", "--data-dir", data_dir)
    assert doctor.returncode == 0, doctor


def test_two_imports_of_overlapping_files_at_once_store_each_event_once(
    own: tuple[Service, str], tmp_path: Path
) -> None:
    service, data_dir = own
    lines = lines_of("twice", 15_000)
    paths = [tmp_path / "one.ndjson", tmp_path / "other.ndjson.gz"]
    paths[0].write_bytes(b"".join(lines[:12_000]))
    paths[1].write_bytes(gzip.compress(b"".join([lines[0], *lines[6_000:], *lines[9_000:9_100]]), 1))
    processes = [started("import", str(path), "--data-dir", data_dir, "--json") for path in paths]
    sent = 0
    while any(process.poll() is None for process in processes):
        sent += 1
        service.deliver(push_started("live-beside", str(sent), NOW_S))
    found = [json.loads(process.communicate()[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    stored = sum(done["stored"] for each in found for done in each.values())
    known = sum(done["known"] for each in found for done in each.values())
    assert (stored, known) == (15_000, len(lines[1:12_000]) + len(lines[6_000:]) + 100 - 15_000)
    with connected(data_dir) as connection:
        assert numbered_without_gap(connection, "twice")
        assert connection.execute(STORED, ("live-beside",)).fetchall()[0][0] == sent


def test_an_export_that_was_killed_is_gone_on_with_to_the_same_file(
    own: tuple[Service, str], tmp_path: Path
) -> None:
    _, data_dir = own
    path = tmp_path / "many.ndjson"
    path.write_bytes(b"".join(lines_of("exported", 20_000)))
    assert run("import", str(path), "--data-dir", data_dir).returncode == 0
    for name in ("whole.ndjson", "whole.ndjson.gz"):
        whole, cut = tmp_path / name, tmp_path / name.replace("whole", "cut")
        assert run("export", str(whole), "--data-dir", data_dir).returncode == 0
        process = started("export", str(cut), "--data-dir", data_dir)
        until(lambda cut=cut: cut.exists() and cut.stat().st_size)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert cut.stat().st_size < whole.stat().st_size, "it was not killed half way"
        done = run("export", "--resume", str(cut), "--data-dir", data_dir)
        assert done.returncode == 0, done
        unpack = gzip.decompress if name.endswith(".gz") else bytes
        assert unpack(cut.read_bytes()) == unpack(whole.read_bytes())


def test_a_line_that_cannot_be_read_is_told_with_its_number_and_the_others_are_stored(
    own: tuple[Service, str], tmp_path: Path
) -> None:
    _, data_dir = own
    lines = lines_of("faulty", 10)
    path = tmp_path / "faulty.ndjson"
    path.write_bytes(
        b"".join([*lines[:4], b"no JSON\n", *lines[4:7], b'{"position":1}\n', *lines[7:9], lines[9]])
    )
    done = run("import", str(path), "--data-dir", data_dir)
    assert done.returncode == 1
    assert "9 events stored, 0 known already, 2 invalid" in done.stdout
    assert "line 5: expected a line of an export of events" in done.stdout
    assert "line 9: expected a line of an export of events" in done.stdout
    other = json.loads(lines[2])
    other["body"] += " "
    path.write_bytes(b"".join([*lines[:2], json.dumps(other).encode() + b"\n", *lines[3:]]))
    done = run("import", str(path), "--data-dir", data_dir)
    assert done.returncode == 1, done
    assert "1 events stored, 8 known already, 0 invalid\n  1 differ from what is known" in done.stdout
    assert f"delivery {other['delivery_id']}: expected the body of the event" in done.stdout
    as_json = json.loads(run("import", str(path), "--json", "--data-dir", data_dir).stdout)
    assert as_json[str(path)]["differing"] == 1
    packed = gzip.compress(b"".join(lines))
    path.write_bytes(packed[:-20])
    done = run("import", str(path), "--data-dir", data_dir)
    assert (done.returncode, "ends in the middle of compressed lines" in done.stdout) == (1, True), done


def test_a_line_of_another_version_or_a_redacted_one_ends_it_with_the_number_of_the_line(
    own: tuple[Service, str], tmp_path: Path
) -> None:
    _, data_dir = own
    lines = lines_of("foreign", 5)
    path = tmp_path / "foreign.ndjson"
    for head, words in (
        (b'{"format":"streamledger-events","version":9}\n', "line 4: the file is of the format"),
        (portable.head_line(Head(redacted=True)), "line 4: this export is redacted"),
    ):
        path.write_bytes(b"".join([*lines[:3], head, *lines[3:]]))
        done = run("import", str(path), "--data-dir", data_dir)
        assert (done.returncode, words in done.stderr) == (2, True), done
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))
    done = run("import", str(path), "--data-dir", data_dir)
    assert (done.returncode, "what zstd unpacks" in done.stderr) == (2, True), done
