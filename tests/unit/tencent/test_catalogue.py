"""The catalogue and the errcodes say what the protocol says."""

import pytest

from streamledger.domain.notification import Kind
from streamledger.tencent.catalogue import EVENT_TYPES, KIND_BY_EVENT_TYPE, REPLY_TIMEOUT_S, schedules_of
from streamledger.tencent.errcodes import ERRCODES, ErrcodeClass, class_of, meaning_of


def test_each_event_type_is_listed_once_and_each_kind_is_reached() -> None:
    assert len(KIND_BY_EVENT_TYPE) == len(EVENT_TYPES) == 19
    assert set(KIND_BY_EVENT_TYPE.values()) == set(Kind)
    assert {entry.event_type for entry in EVENT_TYPES if entry.carries_sequence} == {0, 1, 321}


def test_the_retry_schedules_are_those_documented() -> None:
    def plain(event_type: int) -> list[tuple[str, int, int]]:
        return [(one.era, one.interval_s, one.retries) for one in schedules_of(event_type)]

    assert plain(0) == [("2016", 3, 3), ("seed", 60, 3), ("today", 60, 12)]
    assert plain(200) == [("2016", 3, 3), ("seed", 60, 3), ("today", 120, 5)]
    assert plain(317) == [("today", 60, 12)]
    assert plain(332) == []
    assert REPLY_TIMEOUT_S == 20


@pytest.mark.parametrize(
    ("expected", "errcodes"),
    [
        (ErrcodeClass.CLEAN, [1, 2, 3, 35]),
        (ErrcodeClass.CLIENT_NETWORK, [4, 12, 13, 14, 15, 16, 17]),
        (ErrcodeClass.CLIENT_CONTENT, [6, 7, 23, 33, 39]),
        (ErrcodeClass.IDLE, [8, 20]),
        (ErrcodeClass.PLATFORM, [5, 9, 10, 11, 24, 37, 38]),
        (ErrcodeClass.REFUSED, [18, 19]),
        (ErrcodeClass.REPLACED, [21]),
        (ErrcodeClass.UNKNOWN, [None, -1, 0, 22, *range(25, 33), 34, 36, 40, 2**63]),
    ],
)
def test_each_errcode_has_its_class(expected: ErrcodeClass, errcodes: list[int | None]) -> None:
    assert {class_of(errcode) for errcode in errcodes} == {expected}
    assert all(meaning_of(errcode) for errcode in errcodes)


def test_no_documented_errcode_is_left_to_the_unknown() -> None:
    assert ErrcodeClass.UNKNOWN not in {found for found, _ in ERRCODES.values()}
    assert "seed" in meaning_of(4)
    assert "today" in meaning_of(4)
