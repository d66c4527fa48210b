"""The fold of one push, what is odd about it, and what speaks against it."""

import itertools
from typing import Any, get_args

import pytest

from streamledger.domain import session as fold
from streamledger.domain.anomalies import AnomalyCode, anomalies_of
from streamledger.domain.derivation import Evidence, duration_of, health_of, presence_of
from streamledger.domain.notification import believable
from streamledger.domain.session import SessionState
from streamledger.domain.suspicion import Interval, Signs, SuspectLimits, Suspicion
from streamledger.settings import FIELDS
from streamledger.tencent.abnormal import abnormal_name
from streamledger.tencent.reader import notification_of
from tests.house.rooms import ROOT

T_S = 1_713_731_000
T_MS = T_S * 1000
START = {"event_type": 1, "stream_id": "room", "sequence": "77", "event_time": T_S, "app": "a.example"}
STOP = {
    "event_type": 0,
    "stream_id": "room",
    "sequence": "77",
    "event_time": T_S + 60,
    "push_duration": "60200",
}
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
DAY_MS = 24 * HOUR_MS


def folded(*bodies: dict[str, Any]) -> SessionState:
    state = SessionState(stream_id="room", sequence=str(bodies[0]["sequence"]))
    for position, body in enumerate(bodies):
        state = fold.take(state, notification_of(body), position)
    return state


def codes(*bodies: dict[str, Any]) -> list[str]:
    return [anomaly.code for anomaly in anomalies_of(folded(*bodies))]


def error(at_ms: int, *counts: tuple[int, int]) -> dict[str, Any]:
    return {
        "event_type": 321,
        "stream_id": "room",
        "sequence": "77",
        "data_time": at_ms,
        "report_interval": 5000,
        "abnormal_event": [{"type": number, "count": count} for number, count in counts],
    }


def test_a_stop_alone_gives_an_inferred_start_to_the_millisecond() -> None:
    assert fold.started_ms(folded(STOP)) == (T_MS - 200, "inferred")
    assert codes(STOP) == ["start_missing"]


UNTIMED = STOP | {"event_time": "soon"}


@pytest.mark.parametrize(
    ("lasted", "over_s"),
    [
        ("60200", 60.2),
        (None, 0),
        (str(20 * 60 * 1000), 20 * 60),
        (str(21 * 60 * 1000), 0),
        (str(30 * 365 * 86_400 * 1000), 0),
        (2**63 - 1, 0),
    ],
)
def test_a_push_is_over_by_its_duration_unless_its_stop_came_too_early_for_that(
    lasted: str | int | None, over_s: float
) -> None:
    state = folded(START)
    stop = UNTIMED | {"push_duration": lasted}
    for position, minute in enumerate((90, 5), start=1):  # of two copies the earlier tells
        received_ms = T_MS + minute * MINUTE_MS
        state = fold.take(state, notification_of(stop), position, received_ms=received_ms)
    assert fold.ended_ms(state) is None
    assert fold.over_ms(state) == T_MS + over_s * 1000


def test_of_conflicting_starts_the_earliest_counts_in_any_order() -> None:
    bodies = [START, START | {"event_time": T_S - 2}, START | {"node": "192.0.2.1"}, STOP]
    states = [folded(*order) for order in itertools.permutations(bodies)]
    assert {fold.started_ms(state) for state in states} == {(T_MS - 2000, "reported")}
    assert {len(state.starts) for state in states} == {3}
    assert codes(*bodies) == ["start_conflict"]


def test_the_duration_is_reported_else_measured_else_running_or_up_to_the_last_sign() -> None:
    signs = Signs(latest_ms=T_MS + 4000, heard=True)
    now = Evidence(now_ms=T_MS + 10_000, limits=SuspectLimits(silence_ms_max=1), signs=signs)
    assert duration_of(folded(START, STOP), "ended", now) == (60_200, "reported")
    without = {name: value for name, value in STOP.items() if name != "push_duration"}
    assert duration_of(folded(START, without), "ended", now) == (60_000, "measured")
    assert duration_of(folded(START), "live", now) == (10_000, "running")
    assert duration_of(folded(START), "suspect", now) == (4_000, "last_sign")
    assert duration_of(folded(without), "ended", now) == (None, None)


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([START, STOP], []),
        ([START, STOP | {"push_duration": "63000"}], ["duration_mismatch"]),
        ([START, STOP | {"app": "b.example"}], ["place_conflict"]),
        ([error(T_MS, (6, 1))], ["push_errors_only"]),
        ([START, STOP | {"app": "A.Example:1935"}], []),
        ([STOP | {"event_time": T_S - 5}, START], ["stop_before_start"]),
        ([STOP | {"event_time": T_S - 6}, START], ["start_after_stop", "stop_before_start"]),
        ([START, STOP, START | {"event_time": T_S + 66}], ["start_after_stop", "start_conflict"]),
        ([START, STOP, STOP | {"event_time": T_S + 61}], ["stop_conflict"]),
        ([START | {"width": "wide"}], ["unreadable_field"]),
        ([START | {"sequence": "000000000000000000"}], ["sequence_zero"]),
    ],
)
def test_each_anomaly_is_found(bodies: list[dict[str, Any]], expected: list[str]) -> None:
    assert codes(*bodies) == expected


