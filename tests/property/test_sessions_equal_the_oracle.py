"""Whatever the order, the number of copies and the cuts of batches: what comes of a history is what must."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

import msgspec
import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from streamledger.domain import attribution, broadcast, succession
from streamledger.domain import session as fold
from streamledger.domain.anomalies import anomalies_of
from streamledger.domain.broadcast import Part
from streamledger.domain.derivation import duration_of, presence_of
from streamledger.domain.events import Delivery, event_name
from streamledger.domain.suspicion import Interval, SuspectLimits, apart
from streamledger.readmodel.fold.facts import Event, as_fact, read_event
from streamledger.readmodel.fold.signs import recorded_ms, signs_of
from streamledger.readmodel.fold.sweep import item_of
from streamledger.readmodel.fold.witness import witness_of
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.presenters import Found
from streamledger.tencent.reader import notification_of
from tests.oracle import broadcasts, expectation, judgement
from tests.oracle.bodies import bodies
from tests.oracle.expectation import HALF_A_DAY, LIMITS_S, Held, Limits, Medium
from tests.oracle.memory_view import MemoryView
from tests.oracle.spans import spans_of
from tests.oracle.troubles import TROUBLES
from tests.oracle.true_history import BEGIN_S, FORGED, HORIZON_S, STREAM, History, draw

EXAMPLES = int(
    os.environ.get("STREAMLEDGER_TEST_EXAMPLES")
    or (10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "ci" else 200)
)
"""Of the law that compares with the oracle; the two beside it take a quarter each, on the same histories."""
QUARTER = max(1, EXAMPLES // 4)
LIMITS = SuspectLimits(**{f"{rule}_ms_max": limit_s * 1000 for rule, limit_s in LIMITS_S.items()})

pushes = st.integers(1, 5)
media = st.integers(0, 4)
copies = st.sampled_from([1, 1, 2, 3, 13])
seeds = st.integers(0, 2**64 - 1)
windows_s = st.sampled_from([0, 1, 5, 20, 60])
limits = st.sampled_from([HALF_A_DAY, HALF_A_DAY, Limits(40, 20, 1), Limits(10, 60, 2), Limits(40, 60, 2)])


@contextmanager
def in_force(wanted: Limits) -> Iterator[None]:
    """The half days of ADR 0008 shortened, so that a small history reaches beyond them."""
    with pytest.MonkeyPatch.context() as patch:
        if wanted is not HALF_A_DAY:
            for module in (fold, succession):
                patch.setattr(module, "UNKNOWN_START_LOOKBACK_MS", wanted.lookback_s * 1000)
            patch.setattr(succession, "OPEN_BESIDE_NEWER_MS", wanted.beside_newer_s * 1000)
            patch.setattr(succession, "OPEN_LATER_MAX", wanted.open_later_max)
        yield


def deliveries(history: History, random: Random, most_copies: int) -> list[Event]:
    """Every notification in 1 to so many copies, each signed anew, in any order."""
    copied = [body for body in bodies(history) for _ in range(random.randint(1, most_copies))]
    random.shuffle(copied)
    facts = []
    for number, body in enumerate(copied):
        received_s = BEGIN_S + HORIZON_S + number
        signed_s = received_s - random.randint(0, 3)
        if body.get("node") == FORGED:
            signed_s = body["event_time"] - random.randint(60, 300)
        signed = {**body, "t": signed_s + 600, "sign": f"{random.getrandbits(128):032x}"}
        received_at_us = received_s * 1_000_000
        delivery = Delivery(body=json.dumps(signed).encode(), received_at_us=received_at_us)
        facts.append(read_event(number * 2 + 1, event_name(body["event_type"]), STREAM, delivery))
    return facts


def cut(facts: Sequence[Event], random: Random) -> Iterator[Sequence[Event]]:
    """The facts in batches of any sizes."""
    begin = 0
    while begin < len(facts):
        end = begin + random.choice([1, 2, 5, 20, len(facts)])
        yield facts[begin:end]
        begin = end


def projected(facts: Sequence[Event], random: Random | None = None) -> MemoryView:
    """The tables after these facts, taken in as one batch or cut at random."""
    tables = MemoryView()
    for part in cut(facts, random) if random else [facts] if facts else []:
        tables.take_in(part)
    return tables


def attributed(tables: MemoryView) -> dict[tuple[str, str], list[tuple[str, str, tuple[str, ...]]]]:
    """Per item (kind, key) the sessions it is attributed to, with confidence and alternatives."""
    found: dict[tuple[str, str], list[tuple[str, str, tuple[str, ...]]]] = {}
    for row in tables.timeline_rows.values():
        if row.kind in ("recording", "screenshot", "recording_status"):
            entries = found.setdefault((row.kind, row.key), [])
            if row.sequence:
                entries.append((row.sequence, row.confidence or "certain", row.alternatives or ()))
    return {key: sorted(entries) for key, entries in found.items()}


def key_of(item: object) -> str:
    """The identity that the reader gives an item; a status has a digest, so it is found by its seq."""
    return notification_of(_body_of(item)).key


def _body_of(item: object) -> dict[str, object]:
    history = History(items=[item])  # type: ignore[list-item]  # the caller's items are TrueItems
    return bodies(history)[0]


def _s(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000 - BEGIN_S


@settings(max_examples=EXAMPLES)
@given(pushes, media, copies, limits, st.integers(0, HORIZON_S + 200), windows_s, seeds)
@example(4, 0, 1, Limits(40, 20, 1), 0, 0, 547841)  # of one nothing names the path, of a later one its start
@example(3, 0, 1, HALF_A_DAY, 0, 0, 20361521)  # an unknown start behind a push whose clocks disagree
@example(1, 1, 1, HALF_A_DAY, 126, 0, 839180)  # a pause after a file, which is silence and the file is none
def test_sessions_attributions_presence_and_broadcasts_equal_the_oracle(
    push_count: int,
    media_count: int,
    most_copies: int,
    wanted: Limits,
    now_s: int,
    window_s: int,
    seed: int,
) -> None:
    random = Random(seed)
    history = draw(random, push_count, media_count)
    history.away = away(Random(~seed))
    note(history)  # written out only for one that fails
    with in_force(wanted):
        tables = projected(deliveries(history, random, most_copies), random)
    _sessions_are(history, tables)
    found = attributed(tables)
    held = expectation.held_by(history, wanted)
    for item in history.items:
        judged = judgement.judge(item, history, held)
        must_be = sorted((each.sequence, each.confidence, each.alternatives) for each in judged)
        assert found[item.kind, key_of(item)] == must_be, item
    _counts_are_sums(tables)
    _recorded_is(history, tables, held)
    parts = _presence_is(history, tables, now_s)
    # As the query has it: of whom no time is known is in no broadcast.
    _broadcasts_are([part for part in parts if part.from_ms], window_s)


def away(random: Random) -> set[int]:
    """Seconds in which the receiver was away: in half of the histories none."""
    absences = [(random.randint(-100, HORIZON_S), random.choice([1, 31, 90, 400])) for _ in range(3)]
    chosen = absences[: random.choice([0, 0, 0, 1, 2, 3])]
    return {second for begin_s, length_s in chosen for second in range(begin_s, begin_s + length_s)}


def _absences_of(history: History) -> tuple[Interval, ...]:
    """The same as the product has it."""
    return apart(((BEGIN_S + each) * 1000, (BEGIN_S + each + 1) * 1000) for each in history.away)


def _sessions_are(history: History, tables: MemoryView) -> None:
    expected = {push.sequence: expectation.session(push) for push in history.known()}
    rows = {row.sequence: row for row in tables.session_rows.values()}
    assert rows.keys() == expected.keys()
    for sequence, row in rows.items():
        must = expected[sequence]
        began_ms, source = fold.started_ms(row.fold)
        assert (_s(began_ms), source) == (must.started_s, must.start_source)
        assert _s(fold.ended_ms(row.fold)) == must.ended_s
        assert {anomaly.code for anomaly in anomalies_of(row.fold)} == must.anomalies
        assert row.fold.health.reports == must.errors


@settings(max_examples=QUARTER)
@given(pushes, media, copies, seeds)
def test_certain_is_true_and_the_truth_is_always_among_those_named(
    push_count: int, media_count: int, most_copies: int, seed: int
) -> None:
    """Independent of all rules: no certain attribution is wrong, and none leaves the true push out.

    This asks of pushes whose start is reported or can be inferred, whose clocks agree, and of media that name
    their place.
    """
    random = Random(seed)
    history = draw(random, push_count, media_count)
    note(history)  # written out only for one that fails
    found = attributed(projected(deliveries(history, random, most_copies), random))
    known = {push.sequence: push for push in history.known()}
    everything = len(known) == len(history.pushes)
    for item in history.items:
        if len(item.origins) > 1 or item.origins[0] not in known:
            continue
        origin = known[item.origins[0]]
        wrong_times = any(stop_s < origin.start_s for stop_s in origin.reported_stops)
        if not expectation.same_place(item.app, origin):
            continue
        if wrong_times or not (origin.reported_starts or origin.duration_s is not None):
            continue
        if any(lasted_s != (origin.end_s or 0) - origin.start_s for lasted_s in origin.untimed_stops):
            continue  # nothing tells when it was over
        entries = found[item.kind, key_of(item)]
        named = {name for sequence, _, others in entries for name in (sequence, *others)}
        # Of a file that was closed late the times tell of the push that ran then.
        assert origin.sequence in named or item.key.startswith("late"), item
        if everything:
            for sequence, confidence, _ in entries:
                assert confidence != "certain" or sequence == origin.sequence, item


@settings(max_examples=QUARTER)
@given(pushes, media, copies, limits, seeds)
@example(4, 0, 1, HALF_A_DAY, 650055)  # an unknown start that only a later sign of another brings to hand
def test_batches_may_be_cut_anywhere_and_equal_a_judgement_from_scratch(
    push_count: int, media_count: int, most_copies: int, wanted: Limits, seed: int
) -> None:
    random = Random(seed)
    history = draw(random, push_count, media_count)
    note(history)  # written out only for one that fails
    facts = deliveries(history, random, most_copies)
    with in_force(wanted):
        tables, whole = projected(facts, random), projected([as_fact(each) for each in facts])
        spans = spans_of([row.fold for row in tables.session_rows.values()], witness_of)
    assert sorted(map(repr, tables.all_rows())) == sorted(map(repr, whole.all_rows()))
    found = attributed(tables)
    for item in history.items:
        scratch = attribution.decide(item_of(notification_of(_body_of(item))), spans)
        entries = sorted((each.sequence, each.confidence.value, each.alternatives) for each in scratch)
        assert found[item.kind, key_of(item)] == entries, item
    for kind, claims in (("push_started", "starts"), ("push_stopped", "stops")):
        rows = [row for row in tables.timeline_rows.values() if row.kind == kind]
        assert all(row.content in (None, tables.content_of(row)) for row in rows)
        told = {row.sequence: tables.content_of(row) for row in rows}
        counted = {row.sequence: getattr(row.fold, claims) for row in tables.session_rows.values()}
        assert told == {sequence: each[0].content for sequence, each in counted.items() if each}


def _counts_are_sums(tables: MemoryView) -> None:
    rows = list(tables.timeline_rows.values())
    for session in tables.session_rows.values():
        own = [row for row in rows if row.sequence == session.sequence]
        assert session.recordings == sum(row.kind == "recording" for row in own)
        assert session.screenshots == sum(row.kind == "screenshot" for row in own)
        assert session.files_ms == sum(row.duration_ms or 0 for row in own)
        assert session.recording_bytes == sum(row.bytes or 0 for row in own)
    for stream in tables.stream_rows.values():
        media_kinds = ("recording", "screenshot", "recording_status")
        assert stream.unattributed == sum(row.kind in media_kinds and not row.sequence for row in rows)
        assert stream.open_sessions == sum(not row.ended for row in tables.session_rows.values())
        assert stream.sessions == len(tables.session_rows)
        timed = [row.until_ms for row in rows if row.because != "no_time"]
        assert stream.latest_ms >= max(timed, default=0)


def _presence_is(history: History, tables: MemoryView, now_s: int) -> list[Part]:
    """Compares each session's state and its reasons; returns the sessions as parts of broadcasts."""
    parts: list[Part] = []
    found: list[Found] = []
    items = {(item.kind, key_of(item)): item for item in history.items}
    absences = _absences_of(history)
    limits = msgspec.structs.replace(LIMITS, absences=absences)
    for row in tables.session_rows.values():
        push = next(each for each in history.pushes if each.sequence == row.sequence)
        own = [each for each in tables.timeline_rows.values() if each.sequence == row.sequence]
        signs = signs_of(own, param_known=row.witness is not None, absences=absences)
        evidence = answering.evidence_of(Found(row, signs), (BEGIN_S + now_s) * 1000, limits)
        state, reasons = presence_of(row.fold, evidence)
        media = [
            Medium(item.kind, item.at_s, item.until_s, each.key, item.note, item.task, item.param)
            for each in own
            if (item := items.get((each.kind, each.key))) is not None
        ]
        must = expectation.suspect(push, history, media, now_s)
        assert (state == "ended") == (must is None)
        assert set(reasons) == (must or set())
        assert state == ("ended" if must is None else "suspect" if must else "live")
        assert duration_of(row.fold, state, evidence) == expectation.duration(push, media, now_s, must)
        part = broadcast.part_of(row.fold, evidence)
        assert (_s(part.from_ms), _s(part.until_ms)) == expectation.on_air(push, media, now_s, must)
        parts.append(part)
        files = [(each.at_ms, each.until_ms) for each in own if each.kind == "recording"]
        found.append(Found(row, signs, recorded_ms(row, files)))
    for stream in tables.stream_rows.values():
        states = {part.state for part in parts} - {"ended"}
        open_sessions = [each for each in found if not each.row.ended]
        answer = answering.stream_answer(stream, open_sessions, (BEGIN_S + now_s) * 1000, limits)
        assert answer.presence == ("live" if "live" in states else "suspect" if states else "offline")
    return parts


