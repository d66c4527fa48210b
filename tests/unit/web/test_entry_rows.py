"""The rows of a session's table: whatever an entry says or leaves out, they say it and are well-formed."""

from typing import Any

import pytest

from streamledger.domain.answers import AttributionAnswer, TimelineEntry
from streamledger.domain.notification import Kind
from streamledger.readmodel.queries.runs import Run
from streamledger.web.pages.entry_rows import entry_rows, file_format, summary
from streamledger.web.pages.words import LANGUAGES, Words

HOSTILE = "<script>alert('1')</script>\""


def entry(kind: Kind, detail: dict[str, Any], **more: Any) -> TimelineEntry:
    return TimelineEntry(
        at="2024-04-21T20:31:18Z",
        until=None,
        kind=kind,
        position=7,
        received_at="2024-04-21T20:31:19.012Z",
        delay_ms=1012,
        deliveries=more.pop("deliveries", 1),
        conflicts=more.pop("conflicts", 0),
        attribution=more.pop("attribution", None),
        detail=detail,
    )


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_entry_that_leaves_everything_out_has_a_row(kind: Kind, language: str) -> None:
    row = entry_rows(Words(language), [entry(kind, {})])
    assert row.count("<td") == row.count("</td>") == 7
    assert f'<span class="kind {kind.value}">' in row


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        (Kind.PUSH_STARTED, {"user_ip": HOSTILE, "node": HOSTILE}),
        (Kind.PUSH_STOPPED, {"errcode": 1, "errmsg": HOSTILE}),
        (Kind.RECORDING, {"file_format": HOSTILE, "video_url": "https://x/" + HOSTILE}),
        (Kind.RECORDING, {"file_format": HOSTILE, "video_url": "javascript:alert(1)"}),
        (Kind.SCREENSHOT, {"pic_url": HOSTILE}),
        (Kind.SCREENSHOT, {"pic_url": "a/" + HOSTILE, "pic_full_url": "https://x/" + HOSTILE}),
        (Kind.PUSH_ERROR, {"abnormal_events": [{"type": -5, "description": HOSTILE, "count": 2}]}),
        (Kind.RECORDING_STATUS, {"record_event": HOSTILE}),
        (Kind.RECORDING_EXCEPTION, {"description": HOSTILE}),
        (Kind.OTHER, {"event_type": HOSTILE}),
    ],
)
def test_what_was_sent_is_escaped(kind: Kind, detail: dict[str, Any]) -> None:
    row = entry_rows(Words("en"), [entry(kind, detail)])
    assert "<script" not in row
    assert "javascript:" not in row
    assert "&lt;script&gt;" in row


def test_a_row_says_repetitions_conflicts_and_why_the_entry_belongs_here() -> None:
    unsure = AttributionAnswer(
        confidence="ambiguous", because=["x"], codes=["not a known reason <b>"], alternatives=[]
    )
    row = entry_rows(Words("en"), [entry(Kind.SCREENSHOT, {}, deliveries=3, conflicts=1, attribution=unsure)])
    assert '<td class="right num repeated" data-label="Delay">1.0 s</td>' in row
    assert '<td class="right num" data-label="Deliveries">3</td>' in row
    assert '<span class="tag warn">1' in row
    assert '<span class="tag ambiguous">' in row
    assert "<small>not a known reason &lt;b&gt;</small>" in row


def test_a_recording_is_a_link_with_its_length_and_size() -> None:
    said = {
        "file_format": "mp4",
        "video_url": "https://x/1.mp4",
        "duration_ms": 60_000,
        "file_bytes": 30_045_521,
    }
    recording = entry(Kind.RECORDING, said)
    assert file_format(recording) == "mp4"
    assert summary(Words("en"), recording) == (
        '<a href="https://x/1.mp4" rel="noreferrer noopener">mp4</a> · 60 s · 30.0 MB'
    )


def test_what_is_certain_is_not_said_on_every_row() -> None:
    sure = AttributionAnswer(confidence="certain", because=["x"], codes=["inside"])
    row = entry_rows(Words("en"), [entry(Kind.SCREENSHOT, {}, attribution=sure)])
    assert "certain" not in row


def test_a_run_says_how_many_how_often_and_what_is_unusual_and_opens_a_strip() -> None:
    shots = [entry(Kind.SCREENSHOT, {"pic_url": HOSTILE}), entry(Kind.SCREENSHOT, {"pic_url": "/a.jpg"})]
    run = Run(
        count=42,
        from_at="2024-04-21T20:31:18.000Z",
        until_at="2024-04-21T20:38:08.000Z",
        step_ms=10_000,
        repeated=2,
        unsure=1,
        position=7,
        shots=shots,
    )
    english, chinese = entry_rows(Words("en"), [run]), entry_rows(Words("zh"), [run])
    assert "42 screenshots, every 10 s" in english
    assert "2 delivered again" in english
    assert "1 not certain" in english
    assert english.count("<li>") == 2
    assert "<script" not in english
    assert "42 张截图，间隔 10 秒" in chinese
