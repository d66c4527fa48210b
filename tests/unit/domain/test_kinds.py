"""The table of kinds says what the protocol says, each thing once."""

from streamledger.domain.kinds import (
    EVENT_TYPE_BY_NUMBER,
    KINDS,
    REPLY_TIMEOUT_S,
    ROW_BY_EVENT_TYPE,
    schedules_of,
)
from streamledger.domain.notification import Kind
from streamledger.tencent.bodies import BODY_BY_EVENT_TYPE


def test_each_kind_and_each_event_type_stands_once() -> None:
    assert sorted(row.kind for row in KINDS) == sorted(Kind)
    assert sum(len(row.event_types) for row in KINDS) == len(EVENT_TYPE_BY_NUMBER) == 19
    assert {number for number, row in ROW_BY_EVENT_TYPE.items() if row.carries_sequence} == {0, 1, 321}


def test_what_names_its_push_is_not_attributed_by_time() -> None:
    assert [row.kind for row in KINDS if row.carries_sequence and row.is_attributed] == []


def test_each_modelled_event_type_has_a_struct_for_its_bodies() -> None:
    modelled = {number for number, row in ROW_BY_EVENT_TYPE.items() if row.kind is not Kind.OTHER}
    assert modelled == BODY_BY_EVENT_TYPE.keys()


def test_the_retry_schedules_are_those_documented() -> None:
    def plain(event_type: int) -> list[tuple[str, int, int]]:
        return [(one.era, one.interval_s, one.retries) for one in schedules_of(event_type)]

    for event_type in (0, 1, 100):
        assert plain(event_type) == [("2016", 3, 3), ("seed", 60, 3), ("today", 60, 12)]
    assert plain(200) == [("2016", 3, 3), ("seed", 60, 3), ("today", 120, 5)]
    assert plain(317) == [("today", 60, 12)]
    assert plain(332) == []
    assert REPLY_TIMEOUT_S == 20