def _recorded_is(history: History, tables: MemoryView, held: Held) -> None:
    items = {key_of(item): item for item in history.items if item.kind == "recording"}
    for row in tables.session_rows.values():
        push = next(each for each in history.pushes if each.sequence == row.sequence)
        own = [
            each
            for each in tables.timeline_rows.values()
            if each.sequence == row.sequence and each.kind == "recording"
        ]
        media = [
            Medium(item.kind, item.at_s, item.until_s, item.key) for each in own for item in [items[each.key]]
        ]
        seconds, _ = expectation.recorded(push, media, held.may[row.sequence])
        assert recorded_ms(row, [(each.at_ms, each.until_ms) for each in own]) == seconds * 1000


def _broadcasts_are(parts: list[Part], window_s: int) -> None:
    found = broadcast.broadcasts(parts, window_s * 1000)
    plain = [(part.sequence, _s(part.from_ms) or 0, _s(part.until_ms) or 0) for part in parts]
    groups = broadcasts.broadcast_groups(plain, window_s)
    assert sorted(sorted(part.sequence for part in each.parts) for each in found) == sorted(
        sorted(group) for group in groups
    )
    for each in found:
        named = {part.sequence for part in each.parts}
        members = [part for part in plain if part[0] in named]
        assert each.on_air_ms == 1000 * broadcasts.on_air_s(members)
        assert each.reconnects == broadcasts.comebacks(members)
        assert sum(gap.until_ms - gap.from_ms for gap in each.gaps) == (
            each.until_ms - each.from_ms - each.on_air_ms
        )


