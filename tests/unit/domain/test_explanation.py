"""Explanations: each field names the deliveries that set it, those overruled, and its rule."""

import msgspec

from streamledger.domain import explanation
from streamledger.domain import session as fold
from streamledger.domain.answers import RecordingTotals, ScreenshotTotals, Session
from streamledger.domain.attributed import Item
from streamledger.domain.derivation import Evidence, Totals, derive
from streamledger.domain.explanation import (
    FIELD_RULES,
    Delivered,
    FieldExplanation,
    explain_attribution,
    explain_fields,
)
from streamledger.domain.notification import EARLIEST_MS, Kind, Notification, Push
from streamledger.domain.session import OPEN_END_MS, SessionState, Span
from streamledger.domain.suspicion import SuspectLimits


def push(kind: Kind, at_ms: int | None, content: str, **detail: object) -> Notification:
    return Notification(
        event_type=1 if kind is Kind.PUSH_STARTED else 0,
        kind=kind,
        stream_id="room",
        key="7",
        sequence="7",
        at_ms=at_ms,
        until_ms=None,
        app="push.example.com",
        stream_param=f"txSecret={content}",
        content=content,
        detail=Push(**detail),  # type: ignore[arg-type]  # fields by name, as each test gives them
    )


def explained(
    *notifications: Notification, unheard_ms_max: int = 10**9
) -> tuple[Session, dict[str, FieldExplanation]]:
    state = SessionState(stream_id="room", sequence="7")
    for position, notification in enumerate(notifications, start=1):
        state = fold.take(state, notification, position)
    session = derive(
        state,
        Totals(
            recordings=RecordingTotals(),
            screenshots=ScreenshotTotals(),
            deliveries=len(notifications),
            notifications=len({each.kind for each in notifications}),
            position=len(notifications),
        ),
        Evidence(now_ms=100_000, limits=SuspectLimits(silence_ms_max=10**9, unheard_ms_max=unheard_ms_max)),
        lambda _: ("clean", "the client ended the push"),
    )
    delivered = [Delivered(position, each) for position, each in enumerate(notifications, start=1)]
    return session, {each.field: each for each in explain_fields(session, state, delivered)}


def test_copies_are_counted_and_not_listed() -> None:
    start = push(Kind.PUSH_STARTED, 1_000, "a")
    _, fields = explained(start, start, start)
    assert fields["started_at"].positions == [1]
    assert fields["started_at"].confirmed == 2
    assert fields["started_at"].rule.code == "earliest_start"


def test_a_later_start_is_overruled_with_what_it_said() -> None:
    _, fields = explained(push(Kind.PUSH_STARTED, 2_000, "a"), push(Kind.PUSH_STARTED, 1_000, "b"))
    assert fields["started_at"].positions == [2]
    assert [(said.position, said.value) for said in fields["started_at"].overruled] == [
        (1, "1970-01-01T00:00:02Z")
    ]


def test_an_inferred_start_rests_on_the_stop() -> None:
    session, fields = explained(push(Kind.PUSH_STOPPED, EARLIEST_MS + 5_000, "a", push_duration_ms=3_000))
    assert session.started_at == "2010-01-01T00:00:02Z"
    assert fields["started_at"].rule.code == "start_inferred"
    assert fields["started_at"].positions == [1]


def test_a_reported_duration_overrules_the_measured_one() -> None:
    _, fields = explained(
        push(Kind.PUSH_STARTED, 1_000, "a"),
        push(Kind.PUSH_STOPPED, 9_000, "b", push_duration_ms=3_000),
    )
    assert fields["duration_ms"].rule.code == "duration_reported"
    assert [said.value for said in fields["duration_ms"].overruled] == [8_000]


def test_a_field_is_explained_by_the_delivery_that_holds_its_value() -> None:
    session, fields = explained(
        push(Kind.PUSH_STARTED, 1_000, "a", width=0, node="192.0.2.1"),
        push(Kind.PUSH_STOPPED, 9_000, "b", width=1280, node="192.0.2.2"),
    )
    assert (session.width, fields["width"].positions, fields["width"].overruled) == (1280, [2], [])
    assert fields["node"].positions == [1]
    assert [said.value for said in fields["node"].overruled] == ["192.0.2.2"]


