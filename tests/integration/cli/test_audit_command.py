"""The command `audit` on a ledger: the report for people, JSON, CSV."""

import csv
import json
from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from streamledger.cli.audit import audit
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from tests.received import BEGAN_S, SCHEMA, STRANGER, keep, received, set_aside, signed, started

DAY_S = 86400
PERIOD = ("--from", str(BEGAN_S), "--to", str(BEGAN_S + 2 * DAY_S))


@pytest.fixture
def ledger(database: Database) -> Database:
    """A start and its replay after a day; a forgery whose stream has the name of a formula."""
    captured = signed(started("room", "77"), BEGAN_S + 600)
    with connect(database, application_name="test") as connection:
        keep(
            connection,
            [received(captured, BEGAN_S), received(captured, BEGAN_S + DAY_S, source_ip=STRANGER)],
            [set_aside(started("=1+1", "78"), BEGAN_S, "bad_signature", STRANGER)],
        )
        catch_up(connection, SCHEMA, PROJECTIONS)
    return database


def run(database: Database, arguments: Sequence[str]) -> str:
    result = CliRunner().invoke(
        audit, [*arguments, "--database-url", database.dsn], env={"COLUMNS": "200"}, catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_report_can_be_read(ledger: Database) -> None:
    text = run(ledger, PERIOD)
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert "2025-11-24 2 1 1" in lines  # received, believed, bad_signature
    assert "2025-11-25 1 1 1" in lines  # received, believed, replayed
    assert "in all 3 2 1 1" in lines
    assert f"from {STRANGER}, event type 1, stream room, sequence 77" in text
    assert "1 d after the first, position" in text
    assert "its t had passed 23 h 50 min before" in text
    assert "no delivery of this notification was believed before" in text


def test_a_period_without_deliveries_says_so(ledger: Database) -> None:
    assert "None." in run(ledger, ("--from", "2024-01-01T00:00:00Z", "--to", "2024-01-02T00:00:00Z"))
    assert "Nothing suspicious." in run(ledger, (*PERIOD, "--class", "conflict"))


def test_json_is_the_report_of_the_http_interface(ledger: Database) -> None:
    report = json.loads(run(ledger, (*PERIOD, "--json")))
    assert report["from"] == "2025-11-24T00:00:00Z"
    assert [day["received"] for day in report["days"]] == [2, 1, 0]
    assert {each["class"] for each in report["suspicious"]} == {"replay", "bad_signature"}


def test_csv_holds_the_days_or_the_list_and_no_formula(ledger: Database) -> None:
    days = list(csv.DictReader(run(ledger, (*PERIOD, "--csv")).splitlines()))
    assert next((day["day"], day["received"], day["bad_signature"]) for day in days) == (
        "2025-11-24",
        "2",
        "1",
    )
    listed = list(csv.DictReader(run(ledger, (*PERIOD, "--csv", "--suspicious")).splitlines()))
    assert [each["class"] for each in listed] == ["replay", "bad_signature"]
    assert listed[1]["stream_id"] == "'=1+1"