def test_a_sequence_of_zeros_is_kept_as_it_was_sent() -> None:
    assert notification_of(START | {"sequence": "0000"}).sequence == "0000"
    assert notification_of(START | {"sequence": 0}).sequence == "0"


def rows_of(page: str) -> list[list[str]]:
    """The cells of the tables of a page whose rows begin with a code."""
    lines = (ROOT / "docs" / page).read_text("utf-8").splitlines()
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]


def test_every_anomaly_code_is_documented_with_its_cause_and_what_to_do() -> None:
    rows = rows_of("anomalies.md")
    assert [code for code, *_ in rows] == [code.value for code in AnomalyCode]
    assert all(cause and advice for _, cause, advice in rows)


def test_a_push_error_that_cannot_be_read_whole_is_an_anomaly_and_not_lost() -> None:
    broken = error(T_MS + 5000, (6, 2)) | {"abnormal_event": "oops", "report_interval": "soon"}
    for order in itertools.permutations([START, broken, error(T_MS + 9000, (6, 4))]):
        state = folded(*order)
        assert state.health.reports == 2
        assert [(each.code, each.detail) for each in anomalies_of(state)] == [
            ("unreadable_field", "abnormal_event cannot be read"),
            ("unreadable_field", "report_interval cannot be read"),
        ]


REPORTS: Any = [(5000, (6, 2)), (20_000, (6, 4), (99, 1)), (10_000, (7, 5))]


def test_push_errors_are_summed_with_the_worst_report() -> None:
    reports = [error(T_MS + at_ms, *counts) for at_ms, *counts in REPORTS]
    for order in itertools.permutations(reports):
        health = health_of(folded(*order), abnormal_name)
        assert health is not None
        assert (health.reports, health.events) == (3, 12)
        assert [(each.type, each.count) for each in health.counts] == [(6, 6), (7, 5), (99, 1)]
        assert health.counts[0].name == "video frames arrived too far apart"
        assert health.counts[2].name == "type 99"
        assert (health.worst_at, health.worst_events) == ("2024-04-21T20:23:30Z", 5)
        assert (health.first_at, health.last_at) == ("2024-04-21T20:23:25Z", "2024-04-21T20:23:40Z")
    assert health_of(folded(START), abnormal_name) is None


def test_an_unknown_type_that_names_a_push_is_no_push_error() -> None:
    state = folded(START, {"event_type": 999, "stream_id": "room", "sequence": "77"})
    assert (state.health.reports, state.others) == (0, 1)


def against(
    now_ms: int, *bodies: dict[str, Any], absences: tuple[Interval, ...] = (), **evidence: Any
) -> tuple[str, list[str]]:
    state = folded(*(bodies or (START,)))
    signs = {name: evidence.pop(name) for name in Signs.__struct_fields__ if name in evidence}
    told = Signs(heard="latest_ms" in signs, **signs)
    limits = SuspectLimits(silence_ms_max=10 * MINUTE_MS, absences=absences)
    return presence_of(state, Evidence(now_ms=now_ms, limits=limits, signs=told, **evidence))


def test_silence_makes_a_session_suspect_and_a_sign_makes_it_live_again() -> None:
    heard = {"latest_ms": T_MS}
    assert against(T_MS + 10 * MINUTE_MS, **heard) == ("live", [])
    assert against(T_MS + 10 * MINUTE_MS + 1, **heard) == ("suspect", ["silence"])
    assert against(T_MS + 20 * MINUTE_MS, latest_ms=T_MS + 15 * MINUTE_MS) == ("live", [])


def test_the_silence_that_counts_keeps_to_the_rhythm_of_the_push() -> None:
    heard = {"latest_ms": T_MS, "rhythm_ms": 2 * HOUR_MS}
    assert against(T_MS + 2 * HOUR_MS, **heard) == ("live", [])
    assert against(T_MS + 2 * HOUR_MS + 1, **heard) == ("suspect", ["silence"])


def test_time_in_which_nobody_was_there_to_hear_is_no_silence() -> None:
    away = ((T_MS + MINUTE_MS, T_MS + 4 * MINUTE_MS), (T_MS + 12 * MINUTE_MS, T_MS + 14 * MINUTE_MS))
    heard: dict[str, Any] = {"latest_ms": T_MS, "absences": away}
    assert against(T_MS + 15 * MINUTE_MS, **heard) == ("live", [])
    assert against(T_MS + 15 * MINUTE_MS + 1, **heard) == ("suspect", ["silence"])


