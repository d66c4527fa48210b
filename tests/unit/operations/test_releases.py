"""Releases without a store: a sentence and a reason to try again, not a fault of ours."""

from typing import Any

import psycopg
import pytest

from streamledger.domain.errors import ParameterInvalid, StoreUnavailable
from streamledger.ledger.acts import Actor
from streamledger.ledger.quarantine import QuarantineFilter
from streamledger.operations.key_ring import KeyRing
from streamledger.operations.release import Releases, ReleaseWish
from tests.deliveries import LEDGER

ID = "01a20bc0-5bc5-72a1-8b81-25cf27daed35"
ACTOR = Actor(by="operator", reason="it is theirs", at_us=1)


def away() -> psycopg.Connection[Any]:
    raise psycopg.OperationalError("the database system is shutting down\nDETAIL: not for strangers")


@pytest.fixture
def releases() -> Releases:
    return Releases(away, LEDGER, KeyRing([], None), grace_s=0, ahead_s_max=900)


def test_a_store_that_is_away_is_said_to_be_away(releases: Releases) -> None:
    with pytest.raises(StoreUnavailable, match=r"shutting down$"):
        releases.one(ID, ACTOR)
    with pytest.raises(StoreUnavailable):
        releases.by_filter(ReleaseWish(wanted=QuarantineFilter(reason="expired")), ACTOR)


def test_a_filter_that_names_nothing_is_refused_before_the_store_is_asked(releases: Releases) -> None:
    for wanted in (QuarantineFilter(), QuarantineFilter(released=False)):
        with pytest.raises(ParameterInvalid, match="filter"):
            releases.by_filter(ReleaseWish(wanted=wanted), ACTOR)
