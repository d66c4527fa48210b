"""Laws of the histories that the simulator draws."""

from itertools import pairwise

import msgspec
import pytest

from streamledger.domain.notification import Kind
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.truth import Fact, History, Shape

STARTS_AT_MS = 1_713_731_478_000
SHAPE = Shape(streams=20, sessions_per_stream=4, duration_s=3600)


def drawn(seed: int = 1, shape: Shape = SHAPE, starts_at_ms: int = STARTS_AT_MS) -> History:
    random = randomness(seed, starts_at_ms, "history")
    return generate(shape, starts_at_ms=starts_at_ms, random=random)


@pytest.fixture(scope="module")
def history() -> History:
    return drawn()


def facts_of(history: History, kind: Kind) -> list[Fact]:
    return [fact for fact in history.facts if fact.kind is kind]


def number(fact: Fact, name: str) -> int:
    value = fact.body[name]
    assert isinstance(value, int)
    return value


def test_the_same_seed_and_anchor_give_the_same_bytes() -> None:
    assert msgspec.json.encode(drawn(7)) == msgspec.json.encode(drawn(7))


def test_another_seed_or_another_anchor_gives_other_sequences(history: History) -> None:
    sequences = {session.sequence for session in history.sessions}
    later = drawn(starts_at_ms=STARTS_AT_MS + 1_000)
    for other in (drawn(2), later):
        assert sequences.isdisjoint(session.sequence for session in other.sessions)


def test_a_sequence_is_unique_text_of_18_or_19_digits(history: History) -> None:
    sequences = [session.sequence for session in history.sessions]
    assert len(set(sequences)) == len(sequences)
    assert all(sequence.isdigit() and len(sequence) in (18, 19) for sequence in sequences)


def test_no_two_facts_share_an_identity(history: History) -> None:
    identities = [(fact.stream_id, fact.kind, fact.key) for fact in history.facts]
    assert len(set(identities)) == len(identities)


def test_push_duration_is_text_and_equals_stop_less_start(history: History) -> None:
    sessions = {session.sequence: session for session in history.sessions}
    starts = {fact.sequence: fact for fact in facts_of(history, Kind.PUSH_STARTED)}
    stops = facts_of(history, Kind.PUSH_STOPPED)
    assert len(stops) > 50
    for stop in stops:
        session = sessions[stop.sequence]
        assert session.ended_at_ms is not None
        duration = stop.body["push_duration"]
        assert duration == str(session.ended_at_ms - session.started_at_ms)
        if stop.sequence in starts:
            seconds = number(stop, "event_time") - number(starts[stop.sequence], "event_time")
            assert abs(seconds * 1000 - int(duration)) < 1000


def test_what_is_reported_of_a_session_is_what_the_truth_says(history: History) -> None:
    started = {fact.sequence for fact in facts_of(history, Kind.PUSH_STARTED)}
    stopped = {fact.sequence for fact in facts_of(history, Kind.PUSH_STOPPED)}
    for session in history.sessions:
        assert session.start_reported == (session.sequence in started)
        assert session.stop_reported == (session.sequence in stopped)
        assert session.start_reported or session.stop_reported


def test_every_wanted_irregularity_occurs(history: History) -> None:
    sessions = history.sessions
    assert any(not session.start_reported for session in sessions)
    assert any(session.ended_at_ms is not None and not session.stop_reported for session in sessions)
    assert any(session.ended_at_ms is None for session in sessions)
    assert any(session.role == "backup" for session in sessions)
    assert any(session.errcode == 21 for session in sessions)
    mains = [session for session in sessions if session.role == "main"]
    pauses_ms = [
        later.started_at_ms - (earlier.ended_at_ms or 0)
        for earlier, later in pairwise(mains)
        if earlier.stream_id == later.stream_id
    ]
    assert min(pauses_ms) >= 0
    assert any(pause_ms <= 15_000 for pause_ms in pauses_ms)
    assert {fact.kind for fact in history.facts} == set(Kind) - {Kind.OTHER, Kind.RECORDING_EXCEPTION}


def test_a_backup_push_overlaps_its_main_push(history: History) -> None:
    for main, backup in pairwise(history.sessions):
        if backup.role == "backup":
            assert main.stream_id == backup.stream_id
            assert main.started_at_ms < backup.started_at_ms
            assert main.ended_at_ms is None or backup.started_at_ms < main.ended_at_ms


def test_recordings_and_screenshots_lie_within_their_session(history: History) -> None:
    for session in history.sessions:
        until_ms = session.ended_at_ms or history.ends_at_ms
        for recording in session.recordings:
            assert session.started_at_ms <= recording.content_starts_at_ms
            assert recording.content_starts_at_ms < recording.content_ends_at_ms <= until_ms
        for screenshot in session.screenshots:
            assert session.started_at_ms <= screenshot.at_ms <= until_ms


def test_each_interval_gives_a_file_per_format() -> None:
    shape = Shape(streams=1, sessions_per_stream=1, duration_s=1000, recording_interval_s=60, still_live=0)
    session = next(session for session in drawn(shape=shape).sessions if session.role == "main")
    assert session.ended_at_ms is not None
    whole_intervals = (session.ended_at_ms - session.started_at_ms) // 60_000
    formats = [recording.file_format for recording in session.recordings]
    for file_format in ("flv", "hls", "mp4"):
        assert formats.count(file_format) in (whole_intervals, whole_intervals + 1)


def test_the_body_of_a_recording_states_the_content_of_the_truth(history: History) -> None:
    true = {recording.file_id: recording for session in history.sessions for recording in session.recordings}
    recordings = facts_of(history, Kind.RECORDING)
    assert len(recordings) == len(true)
    for fact in recordings:
        recording = true[str(fact.body["file_id"])]
        ended_ms = number(fact, "end_time") * 1000 + number(fact, "end_time_usec") // 1000
        assert ended_ms == recording.content_ends_at_ms
        assert ended_ms - number(fact, "duration") * 1000 == recording.content_starts_at_ms
        assert "sequence" not in fact.body


def test_calls_follow_their_events_as_late_as_observed(history: History) -> None:
    limits_ms = {
        Kind.PUSH_STARTED: (0, 1_000),
        Kind.PUSH_STOPPED: (0, 1_000),
        Kind.RECORDING: (2_000, 300_000),
        Kind.SCREENSHOT: (0, 4_000),
    }
    for fact in history.facts:
        least, most = limits_ms.get(fact.kind, (0, 2_000))
        assert least <= fact.called_at_ms - fact.happened_at_ms <= most


def test_nothing_happens_outside_the_line(history: History) -> None:
    for fact in history.facts:
        assert history.starts_at_ms <= fact.happened_at_ms <= history.ends_at_ms


def test_a_picture_is_named_in_chinese_time(history: History) -> None:
    shape = Shape(streams=1, sessions_per_stream=1, duration_s=60, stream_prefix="s")
    first = facts_of(drawn(shape=shape, starts_at_ms=0), Kind.SCREENSHOT)[0]
    assert str(first.body["pic_url"]).startswith("/1970-01-01/s_001-screenshot-08-00-")


def test_nothing_is_pictured_or_recorded_when_not_wanted() -> None:
    quiet = drawn(shape=Shape(screenshot_interval_s=0, recording_interval_s=0))
    assert not facts_of(quiet, Kind.SCREENSHOT)
    assert not facts_of(quiet, Kind.RECORDING)
