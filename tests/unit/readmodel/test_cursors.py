"""Cursors: they come back as they were given, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamledger.domain.errors import CursorInvalid
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)
def test_a_cursor_comes_back_as_it_was_given(number: int, text: str) -> None:
    assert decode_cursor("list", encode_cursor("list", [number, text]), (int, str)) == [number, text]


@given(st.text(max_size=40))
def test_no_text_is_more_than_an_invalid_cursor(text: str) -> None:
    with pytest.raises(CursorInvalid):
        decode_cursor("list", text, (int, str))


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(CursorInvalid):
        decode_cursor("timeline-all", encode_cursor("sessions-desc", [1, "a"]), (int, str))


@pytest.mark.parametrize("key", [[2**63, "a"], [1, "a\0"], [True, "a"], [1], ["1", "a"], [1.0, "a"]])
def test_a_key_that_the_store_cannot_hold_is_refused(key: list[object]) -> None:
    with pytest.raises(CursorInvalid):
        decode_cursor("list", encode_cursor("list", key), (int, str))
