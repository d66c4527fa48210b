"""The fold of one push, what is odd about it, and what speaks against it."""

import itertools
from typing import Any

import pytest

from streamledger.domain import session as fold
from streamledger.domain.anomalies import EXPLANATIONS, AnomalyCode, anomalies_of
from streamledger.domain.derivation import Evidence, duration_of, health_of, presence_of
from streamledger.domain.session import SessionState
from streamledger.domain.suspicion import RULES
from streamledger.settings import FIELDS
from streamledger.tencent.abnormal import abnormal_name
from streamledger.tencent.reader import notification_of
from tests.house.rooms import ROOT

START = {"event_type": 1, "stream_id": "room", "sequence": "77", "event_time": 1000, "app": "a.example"}
STOP = {"event_type": 0, "stream_id": "room", "sequence": "77", "event_time": 1060, "push_duration": "60200"}
MINUTE_MS = 60_000


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
    assert fold.started_ms(folded(STOP)) == (1_060_000 - 60_200, "inferred")
    assert codes(STOP) == ["start_missing"]


def test_of_conflicting_starts_the_earliest_counts_in_any_order() -> None:
    bodies = [START, START | {"event_time": 998}, START | {"node": "192.0.2.1"}, STOP]
    states = [folded(*order) for order in itertools.permutations(bodies)]
    assert {fold.started_ms(state) for state in states} == {(998_000, "reported")}
    assert {len(state.starts) for state in states} == {3}
    assert codes(*bodies) == ["start_conflict"]


def test_the_duration_is_reported_else_measured_else_running() -> None:
    assert duration_of(folded(START, STOP), None) == (60_200, "reported")
    without = {name: value for name, value in STOP.items() if name != "push_duration"}
    assert duration_of(folded(START, without), None) == (60_000, "measured")
    assert duration_of(folded(START), 1_010_000) == (10_000, "running")
    assert duration_of(folded(without), None) == (None, None)


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ([START, STOP], []),
        ([START, STOP | {"push_duration": "63000"}], ["duration_mismatch"]),
        ([START, STOP | {"app": "b.example"}], ["place_conflict"]),
        ([error(1, (6, 1))], ["push_errors_only"]),
        ([STOP | {"event_time": 990}, START], ["stop_before_start"]),
        ([START, STOP, STOP | {"event_time": 1061}], ["stop_conflict"]),
        ([START | {"width": "wide"}], ["unreadable_field"]),
        ([START | {"sequence": "000000000000000000"}], ["sequence_zero"]),
    ],
)
def test_each_anomaly_is_found(bodies: list[dict[str, Any]], expected: list[str]) -> None:
    assert codes(*bodies) == expected


def test_a_sequence_of_zeros_is_kept_as_it_was_sent() -> None:
    assert notification_of(START | {"sequence": "0000"}).sequence == "0000"
    assert notification_of(START | {"sequence": 0}).sequence == "0"


def test_every_anomaly_code_is_explained_and_documented() -> None:
    assert set(EXPLANATIONS) == set(AnomalyCode)
    page = (ROOT / "docs" / "anomalies.md").read_text("utf-8")
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert rows == [code.value for code in AnomalyCode]
    for explained in EXPLANATIONS.values():
        assert explained.cause in page
        assert explained.advice in page


def test_a_push_error_that_cannot_be_read_whole_is_an_anomaly_and_not_lost() -> None:
    broken = error(5000, (6, 2)) | {"abnormal_event": "oops", "report_interval": "soon"}
    for order in itertools.permutations([START, broken, error(9000, (6, 4))]):
        state = folded(*order)
        assert state.health.reports == 2
        assert [(each.code, each.detail) for each in anomalies_of(state)] == [
            ("unreadable_field", "abnormal_event cannot be read"),
            ("unreadable_field", "report_interval cannot be read"),
        ]


def test_push_errors_are_summed_with_the_worst_report() -> None:
    reports = [error(5000, (6, 2)), error(20_000, (6, 4), (99, 1)), error(10_000, (7, 5))]
    for order in itertools.permutations(reports):
        health = health_of(folded(*order), abnormal_name)
        assert health is not None
        assert (health.reports, health.events) == (3, 12)
        assert [(each.type, each.count) for each in health.counts] == [(6, 6), (7, 5), (99, 1)]
        assert health.counts[0].name == "video frames arrived too far apart"
        assert health.counts[2].name == "type 99"
        assert (health.worst_at, health.worst_events) == ("1970-01-01T00:00:10Z", 5)
        assert (health.first_at, health.last_at) == ("1970-01-01T00:00:05Z", "1970-01-01T00:00:20Z")
    assert health_of(folded(START), abnormal_name) is None


def test_an_unknown_type_that_names_a_push_is_no_push_error() -> None:
    state = folded(START, {"event_type": 999, "stream_id": "room", "sequence": "77"})
    assert (state.health.reports, state.others) == (0, 1)


def against(now_ms: int, *bodies: dict[str, Any], **evidence: Any) -> tuple[str, list[str]]:
    state = folded(*(bodies or (START,)))
    return presence_of(state, Evidence(now_ms=now_ms, silence_ms_max=10 * MINUTE_MS, **evidence))


def test_silence_makes_a_session_suspect_and_a_sign_makes_it_live_again() -> None:
    began_ms = 1_000_000
    assert against(began_ms + 10 * MINUTE_MS) == ("live", [])
    assert against(began_ms + 10 * MINUTE_MS + 1) == ("suspect", ["silence"])
    assert against(began_ms + 20 * MINUTE_MS, latest_ms=began_ms + 15 * MINUTE_MS) == ("live", [])


def test_a_newer_push_speaks_against_one_that_gave_no_sign_since() -> None:
    newer = {"newer_push_ms": 1_100_000}
    assert against(1_100_000 + MINUTE_MS, **newer) == ("live", [])
    assert against(1_100_001 + MINUTE_MS, **newer) == ("suspect", ["newer_push"])
    assert against(1_100_001 + MINUTE_MS, latest_ms=1_110_000, **newer) == ("live", [])
    assert against(1_100_001 + MINUTE_MS, START, error(1_110_000, (6, 1)), **newer) == ("live", [])


def test_a_recording_that_ended_speaks_against_one_that_gave_no_sign_since() -> None:
    ended = {"recording_ended_ms": 1_100_000}
    assert against(1_100_000 + 5 * MINUTE_MS, **ended) == ("live", [])
    assert against(1_100_001 + 5 * MINUTE_MS, **ended) == ("suspect", ["recording_ended"])
    assert against(1_100_001 + 5 * MINUTE_MS, latest_ms=1_200_000, **ended) == ("live", [])


def test_a_late_stop_heals_whatever_was_suspected() -> None:
    assert against(10**12, START, STOP, newer_push_ms=1) == ("ended", [])


def test_every_rule_names_a_setting_and_is_documented() -> None:
    page = (ROOT / "docs" / "sessions.md").read_text("utf-8")
    for rule in RULES:
        assert rule.setting in FIELDS
        assert f"| `{rule.code}` | {rule.text} |" in page