TROUBLE_SHARE_MIN = 0.02
"""Of 10,000 histories at least two hundred have each trouble."""


@pytest.fixture(scope="module")
def histories() -> list[History]:
    """As many, and as large, as the laws draw on average."""
    return [draw(Random(number), 1 + number % 5, number // 5 % 5) for number in range(1000)]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_every_trouble_comes_often_enough(histories: list[History], trouble: str) -> None:
    """The generator is no use if the hard cases never come."""
    assert sum(TROUBLES[trouble](history) for history in histories) >= TROUBLE_SHARE_MIN * len(histories)


def test_the_oracle_gives_every_kind_of_answer(histories: list[History]) -> None:
    judged = [
        judgement.judge(item, history, held)
        for history in histories
        for held in [expectation.held_by(history)]
        for item in history.items
    ]
    assert {entry.confidence for entries in judged for entry in entries} == {
        "certain",
        "probable",
        "ambiguous",
    }
    assert any(len(entries) >= 3 for entries in judged)
    assert [] in judged
    reasons = set()
    for number, history in enumerate(histories):
        for push in history.known():
            files = [
                Medium(item.kind, item.at_s, item.until_s, item.key, item.note, item.task, item.param)
                for item in history.items
                if push.sequence in item.origins
            ]
            reasons |= expectation.suspect(push, history, files, number % (HORIZON_S + 200)) or set()
    assert reasons == LIMITS_S.keys()
