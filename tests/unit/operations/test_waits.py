"""What a delivery may wait for one after the other, in sum."""

from streamledger.ledger.appender import WATCH_S
from streamledger.operations.absences import LOOK_S_MAX
from streamledger.settings import Settings
from tests.drills.drill import ANSWER_S_MAX


def test_an_expired_delivery_too_has_its_answer_in_time() -> None:
    assert LOOK_S_MAX + Settings().store_wait_s_max + WATCH_S < ANSWER_S_MAX
