"""The hot path and the whole reading derive the same envelope; each field by its rule."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.envelope import Envelope, envelope_of, read_envelope
from streamledger.tencent.tolerant import parse_object

TEXTS = st.sampled_from(
    [
        "",
        " ",
        "0",
        "1",
        " s ",
        "a\nb",
        "a\0",
        "　s",
        "７",
        "x" * 256,
        "x" * 257,
        "9" * 64,
        "9" * 65,
        "é",
        "👨‍👩‍👧",
        "-",
        "a b",
    ]
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**63, 10**64, 10**300])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, 1.0, 1.5])
    | TEXTS
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)
NAMES = ("event_type", "stream_id", "streamId", "sequence", "t", "sign")
OBJECTS = st.fixed_dictionaries({}, optional={name: VALUES for name in NAMES}).flatmap(
    lambda fields: st.sampled_from([fields, {"event_type": 1, **fields}, {**fields, "event_type": 0}])
)


def outcome(read: Any, argument: Any) -> Envelope | str:
    try:
        result: Envelope = read(argument)
    except MalformedBody as error:
        return str(error)
    return result


@settings(max_examples=600, deadline=None)
@given(OBJECTS)
def test_both_ways_to_an_envelope_agree(obj: dict[str, Any]) -> None:
    body = json.dumps(obj).encode()
    assert outcome(read_envelope, body) == outcome(lambda sent: envelope_of(*parse_object(sent)), body)


def read(**fields: Any) -> Envelope:
    return read_envelope(json.dumps({"event_type": 1, **fields}).encode())


@pytest.mark.parametrize(
    ("sent", "expected"), [(0, 0), ("0", 0), (0.0, 0), (" 1 ", 1), (1e2, 100), (2**31 - 1, 2**31 - 1)]
)
def test_an_event_type_may_be_any_form_of_an_integer(sent: object, expected: int) -> None:
    assert read(event_type=sent).event_type == expected


@pytest.mark.parametrize("sent", [None, "", True, False, -1, 2**31, 0.5, "1.0", "１", [], {}, "x" * 1000])
def test_what_is_no_event_type_makes_the_body_malformed(sent: object) -> None:
    with pytest.raises(MalformedBody) as caught:
        read(event_type=sent)
    assert caught.value.facts["field"] == "event_type"
    assert len(str(caught.value.facts["got"])) <= 80


def test_the_error_never_shows_a_secret() -> None:
    with pytest.raises(MalformedBody) as caught:
        read(event_type="rtmp://h/live/s?txSecret=abcdef&txTime=1")
    assert "abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (" demo\n", "demo"),
        (123, "123"),
        ("直播", "直播"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("x" * 256, "x" * 256),
        ("x" * 257, None),
        ("a\0b", None),
        ("a\x7fb", None),
        ("a\x85b", None),
        ("", None),
        (None, None),
        (1.0, None),
        (True, None),
        (["s"], None),
        (10**300, None),
    ],
)
def test_a_stream_id_is_a_usable_name_or_none(sent: object, expected: str | None) -> None:
    assert read(stream_id=sent).stream_id == expected


def test_the_image_audit_spells_its_stream_in_camel_case() -> None:
    assert read(streamId="s").stream_id == "s"
    assert read(stream_id=" ", streamId="s").stream_id == "s"
    assert read(stream_id="a", streamId="s").stream_id == "a"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (" 2210464508206756938 ", "2210464508206756938"),
        (2210464508206756938, "2210464508206756938"),
        (2.0, None),
        ("a_b-C", "a_b-C"),
        ("a b", None),
        ("７", None),
        ("9" * 64, "9" * 64),
        ("9" * 65, None),
        ("", None),
    ],
)
def test_a_sequence_keeps_every_digit_or_is_none(sent: object, expected: str | None) -> None:
    assert read(stream_id="s", sequence=sent).sequence == expected


@pytest.mark.parametrize(
    ("sent", "text", "unreadable"),
    [
        (1713732078, "1713732078", False),
        ("1713732078", "1713732078", False),
        ("0001", "0001", False),
        (0, "0", False),
        (None, None, False),
        ("", None, False),
        (" 1", None, True),
        ("１", None, True),
        (-1, None, True),
        (1.0, None, True),
        (True, None, True),
        ([1], None, True),
        (10**64, None, True),
    ],
)
def test_t_is_digits_as_sent_or_absent_or_unreadable(
    sent: object, text: str | None, unreadable: bool
) -> None:
    envelope = read(stream_id="s", t=sent)
    assert (envelope.t, envelope.t_unreadable) == (text, unreadable)


@pytest.mark.parametrize(
    ("sent", "text", "unreadable"),
    [
        ("ab", "ab", False),
        ("é", "é", False),
        (None, None, False),
        ("", None, False),
        (1, None, True),
        ([], None, True),
    ],
)
def test_sign_is_text_as_sent_or_absent_or_unreadable(
    sent: object, text: str | None, unreadable: bool
) -> None:
    envelope = read(stream_id="s", sign=sent)
    assert (envelope.sign, envelope.sign_unreadable) == (text, unreadable)
