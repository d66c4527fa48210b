"""The same service on a PostgreSQL of the user's own, with rights on its own schema and nothing else."""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.acceptance.serving import Service, run, serving, signed_now
from tests.deliveries import push_started, push_stopped, screenshot

NOW_S = int(time.time())
ROLE = "ledger_writer"
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
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute("DELETE FROM tenant.ledger_events")
    assert schemas == [("tenant",)]


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
