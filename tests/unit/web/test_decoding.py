"""What a field means beside how it was sent, and that lists become files that no table program obeys."""

import csv
import io

import pytest

from streamledger.web.pages.decoding import decoded, instant_of, meaning
from streamledger.web.pages.downloads import table_of
from streamledger.web.pages.quarantine import around
from streamledger.web.pages.words import Words

ENGLISH, CHINESE = Words("en"), Words("zh")


@pytest.mark.parametrize(
    ("field", "value", "instant"),
    [
        ("event_time", 1713731478, "2024-04-21T20:31:18Z"),
        ("t", "1713731478", "2024-04-21T20:31:18Z"),
        ("end_time", 1713731478123, "2024-04-21T20:31:18.123Z"),
        ("event_time", 0, None),
        ("event_time", "soon", None),
        ("event_time", True, None),
        ("width", 1713731478, None),
    ],
)
def test_a_time_is_decoded_where_it_is_one(field: str, value: object, instant: str | None) -> None:
    assert instant_of(field, value) == instant


def test_codes_durations_and_sizes_are_said_in_both_languages() -> None:
    body = {"event_type": 0, "errcode": 18, "push_duration": "128581", "file_size": 30_045_521, "app": "a"}
    found = decoded(body, 0)
    assert [each.sent for each in found] == ["0", "18", "128581", "30045521", "a"]
    said = [meaning(ENGLISH, each) for each in found]
    assert said == ["Push stopped", "refused: the push was refused", "2:08", "30.0 MB", ""]
    assert meaning(CHINESE, found[0]) == "推流结束"
    assert "被拒绝" in meaning(CHINESE, found[1])


def test_a_list_becomes_a_table_with_a_column_for_each_fact() -> None:
    rows = [
        {"sequence": "1", "stop": {"errcode": 1}, "names": ["a", "b"], "none": None},
        {"sequence": "2", "stop": {"errcode": 2}, "duration": -3},
    ]
    table = list(csv.reader(io.StringIO(table_of(rows))))
    assert table[0] == ["sequence", "stop.errcode", "names", "none", "duration"]
    assert table[1] == ["1", "1", '["a","b"]', "", ""]
    assert table[2] == ["2", "2", "", "", "-3"]


@pytest.mark.parametrize("text", ['=cmd|"/c calc"!A0', "+1+1", "@SUM(A1)", "-x", "\t=1"])
def test_no_text_of_a_stranger_becomes_a_formula(text: str) -> None:
    (_, (cell,)) = csv.reader(io.StringIO(table_of([{"stream_id": text}])))
    assert cell == "'" + text


def test_a_fault_is_shown_with_what_stands_around_it() -> None:
    body = '{"a":1,"b" 2,"c":"名"}'.encode()
    assert around(body, 12) == ('{"a":1,"b" ', "2", ',"c":"名"}')
    assert around(body, None) is None
    assert around(b"\xff{", 1) is None
    assert around(b"{", 2) == ("{", "", "")
