"""A rebuild judges repeated deliveries by the senders of its own history, whatever the live table has."""

import pytest

from streamledger.domain.senders import Senders, Shown
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database
from streamledger.readmodel.projections.registry import PROJECTIONS
from tests.integration.readmodel.histories import opened, project, rows_of
from tests.received import BEGAN_S, keep, received, screenshot, started

KNOWN = "198.51.100.8"


@pytest.mark.parametrize("workers", [0, 2])
def test_who_is_known_is_told_by_history_and_not_by_the_live_rows(database: Database, workers: int) -> None:
    shown = [
        received(screenshot("other", BEGAN_S + second), BEGAN_S + second, source_ip=KNOWN)
        for second in range(1, 5)
    ]
    again = [
        received(started("room", "1"), BEGAN_S + 10, t_s=BEGAN_S + 700),
        # Off every schedule but for one who is known: a step reaches to 100 s for them.
        received(started("room", "1"), BEGAN_S + 100, t_s=BEGAN_S + 790, source_ip=KNOWN),
    ]
    with opened(database) as connection:
        keep(connection, [*shown, *again])
        project(connection, database.schema)
        rows = rows_of(connection)
        assert connection.execute("SELECT judged_as FROM repeats").fetchall() == [("retry",)]
        connection.execute("DELETE FROM addresses")
        done = rebuild(database, Order(projections=PROJECTIONS, workers=workers), clock_us=lambda: 1)
        assert done.switched
        assert rows_of(connection) == rows


@pytest.mark.parametrize("workers", [0, 2])
def test_what_the_fold_of_senders_cannot_take_is_parked_and_the_others_are_told(
    database: Database, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, poison = Senders.take, 3

    def stumbling(self: Senders, shown: Shown) -> list[int]:
        if shown.position == poison:
            raise KeyError(shown.source_ip)
        return take(self, shown)

    monkeypatch.setattr(Senders, "take", stumbling)
    shown = [
        received(screenshot("other", BEGAN_S + second), BEGAN_S + second, source_ip=KNOWN)
        for second in range(1, 6)
    ]
    with opened(database) as connection:
        keep(connection, shown)
        project(connection, database.schema)
        rows = rows_of(connection)
        parked = "SELECT projection, position, error FROM parked"
        known = "SELECT known_from FROM addresses"
        assert connection.execute(known).fetchall() == [(4,)]
        assert connection.execute(parked).fetchall() == [("addresses", poison, f"KeyError: '{KNOWN}'")]
        done = rebuild(database, Order(projections=PROJECTIONS, workers=workers), clock_us=lambda: 1)
        assert done.switched
        assert done.parked["addresses"] == 1
        assert rows_of(connection) == rows
        assert connection.execute(known).fetchall() == [(4,)]
        assert connection.execute(parked).fetchall() == [("addresses", poison, f"KeyError: '{KNOWN}'")]


@pytest.mark.parametrize("before", ["nothing", "new ones", "one signed for next year"])
def test_who_is_known_of_old_logs_does_not_go_by_what_the_ledger_had_before(
    database: Database, before: str
) -> None:
    later_s = BEGAN_S + 90_000
    had = {
        "nothing": [],
        "new ones": [received(screenshot("other", later_s), later_s, t_s=later_s + 600)],
        "one signed for next year": [
            received(screenshot("other", BEGAN_S), BEGAN_S, t_s=BEGAN_S + 31_536_000)
        ],
    }
    shown = [
        received(
            screenshot("other", BEGAN_S + second),
            BEGAN_S + second,
            t_s=BEGAN_S + second + 600,
            source_ip=KNOWN,
        )
        for second in range(1, 5)
    ]
    again = [
        received(started("room", "1"), BEGAN_S + 10, t_s=BEGAN_S + 610),
        received(started("room", "1"), BEGAN_S + 100, t_s=BEGAN_S + 610, source_ip=KNOWN),
    ]
    with opened(database) as connection:
        keep(connection, [*had[before], *shown, *again])
        project(connection, database.schema)
        assert connection.execute("SELECT judged_as FROM repeats").fetchall() == [("retry",)]
