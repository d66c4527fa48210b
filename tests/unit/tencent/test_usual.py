"""The quick reading gives what the lenient one gives, or nothing."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamledger.tencent.reader import read_leniently
from streamledger.tencent.usual import usual_screenshot

USUAL: dict[str, Any] = {
    "event_type": 200,
    "stream_id": "room",
    "app": "push.example.com",
    "appname": "live",
    "create_time": 1_700_000_000,
    "file_size": 1000,
    "width": 1280,
    "height": 720,
    "pic_url": "/2024/room-screenshot.jpg",
    "pic_full_url": "http://pictures.example.com/2024/room-screenshot.jpg",
    "stream_param": "txSecret=1&txTime=2",
    "task_id": "17",
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(
        ["", " ", "\u3000", " a", "a\n", "\x00", "\ud800", "x" * 257, "200", "1700000000", [], {}]
    ),
)


def test_a_usual_screenshot_is_read_quickly() -> None:
    assert usual_screenshot(USUAL) == read_leniently(USUAL)


@pytest.mark.parametrize("name", ["pic_full_url", "stream_param", "task_id"])
@pytest.mark.parametrize("absent", [None, "", "not sent"])
def test_what_newer_bodies_add_may_be_absent(name: str, absent: str | None) -> None:
    obj = {**USUAL, name: absent}
    if absent == "not sent":
        del obj[name]
    assert usual_screenshot(obj) == read_leniently(obj)


@given(
    changed=st.dictionaries(
        st.sampled_from([*USUAL, "sequence", "streamId", "domain", "path", "anything"]), ODD, max_size=4
    ),
    dropped=st.sets(st.sampled_from(sorted(USUAL)), max_size=3),
)
@example(changed={"event_type": 200.0}, dropped=set())
@example(changed={"sequence": "5"}, dropped=set())
@example(changed={"domain": "elsewhere"}, dropped={"app"})
def test_whatever_is_odd_is_read_leniently(changed: dict[str, Any], dropped: set[str]) -> None:
    obj = {name: value for name, value in {**USUAL, **changed}.items() if name not in dropped}
    quick = usual_screenshot(obj)
    if quick is not None:
        assert quick == read_leniently(obj)


def test_reading_leaves_the_object_as_it_was() -> None:
    before = json.dumps(USUAL)
    usual_screenshot(USUAL)
    assert json.dumps(USUAL) == before
