"""What drills have in common: the deadlines of the contract, and how long they go on."""

import os
import time
from typing import Final

from tests.acceptance.serving import Service
from tests.waiting import until

LONG: Final = bool(os.environ.get("STREAMLEDGER_TEST_DRILLS_LONG"))
"""Set it to anything for drills of many rounds: minutes instead of seconds."""
ROUNDS: Final = 25 if LONG else 2

ANSWER_S_MAX: Final = 10.0
"""Every delivery is answered within it, whatever the store does."""
BACK_S_MAX: Final = 5.0
"""After the return of the store, or the end of the embedded postmaster."""
LOST_NODE_S_MAX: Final = 15.0
ORPHAN_S_MAX: Final = 1.0
HEALTH_S_MAX: Final = 1.0


def settled(service: Service) -> None:
    """Returns when the counts that ride in later transactions are stored, and the store answers."""
    until(lambda: service.get("/health/ready").status == 200)
    time.sleep(2)  # each worker stores bare counts once a second


def unready(service: Service) -> str:
    """What `/health/ready` says is wrong, in time."""
    began_s = time.monotonic()
    answer = service.get("/health/ready")
    assert time.monotonic() - began_s < HEALTH_S_MAX
    assert answer.status == 503
    detail: str = answer.json()["detail"]
    return detail
