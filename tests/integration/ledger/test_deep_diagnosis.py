"""What `doctor --deep` finds though every sum is right: a hidden gap, an unreadable event, a reason."""

import pytest

from streamledger.ledger.application import Batch
from streamledger.operations.diagnose import diagnose
from streamledger.postgres.connection import Database, connect
from tests.deliveries import AMPLE, LEDGER, any_event, quarantined

APPEND = (
    "WITH head AS (UPDATE ledger_head SET position = position + 1 RETURNING position)"
    " INSERT INTO ledger_events SELECT 'room', {version}, topic, {state}, (SELECT position FROM head),"
    " gen_random_uuid() FROM ledger_events LIMIT 1"
)


@pytest.mark.parametrize(
    ("damage", "check", "told"),
    [
        ("SELECT 1", "", ""),
        (APPEND.format(version=9, state="state"), "events", "0 cannot be read, 1 streams have gaps"),
        (APPEND.format(version=4, state="'\\x00'::bytea"), "events", "1 cannot be read, 0 streams"),
        ("UPDATE quarantine SET reason = 'too_far_ahead'", "set aside", "expired: 0 rows, 1 counted"),
    ],
)
def test_what_sums_do_not_show_is_found(database: Database, damage: str, check: str, told: str) -> None:
    batch = Batch(events=[any_event() for _ in range(3)], quarantined=[quarantined("expired")])
    with connect(database, application_name="test") as connection:
        LEDGER.receive(connection, batch, AMPLE)
        connection.execute(damage.encode())
        assert [each for each in diagnose(connection, 0) if each.level == "bad"] == []
        bad = {each.check: each.detail for each in diagnose(connection, 0, deep=True) if each.level == "bad"}
    assert list(bad) == ([check] if check else [])
    assert told in bad.get(check, "")


def test_a_database_that_takes_no_writes_is_bad(database: Database) -> None:
    with connect(database, application_name="test") as connection:
        connection.execute("SET default_transaction_read_only = on")
        bad = {each.check: each.detail for each in diagnose(connection, 0) if each.level == "bad"}
    assert list(bad) == ["durability"]
    assert "takes no writes" in bad["durability"]
