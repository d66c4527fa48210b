"""The same service on a PostgreSQL of the user's own, with rights on its own schema and nothing else."""

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.acceptance.serving import Service, data_directory, run, serving, signed_now
from tests.deliveries import push_started, push_stopped, screenshot

NOW_S = int(time.time())
ROLE = "ledger_writer"
JSON = {"Content-Type": "application/json"}
PASSWORD = "invented-for-this-test"


@pytest.fixture(scope="module")
def narrow_dsn(system_postgres: str) -> Iterator[str]:
    """A role that owns one schema of one database; it may create nothing else there."""
    name = "external"
    with psycopg.connect(system_postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        connection.execute(f"GRANT CONNECT ON DATABASE {name} TO {ROLE}")
    with psycopg.connect(make_conninfo(system_postgres, dbname=name), autocommit=True) as connection:
        connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        connection.execute(f"CREATE SCHEMA tenant AUTHORIZATION {ROLE}")
    yield make_conninfo(system_postgres, dbname=name, user=ROLE, password=PASSWORD)
    with psycopg.connect(system_postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE {ROLE}")


@pytest.fixture(scope="module")
def external(narrow_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data_dir = tmp_path_factory.mktemp("external") / "unused"
    facts = conninfo_to_dict(narrow_dsn)
    url = f"postgresql://{ROLE}:{PASSWORD}@/external?host={facts['host']}&port={facts['port']}"
    with serving(data_dir, database_url=url, database_schema="tenant") as service:
        yield service
    assert not data_dir.exists()


def test_a_role_with_one_schema_is_enough_for_the_whole_way(external: Service, narrow_dsn: str) -> None:
    sequence = "2210464508206756938"
    for body in (
        push_stopped("room", sequence, NOW_S, push_duration="60000"),
        screenshot("room", NOW_S - 30),
        push_started("room", sequence, NOW_S - 60),
    ):
        assert external.deliver(body).status == 200
    assert external.post(signed_now(push_started("room", "9", NOW_S), ahead_s=-5)).status == 200
    assert external.post(b"not json").status == 400
    session = external.read(f"/v1/sessions/{sequence}")
    assert (session["state"], session["screenshots"]["count"]) == ("ended", 1)
    timeline = external.read(f"/v1/sessions/{sequence}/timeline")["items"]
    assert [entry["kind"] for entry in timeline] == ["push_started", "screenshot", "push_stopped"]
    doctor = run("doctor", "--json", database_url=narrow_dsn, database_schema="tenant")
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    with psycopg.connect(narrow_dsn, autocommit=True) as connection:
        schemas = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tableowner = %s", (ROLE,)
        ).fetchall()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):  # before any trigger is asked
            connection.execute("DELETE FROM tenant.ledger_events")
    assert schemas == [("tenant",)]


def test_rebuild_repair_verify_export_and_import_need_no_more_rights(
    external: Service, narrow_dsn: str, tmp_path: Path
) -> None:
    sequence = "2210464508206756999"
    external.deliver(push_started("rebuilt", sequence, NOW_S - 60))
    external.deliver(push_stopped("rebuilt", sequence, NOW_S))
    external.read(f"/v1/sessions/{sequence}")

    def command(*arguments: str) -> dict[str, Any] | list[dict[str, Any]]:
        done = run(*arguments, "--json", database_url=narrow_dsn, database_schema="tenant")
        assert done.returncode == 0, done
        found: dict[str, Any] | list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def rebuilt(*arguments: str) -> dict[str, Any]:
        found = command("rebuild", *arguments)
        assert isinstance(found, dict)
        return found

    assert [
        each["live_digest"] == each["rebuilt_digest"] for each in rebuilt("--workers", "2")["standings"]
    ] == [True, True, True]
    with psycopg.connect(narrow_dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM tenant.sessions WHERE stream_id = 'rebuilt'")
        connection.execute("UPDATE tenant.timeline SET received_ms = 1 WHERE stream_id = 'rebuilt'")
    found = {each["table"]: each for each in rebuilt("--dry-run")["differences"]}
    assert (found["sessions"]["added"], found["timeline"]["changed"]) == (1, 2)
    found = {each["table"]: each for each in rebuilt("--stream", "rebuilt")["differences"]}
    assert (found["sessions"]["added"], found["timeline"]["changed"]) == (1, 2)
    verified = command("verify", "projections")
    assert [each["sound"] for each in verified if isinstance(each, dict)] == [True, True, True]
    assert external.read(f"/v1/sessions/{sequence}")["state"] == "ended"

    path = tmp_path / "events.ndjson.gz"
    done = run("export", str(path), database_url=narrow_dsn, database_schema="tenant")
    assert done.returncode == 0, done
    imported = command("import", str(path))
    assert isinstance(imported, dict)
    assert imported[str(path)]["stored"] == 0
    assert imported[str(path)]["known"] == external.last_position
    with data_directory(made=True) as elsewhere:  # and from PostgreSQL 15 to the embedded one
        done = run("import", str(path), "--data-dir", str(elsewhere))
        assert f"{external.last_position} events stored" in done.stdout, done
        done = run("rebuild", "--json", "--data-dir", str(elsewhere))
        assert done.returncode == 0, done
        again = tmp_path / "again.ndjson.gz"
        assert run("export", str(again), "--data-dir", str(elsewhere)).returncode == 0
    # The import is an act of its own: positions differ, and with them the digests of rows that have one.
    assert deliveries_in(again) == deliveries_in(path)


def deliveries_in(path: Path) -> list[tuple[str, str, str]]:
    """Id, name and body of each delivery of an export, without acts."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[1:]]
    return [
        (line["delivery_id"], line["name"], line["body"]) for line in lines if line["originator"] != "~admin"
    ]


def test_a_database_that_only_reads_stores_nothing_shows_everything_and_is_found_again(
    external: Service, narrow_dsn: str, system_postgres: str
) -> None:
    external.deliver(push_started("read-only", "5", NOW_S - 60))
    aside = external.post(signed_now(push_started("read-only", "6", NOW_S), ahead_s=-5))
    assert aside.status == 200
    held = external.read("/v1/quarantine")["items"][0]["id"]

    def only_read(value: str) -> None:
        with psycopg.connect(system_postgres, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE external SET default_transaction_read_only = {value}")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'external'"
            )

    def ready(status: int) -> None:
        deadline = time.monotonic() + 30
        while (answer := external.get("/health/ready")).status != status:
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)

    only_read("on")
    try:
        ready(503)
        for path in (
            "/",
            "/sessions/5",
            "/deliveries",
            "/quarantine",
            "/system",
            "/v1/sessions/5",
            "/metrics",
        ):
            assert external.get(path).status == 200, path
        said = json.dumps({"reason": "as asked"}).encode()
        for path in (f"/v1/quarantine/{held}/release", "/v1/projections/rebuild"):
            answer = external.request("POST", path, said if "quarantine" in path else b"{}", JSON)
            assert (answer.status, "read-only" in answer.json()["detail"]) == (503, True), answer
        assert external.post(signed_now(push_started("read-only", "7", NOW_S))).status == 503
        done = run("rebuild", database_url=narrow_dsn, database_schema="tenant")
        assert (done.returncode, "read-only" in done.stderr) == (3, True), done
    finally:
        only_read("off")
    ready(200)
    position = external.deliver(push_started("read-only", "7", NOW_S))
    assert external.read("/v1/sessions/7")["state"] == "live", position
    assert "Traceback" not in external.log.read_text()


def test_the_password_of_the_database_is_in_no_log_and_no_answer(external: Service) -> None:
    assert PASSWORD not in external.log.read_text()
    assert PASSWORD.encode() not in external.get("/health/ready").body
    for pid in (external.process.pid,):
        assert PASSWORD.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_database_that_cannot_be_reached_ends_it_with_a_sentence(tmp_path: Path) -> None:
    url = f"postgresql://someone:{PASSWORD}@/nowhere?host={tmp_path}"
    ended = run("serve", "--port", "0", database_url=url)
    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1].startswith("streamledger: the store cannot be reached")
    assert PASSWORD not in ended.stderr
