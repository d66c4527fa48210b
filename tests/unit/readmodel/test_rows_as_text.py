"""The text of a row: what COPY reads, whatever stands in it."""

from hypothesis import given
from hypothesis import strategies as st

from streamledger.readmodel.fold.lines import copy_field, copy_line
from streamledger.readmodel.fold.rows import TimelineRow

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@st.composite
def timeline_rows(draw: st.DrawFn) -> TimelineRow:
    return TimelineRow(
        stream_id=draw(TEXT),
        kind="recording",
        key=draw(TEXT),
        sequence=draw(TEXT),
        at_ms=draw(st.integers(-5, 5)),
        until_ms=1,
        position=2,
        received_ms=3,
        deliveries=4,
        content=draw(TEXT),
        rivals=draw(st.none() | st.just((("a\tb", 1),))),
        because=draw(st.none() | TEXT),
    )


@given(timeline_rows())
def test_the_quick_way_and_the_careful_way_write_the_same_line(row: TimelineRow) -> None:
    careful = "\t".join(copy_field(getattr(row, name)) for name in row.__struct_fields__)
    assert copy_line(row) == careful


@given(timeline_rows())
def test_a_line_is_one_line_with_one_field_for_each_column(row: TimelineRow) -> None:
    line = copy_line(row)
    assert "\n" not in line
    assert "\r" not in line
    assert line.count("\t") == len(row.__struct_fields__) - 1


def test_null_and_its_marker_as_text_differ() -> None:
    assert copy_field(None) == "\\N"
    assert copy_field("\\N") == "\\\\N"
