"""What a rebuild shows as it goes, and the rows it tells apart, however many."""

import io
import json

import msgspec
import pytest

from streamledger.cli import progress as showing
from streamledger.cli.all_rows import AllRows
from streamledger.operations.repair_stream import Repaired
from streamledger.readmodel.rebuild.comparison import Difference, RowDifference
from streamledger.readmodel.rebuild.record import Progress

PHASES = (
    Progress(),
    Progress(phase="folding", events_total=1000),
    Progress(phase="folding", events_total=1000, events_done=400, events_per_s=100.0),
    Progress(phase="indexing", events_total=1000, events_done=1000, events_per_s=100.0, indexes_total=9),
    Progress(phase="indexing", events_per_s=100.0, indexes_total=9, indexes_done=5, indexes_left_s=12.3),
    Progress(phase="catching_up", events_done=1003, events_total=1000, events_per_s=100.0),
    Progress(phase="switching", events_done=1003, events_total=1000, events_per_s=100.0),
)


def test_a_pipe_gets_a_line_for_each_phase_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(showing, "LINE_EVERY_S", 0.0)
    with showing.shown() as show:
        for each in PHASES:
            show(each)
    assert capsys.readouterr().err.splitlines() == [
        "preparing",
        "folding events: 0 of 1000 events",
        "folding events: 400 of 1000 events 100/s, 6 s left",
        "making indexes: 0 of 9 indexes",
        "making indexes: 5 of 9 indexes 12 s left",
        "catching up: 1003 events",
        "switching: 1003 events",
    ]


def test_between_two_lines_of_a_phase_some_seconds_pass(capsys: pytest.CaptureFixture[str]) -> None:
    with showing.shown() as show:
        for done in range(100):
            show(Progress(phase="folding", events_total=100, events_done=done))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_all_rows_stand_in_the_json_though_only_some_are_kept_in_memory() -> None:
    rows = [RowDifference("changed", {"stream_id": f"room {n}"}, {"x": [n, 'a"\n']}) for n in range(500)]
    done = Repaired(
        stream_id="room",
        events=7,
        differences=[
            Difference("sessions", 0, 0, 0, {}, []),
            Difference("timeline", 0, 0, 500, {"x": 500}, rows[:2]),
        ],
        repaired=True,
    )
    all_rows, output = AllRows(), io.BytesIO()
    for row in rows:
        all_rows.take("timeline", row)
    all_rows.write(done, output)
    found = json.loads(output.getvalue())
    assert found["differences"][0]["examples"] == []
    assert found["differences"][1]["changed"] == 500
    assert found["differences"][1]["examples"] == [msgspec.to_builtins(row) for row in rows]
    assert (found["events"], found["repaired"]) == (7, True)
