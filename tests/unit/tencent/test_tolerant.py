"""The tolerant reader mends what it says, and always answers with an object or MalformedBody."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.reader import read_notification
from streamledger.tencent.tolerant import TOLERANT_BODY_BYTES_MAX, parse_object

from .samples import NAMES, body_of

BODY_BYTES_MAX = 256 * 1024


@st.composite
def mutated_samples(draw: st.DrawFn) -> bytes:
    body = bytearray(body_of(draw(st.sampled_from(NAMES))))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(body)))
        end = min(len(body), begin + draw(st.integers(0, 8)))
        nasty = st.sampled_from(
            [rb"\ud800", b"\\", b'"', b"9" * 5000, b"1e999", b"0x" + b"f" * 5000, b"[" * 70]
        )
        body[begin:end] = draw(st.binary(max_size=4) | nasty)
    return bytes(body)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300) | mutated_samples())
def test_any_bytes_give_a_notification_or_a_malformed_body(body: bytes) -> None:
    try:
        envelope = read_envelope(body)
    except MalformedBody:
        with pytest.raises(MalformedBody) as caught:
            read_notification(body)
        assert len(str(caught.value.facts["got"])) <= 80
        return
    notification = read_notification(body)
    # What the hot path accepted, the full reading must be able to read, to the same stream and push.
    assert notification.event_type == envelope.event_type
    assert notification.stream_id == envelope.stream_id
    assert notification.sequence == envelope.sequence


@pytest.mark.parametrize(
    ("body", "expected", "notes"),
    [
        (b'{"a":1}', {"a": 1}, ()),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}, ("bom",)),
        (b'{"a":"\xff"}', {"a": "�\\xff"}, ("invalid_utf8",)),
        (b'{"a":"\xe6\x88","b":"x\\\xff"}', {"a": r"�\xe6�\x88", "b": r"x�\xff"}, ("invalid_utf8", "json5")),
        ('{"a":"直播间"}'.encode("gb18030"), {"a": "直播间"}, ("gb18030",)),
        ('{"a":"乗"}'.encode("gb18030"), {"a": "乗"}, ("gb18030",)),
        (rb'{"a":"\ud800"}', {"a": r"�\ud800"}, ("lone_surrogate",)),
        (rb'{"a":"\udc00\ud83d\ude00\ud83d"}', {"a": r"�\udc00😀�\ud83d"}, ("lone_surrogate",)),
        (rb'{"a":"\\ud800","b":"\\\ud800"}', {"a": r"\ud800", "b": r"\�\ud800"}, ("lone_surrogate",)),
        ('{\u3000"a":1, // 文件\n}'.encode(), {"a": 1}, ("json5",)),
        (
            b'\xef\xbb\xbf{"a":"\xff\\udc00",}',
            {"a": r"�\xff�\udc00"},
            ("bom", "invalid_utf8", "lone_surrogate", "json5"),
        ),
        (b'{"a":1e999,"b":2}', {"a": ["1e999"], "b": 2}, ("number_out_of_range",)),
        (b'{"a":1,"a":2}', {"a": 2}, ()),
    ],
)
def test_what_is_mended_is_noted(body: bytes, expected: dict[str, object], notes: tuple[str, ...]) -> None:
    assert parse_object(body) == (expected, notes)


def test_names_that_differ_in_what_cannot_be_read_stay_apart() -> None:
    sent = [b"lo\xff", b"lo\xfe", rb"lo\\xff", rb"lo\ud800", rb"lo\udc00", rb"lo\\ud800", rb"lo\ufffd", b"lo"]
    kept = [read_envelope(b'{"event_type":1,"stream_id":"%s"}' % each).stream_id for each in sent]
    assert len({*kept}) == len(sent)
    assert (kept[2], kept[5], kept[6]) == (r"lo\xff", r"lo\ud800", "lo\ufffd")  # as they were sent
    shown = [json.dumps({"event_type": 1, "stream_id": each}).encode() for each in kept]
    assert [read_envelope(each).stream_id for each in shown] == kept
    assert read_envelope(rb'{"event_type":1,"stream_id":"lo\uD800"}').stream_id == kept[3]


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"null", b"[]", b"1", b'"{}"', b'{"a":1', b'{"a":1 "b":2}', b'{"a":1}x', b"event_type=1"],
)
def test_what_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_object(body)


def test_nesting_is_limited_alike_in_both_readers() -> None:
    def nested(levels: int, tail: str = "") -> bytes:
        return ('{"event_type":1,"a":' + "[" * (levels - 1) + "]" * (levels - 1) + tail + "}").encode()

    for tail in ("", ","):
        assert read_envelope(nested(64, tail)).event_type == 1
        assert read_notification(nested(64, tail)).event_type == 1
        for read in (read_envelope, read_notification):
            with pytest.raises(MalformedBody):
                read(nested(65, tail))


def test_only_a_body_of_ordinary_size_is_mended() -> None:
    def odd(size: int) -> bytes:
        return b'{"event_type":1,"stream_id":"s","a":"\xff' + b"x" * (size - 40) + b'"}'

    for read in (parse_object, read_envelope, read_notification):
        read(odd(TOLERANT_BODY_BYTES_MAX))
        with pytest.raises(MalformedBody) as caught:
            read(odd(TOLERANT_BODY_BYTES_MAX + 1))
        assert "strict JSON" in str(caught.value)
    assert len(odd(1000)) == 1000
    strict = json.dumps({"event_type": 1, "a": "x" * TOLERANT_BODY_BYTES_MAX}).encode()
    assert read_envelope(strict).event_type == read_notification(strict).event_type == 1


def test_brackets_inside_text_are_no_nesting() -> None:
    body = b'{"event_type":1,"a":"' + b'\\"[{' * 100 + b'"}'
    assert read_envelope(body).event_type == 1
    assert parse_object(body)[1] == ()


HOSTILE = {
    "brackets": b"[" * BODY_BYTES_MAX,
    "braces": b'{"a":' * (BODY_BYTES_MAX // 5),
    "quotes": b'"' * BODY_BYTES_MAX,
    "brackets and escaped quotes": b"[" * 100 + b'"' + b'\\"' * (BODY_BYTES_MAX // 2 - 100),
    "backslashes": b'{"a":"' + b"\\" * (BODY_BYTES_MAX - 6),
    "backslashes and a surrogate": b'{"a":"' + b"\\" * (BODY_BYTES_MAX - 20) + rb'\ud800"}',
    "lone surrogates": b'{"a":"' + rb"\ud800" * (BODY_BYTES_MAX // 6 - 2) + b'"}',
    "surrogate pairs and a lone one": b'{"a":"'
    + rb"\ud83d\ude00" * (BODY_BYTES_MAX // 12 - 2)
    + rb'\udc00"}',
    "long integers": b'{"a":[' + b",".join([b"9" * 4200] * 62) + b"],}",
    "one long integer": b'{"a":' + b"9" * (BODY_BYTES_MAX - 6) + b"}",
    "one long hexadecimal integer": b'{"event_type":1,"a":0x' + b"f" * (BODY_BYTES_MAX - 30) + b"}",
    "a long event type": b'{"event_type":0x' + b"f" * (BODY_BYTES_MAX - 30) + b"}",
    "comments": b"{" + b"//\n" * (BODY_BYTES_MAX // 3),
    "open comment": b"{/*" + b"*" * (BODY_BYTES_MAX - 3),
    "invalid utf-8": b"\xff" * BODY_BYTES_MAX,
    "white space": "　".encode() * (BODY_BYTES_MAX // 3),
    "secret parameters": b'{"event_type":"' + b"txSecret%25" * (BODY_BYTES_MAX // 11 - 3) + b'"}',
    "many keys": b"{" + b",".join(b'"%x":1' % number for number in range(26_000)) + b",}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_ends_in_a_result_or_a_malformed_body(name: str) -> None:
    body = HOSTILE[name]
    assert len(body) <= BODY_BYTES_MAX
    for read in (parse_object, read_envelope, read_notification):
        with contextlib.suppress(MalformedBody):
            read(body)