def test_one_that_never_gave_a_sign_is_unheard_after_a_day_and_not_silent_before() -> None:
    assert against(T_MS + DAY_MS) == ("live", [])
    assert against(T_MS + DAY_MS + 1) == ("suspect", ["unheard"])


def test_a_type_that_is_not_modelled_makes_nobody_live() -> None:
    assert against(T_MS, {"event_type": 999, "stream_id": "room", "sequence": "77"}) == (
        "suspect",
        ["unheard"],
    )


def test_a_newer_push_speaks_against_one_that_gave_no_sign_since() -> None:
    newer_ms = T_MS + 100_000
    newer = {"newer_push_ms": newer_ms}
    assert against(newer_ms + MINUTE_MS, **newer) == ("live", [])
    assert against(newer_ms + 1 + MINUTE_MS, **newer) == ("suspect", ["newer_push"])
    assert against(newer_ms + 1 + MINUTE_MS, latest_ms=newer_ms + 1, **newer) == ("live", [])
    assert against(newer_ms + 1 + MINUTE_MS, START, error(newer_ms + 1, (6, 1)), **newer) == ("live", [])


def test_a_recording_that_ended_speaks_against_one_that_gave_no_sign_since() -> None:
    over_ms = T_MS + 100_000
    ended = {"recording_ended_ms": over_ms}
    assert against(over_ms + 5 * MINUTE_MS, **ended) == ("live", [])
    assert against(over_ms + 1 + 5 * MINUTE_MS, **ended) == ("suspect", ["recording_ended"])
    assert against(over_ms + 1 + 5 * MINUTE_MS, latest_ms=over_ms + 1, **ended) == ("live", [])


def test_a_time_far_ahead_of_its_earliest_receipt_is_no_time_whichever_copy_comes_first() -> None:
    ahead = notification_of(START | {"event_time": T_S + 1000})
    receipts_ms = [T_MS, T_MS + 100_000, T_MS + 200_000]
    for order in itertools.permutations(receipts_ms):
        state = SessionState(stream_id="room", sequence="77")
        for position, received_ms in enumerate(order):
            told = believable(ahead, received_ms)
            state = fold.take(state, told, position, received_ms=received_ms)
        state = fold.take(state, notification_of(START), 9, received_ms=T_MS)
        assert fold.started_ms(state) == (T_MS, "reported")
        assert [each.code for each in anomalies_of(state)] == ["start_conflict", "unreadable_field"]
    assert believable(ahead, T_MS + 100_000) == ahead
    assert believable(ahead, T_MS + 99_999).at_ms is None


def test_a_start_without_a_readable_time_is_a_sign_at_its_receipt() -> None:
    state = fold.take(
        SessionState(stream_id="room", sequence="77"),
        notification_of(START | {"event_time": "soon"}),
        1,
        received_ms=T_MS,
    )
    assert presence_of(state, Evidence(now_ms=T_MS + 1000, limits=SuspectLimits(silence_ms_max=1))) == (
        "live",
        [],
    )


def test_what_was_signed_long_before_it_happened_yields_to_what_was_not() -> None:
    forged, genuine = notification_of(STOP | {"event_time": T_S + 900}), notification_of(STOP)
    for order in itertools.permutations([(forged, True), (forged, True), (genuine, True), (genuine, False)]):
        state = SessionState(stream_id="room", sequence="77")
        for position, (told, early) in enumerate(order):
            state = fold.take(state, told, position, signed_early=early)
        assert fold.ended_ms(state) == T_MS + 60_000
        assert [claim.signed_early for claim in state.stops] == [False, True]
    alone = fold.take(SessionState(stream_id="room", sequence="77"), forged, 1, signed_early=True)
    assert fold.ended_ms(alone) == T_MS + 900_000


def test_a_count_that_has_come_to_its_limit_is_spoken_as_at_least() -> None:
    stops = [STOP | {"event_time": T_S + 60 + number} for number in range(12)]
    told = [each.detail for each in anomalies_of(folded(START, *stops)) if each.code == "stop_conflict"]
    assert told == ["at least 8 different stops were delivered"]


def test_a_late_stop_heals_whatever_was_suspected() -> None:
    assert against(10**12, START, STOP, newer_push_ms=1) == ("ended", [])


def test_every_rule_is_documented_with_the_setting_of_its_limit() -> None:
    reasons = [row for row in rows_of("sessions.md") if row[0] in get_args(Suspicion)]
    assert [code for code, *_ in reasons] == list(get_args(Suspicion))
    for _, means, limit in reasons:
        assert limit.removeprefix("STREAMLEDGER_").lower() in FIELDS
        assert limit.removeprefix("STREAMLEDGER_").lower() in means
