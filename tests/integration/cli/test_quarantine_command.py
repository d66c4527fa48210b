"""The command `quarantine`: what a stranger names breaks no table, and a dry run is one."""

import json
from collections.abc import Sequence

import pytest
from click.testing import CliRunner, Result

from streamledger.cli.main import cli
from streamledger.domain.errors import ParameterInvalid
from streamledger.ledger.quarantine import QuarantinedUnknown
from streamledger.operations.release import KeyUnknown
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.readmodel.projections.runner import catch_up
from tests.received import BEGAN_S, SCHEMA, STRANGER, keep, received, set_aside, signed, started

HOSTILE = ("[/red]", "[bold]room", ":smile:", "=cmd|' /C calc'!A0", "\uff1d1+1")


@pytest.fixture
def ledger(database: Database) -> Database:
    """Deliveries of streams with hostile names: believed, and set aside."""
    bodies = [started(name, str(number)) for number, name in enumerate(HOSTILE)]
    with connect(database, application_name="test") as connection:
        keep(
            connection,
            [received(signed(body, BEGAN_S + 600), BEGAN_S) for body in bodies],
            [set_aside(body, BEGAN_S, "bad_signature", STRANGER) for body in bodies],
        )
        catch_up(connection, SCHEMA, PROJECTIONS)
    return database


def run(database: Database, arguments: Sequence[str]) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--database-url", database.dsn], env={"COLUMNS": "200"})


def released(database: Database) -> int:
    listed = run(database, ("quarantine", "list", "--released", "--json"))
    return len(json.loads(listed.stdout)["items"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("quarantine", "list"),
        ("sessions",),
        ("session", "0"),
        ("explain", "0"),
        ("timeline", "1"),
        ("audit", "--from", str(BEGAN_S), "--to", str(BEGAN_S + 1)),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_name_that_looks_like_markup_is_shown_as_it_is(ledger: Database, arguments: Sequence[str]) -> None:
    result = run(ledger, arguments)
    assert result.exit_code == 0, result.exception
    if arguments[0] not in ("timeline", "explain"):
        assert HOSTILE[0] in result.output


def test_a_cell_of_the_list_is_no_formula(ledger: Database) -> None:
    period = ("--from", str(BEGAN_S), "--to", str(BEGAN_S + 1))
    lines = run(ledger, ("audit", *period, "--suspicious", "--csv")).stdout
    assert ",'=cmd" in lines or ",\"'=cmd" in lines
    assert ",'\uff1d1+1" in lines


def test_a_dry_run_of_one_delivery_releases_nothing_and_the_second_release_says_so(ledger: Database) -> None:
    listed = json.loads(run(ledger, ("quarantine", "list", "--json")).stdout)["items"]
    one = ("quarantine", "release", listed[0]["id"], "--because", "it is theirs")
    dry = run(ledger, (*one, "--dry-run"))
    assert (dry.exit_code, dry.output) == (0, "would be released: 1\n")
    assert released(ledger) == 0
    report = json.loads(run(ledger, (*one, "--json")).stdout)
    assert (report["released"], report["skipped"]) == (1, {})
    again = json.loads(run(ledger, (*one, "--json")).stdout)
    assert (again["released"], again["skipped"]) == (0, {"released_before": 1})
    assert again["first_position"] == report["first_position"]
    assert released(ledger) == 1


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("no-uuid",), ParameterInvalid),
        (("01a20bc0-5bc5-72a1-8b81-25cf27daed35",), QuarantinedUnknown),
        (("--since", "some day"), SystemExit),
        (("--verify-with", "nobody"), KeyUnknown),
        (("--stream", "no\udcff-utf-8"), ParameterInvalid),
        (("01a20bc0-5bc5-72a1-8b81-25cf27daed35", "--first-only"), SystemExit),
        (("01a20bc0-5bc5-72a1-8b81-25cf27daed35", "--limit", "1"), SystemExit),
        (("01a20bc0-5bc5-72a1-8b81-25cf27daed35", "--reason", "expired"), SystemExit),
        ((), SystemExit),
        (("--first-only",), SystemExit),
    ],
)
def test_what_cannot_be_meant_is_refused_and_releases_nothing(
    ledger: Database, arguments: Sequence[str], fault: type[BaseException]
) -> None:
    result = run(ledger, ("quarantine", "release", *arguments, "--because", "x"))
    assert isinstance(result.exception, fault), result.output
    assert released(ledger) == 0
