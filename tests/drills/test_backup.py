"""Backup under load, and the restore: all that was acknowledged before it began, and the intake goes on."""

import json
from pathlib import Path

from streamledger.ledger import reader
from streamledger.postgres.connection import connect
from tests.acceptance.load import Client, Record
from tests.acceptance.serving import data_directory, database_of, run, serving
from tests.conftest import clone
from tests.deliveries import any_event, push_started, store
from tests.drills.drill import settled


def held(data_dir: Path) -> tuple[set[str], int]:
    """The deliveries of the ledger and of the quarantine, and the head."""
    with connect(database_of(data_dir), application_name="test") as connection:
        rows = connection.execute(
            "SELECT delivery_id::text FROM ledger_events UNION ALL SELECT id::text FROM quarantine"
        ).fetchall()
        head = connection.execute("SELECT position FROM ledger_head").fetchone()
    assert head is not None
    return {row[0] for row in rows}, head[0]


def test_a_backup_under_load_restores_what_was_acknowledged_before_it_and_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "ledger.backup"
    record = Record()
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        token = run("token", "create", "reader", "--data-dir", str(data_dir)).stdout.strip()
        with Client(service.url, record):
            record.wait_for(200)
            before, _ = held(data_dir)
            done = run("backup", str(file), "--data-dir", str(data_dir))
            assert done.returncode == 0, done.stderr
            record.wait_for(50)
        after, _ = held(data_dir)
        again = run("backup", str(file), "--data-dir", str(data_dir))
        assert (again.returncode, "is there already" in again.stderr) == (2, True)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
    with data_directory() as data_dir:
        restored = run("restore", str(file), "--data-dir", str(data_dir))
        assert restored.returncode == 0, restored.stdout + restored.stderr
        verified = run("verify", "projections", "--data-dir", str(data_dir))
        assert verified.returncode == 0, verified.stdout + verified.stderr
        full = run("restore", str(file), "--data-dir", str(data_dir))
        assert (full.returncode, "there is a ledger in" in full.stderr) == (3, True)
        with serving(data_dir) as service:
            found, head = held(data_dir)
            assert before <= found <= after
            answer = service.deliver(push_started("again", "7", 1_764_000_000))
            assert answer.position == head + 1
            tokens = run("token", "list", "--data-dir", str(data_dir))
            assert "reader" in tokens.stdout
            listed = service.request("GET", "/v1/sessions", headers={"Authorization": f"Bearer {token}"})
            assert listed.status == 200
            settled(service)
            doctor = run("doctor", "--deep", "--data-dir", str(data_dir))
            assert doctor.returncode == 0, doctor.stdout


def test_a_database_of_the_users_own_is_backed_up_and_restored(
    system_postgres: str, system_template_database: str, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.backup"
    with (
        clone(system_postgres, system_template_database) as filled,
        clone(system_postgres, "template0") as empty,
    ):
        with connect(filled, application_name="test") as connection:
            store(connection, [any_event(f"room-{number % 3}") for number in range(50)])
        done = run("backup", str(file), "--database-url", filled.dsn, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["position"] == 50
        absent = run("doctor", "--database-url", empty.dsn)
        assert (absent.returncode, "there is no ledger in" in absent.stderr) == (3, True)
        restored = run("restore", str(file), "--database-url", empty.dsn)
        assert restored.returncode == 0, restored.stdout + restored.stderr
        with (
            connect(filled, application_name="test") as one,
            connect(empty, application_name="test") as other,
        ):
            assert list(reader.read_all(one)) == list(reader.read_all(other))
        again = run("restore", str(file), "--database-url", empty.dsn)
        assert again.returncode == 3


def test_reading_commands_make_no_store(tmp_path: Path) -> None:
    for command in (["doctor"], ["sessions"], ["backup", str(tmp_path / "file")], ["verify", "projections"]):
        done = run(*command, "--data-dir", str(tmp_path / "nowhere"))
        assert (done.returncode, done.stderr.startswith("streamledger: there is no ledger in")) == (3, True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_backup_is_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "not.backup"
    file.write_text("something else")
    with data_directory() as data_dir:
        done = run("restore", str(file), "--data-dir", str(data_dir))
    assert done.returncode == 1
    assert "is no backup of streamledger" in done.stderr