def test_a_secret_is_not_told_by_what_was_overruled() -> None:
    _, fields = explained(push(Kind.PUSH_STARTED, 1_000, "hidden"), push(Kind.PUSH_STOPPED, 9_000, "other"))
    assert [said.value for said in fields["stream_param"].overruled] == ["another one"]


def test_every_field_of_the_answer_is_explained_in_its_order_by_a_known_rule() -> None:
    session, fields = explained(push(Kind.PUSH_STARTED, 1_000, "a"), push(Kind.PUSH_STOPPED, 9_000, "b"))
    assert tuple(fields) == session.__struct_fields__
    assert {each.rule.code for each in fields.values()} <= FIELD_RULES.keys()
    assert all(each.value == msgspec.to_builtins(getattr(session, name)) for name, each in fields.items())
    assert fields["start_source"].positions == fields["started_at"].positions == [1]
    assert fields["sequence"].positions == [1, 2]


def test_what_speaks_against_an_open_session_is_explained_beside_its_state() -> None:
    for unheard_ms_max, reasons, rule in ((10**9, [], "no_stop"), (1_000, ["unheard"], "suspected")):
        _, fields = explained(push(Kind.PUSH_STARTED, 1_000, "a"), unheard_ms_max=unheard_ms_max)
        explanation_of = fields["state_reasons"]
        assert (explanation_of.value, explanation_of.rule.code) == (reasons, rule)
        assert explanation_of.positions == [1]


def test_equal_values_and_what_says_nothing_overrule_nothing() -> None:
    _, fields = explained(
        push(Kind.PUSH_STARTED, 1_000, "a", node="n"),
        push(Kind.PUSH_STARTED, 1_000, "b", node="n"),
        push(Kind.PUSH_STARTED, None, "c", node="n"),
    )
    assert [fields[name].overruled for name in ("started_at", "node")] == [[], []]


def test_candidates_of_equal_rank_stand_in_the_order_of_their_names() -> None:
    item = Item(at_ms=100_000, until_ms=100_000)
    spans = [span(name, 90_000, 110_000) for name in ("c", "a", "b")]
    _, candidates = explain_attribution(item, spans, "a")
    assert [each.sequence for each in candidates] == ["a", "b", "c"]


def span(sequence: str, from_ms: int, until_ms: int, **facts: str) -> Span:
    return Span(sequence=sequence, from_ms=from_ms, until_ms=until_ms, from_certain=True, **facts)


def test_each_push_near_a_recording_is_told_with_its_scores_and_why_it_was_not_chosen() -> None:
    item = Item(at_ms=100_000, until_ms=160_000, app="push.example.com", stream_param="x")
    spans = [
        span("right", 90_000, 170_000, stream_param="x"),
        span("beside", 99_000, 158_000, stream_param="y"),
        span("elsewhere", 90_000, OPEN_END_MS, app="other.example.com"),
        span("after", 166_000, 200_000),
        span("long ago", 0, 10_000),
    ]
    decided, candidates = explain_attribution(item, spans, "right")
    assert decided is not None
    by_sequence = {each.sequence: each for each in candidates}
    assert {name: each.outcome for name, each in by_sequence.items()} == {
        "right": "chosen",
        "beside": "alternative",
        "elsewhere": "other_place",
        "after": "too_far",
    }
    assert by_sequence["right"].overlap_ms == 60_000
    assert by_sequence["right"].same_stream_param is True
    assert by_sequence["beside"].same_stream_param is False
    assert by_sequence["beside"].overlap_ms == 58_000
    assert by_sequence["after"].distance_ms == 6_000
    assert by_sequence["elsewhere"].until_at is None
    assert candidates[0].sequence == "right"


def test_every_outcome_has_a_text() -> None:
    assert set(explanation.OUTCOMES) == set(explanation.Outcome)
