"""Where one typed decode is enough, the tolerant way gives the same; a property holds both to each other."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.reader import notification_of, read_from, read_plain, read_with_t
from streamledger.tencent.tolerant import parse_object

SHARED: dict[str, Any] = {
    "appid": 1250000001,
    "app": "push.example.com",
    "appname": "live",
    "channel_id": "room",
    "stream_id": "room",
    "stream_param": "txSecret=1&txTime=2",
    "sign": "0123456789abcdef0123456789abcdef",
    "t": 1_700_000_600,
}
SCREENSHOT = SHARED | {
    "event_type": 200,
    "create_time": 1_700_000_000,
    "file_size": 1000,
    "width": 1280,
    "height": 720,
    "pic_url": "/2024/room-screenshot-of-a-rather-long-name.jpg",
    "pic_full_url": "http://pictures.example.com/2024/room-screenshot.jpg",
    "task_id": "17",
}
START = SHARED | {
    "event_type": 1,
    "event_time": 1_700_000_000,
    "sequence": "2210464508206756938",
    "errcode": 0,
    "errmsg": "ok, it began",
    "node": "198.51.100.7",
    "user_ip": "203.0.113.9",
    "width": 0,
    "height": 0,
    "set_id": 2,
    "idc_id": 34,
}
STOP = START | {"event_type": 0, "errcode": -5, "push_duration": "128581"}
RECORDING = SHARED | {
    "event_type": 100,
    "file_id": "1234500000",
    "record_file_id": "1234500000",
    "file_format": "hls",
    "start_time": 1_700_000_000,
    "start_time_usec": 250_000,
    "end_time": 1_700_000_090,
    "end_time_usec": 999_999,
    "duration": 90,
    "file_size": 277_940_000,
    "media_start_time": 77,
    "record_bps": 0,
    "task_id": "17",
    "video_url": "http://1250000001.vod2.example.com/aaaa/f0.m3u8",
    "callback_ext": '{"video_codec":"h264"}',
}
ERROR = {
    "event_type": 321,
    "stream_id": "room",
    "domain": "push.example.com",
    "path": "live",
    "sequence": "2210464508206756938",
    "data_time": 1_700_000_000_123,
    "report_interval": 5000,
    "abnormal_event": [{"type": 6, "count": 2, "type_desc_cn": "卡顿", "type_desc_en": "video was slow"}],
}
STATUS = SHARED | {"event_type": 332, "event_time": 1_700_000_000, "record_event": "record_paused"}
EXCEPTION = SHARED | {
    "event_type": 341,
    "timestamp": 1_700_000_000,
    "exception_level": "warn",
    "exception": {"type": "no_frames", "occurs": 3, "desc": "nothing came"},
}
BODIES = {
    "screenshot": SCREENSHOT,
    "start": START,
    "stop": STOP,
    "recording": RECORDING,
    "error": ERROR,
    "status": STATUS,
    "exception": EXCEPTION,
}
NAMES = sorted(set(itertools.chain(*BODIES.values())))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-1, 1_000_001),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(
        [
            "",
            " ",
            "\u3000",
            " a",
            "a ",
            "a\n",
            "\x00",
            "\x7f",
            "a\x7f",
            "x" * 41,
            "x" * 257,
            "200",
            "1700000000",
            [],
            {},
            [{"type": 6}, {"type": 7, "type_desc_en": " "}],
            [{"count": 2}],
            {"type": "a", "desc": "b "},
        ]
    ),
    st.sampled_from([1, 0, 100, 200, 200.0, 253_402_300_799, 253_402_300_800, 2**63 - 1, 2**63, -0.0]),
)


def leniently(body: bytes) -> Any:
    return notification_of(parse_object(body)[0])


@pytest.mark.parametrize("name", BODIES)
def test_a_usual_body_is_read_by_one_decode(name: str) -> None:
    compact = json.dumps(BODIES[name], separators=(",", ":"), ensure_ascii=False)
    for body in (compact.encode(), json.dumps(BODIES[name], ensure_ascii=False).encode()):
        read = read_plain(body)
        assert read is not None
        assert read_from(read, body)[0] == leniently(body)
    assert read_with_t(body)[1] == ("1700000600" if "t" in BODIES[name] else None)


@pytest.mark.parametrize("name", BODIES)
def test_a_usual_body_without_any_one_field_is_read_the_same(name: str) -> None:
    for dropped in BODIES[name].keys() - {"event_type"}:
        body = json.dumps({key: value for key, value in BODIES[name].items() if key != dropped}).encode()
        assert read_with_t(body)[0] == leniently(body), dropped


@given(
    of=st.sampled_from(sorted(BODIES)),
    changed=st.dictionaries(
        st.sampled_from([*NAMES, "streamId", "domain", "path", "video_id", "anything"]), ODD, max_size=4
    ),
    dropped=st.sets(st.sampled_from(NAMES), max_size=3),
)
@example(of="screenshot", changed={"event_type": 200.0}, dropped=set())
@example(of="screenshot", changed={"sequence": "5"}, dropped=set())
@example(of="screenshot", changed={"domain": "elsewhere"}, dropped={"app"})
@example(of="recording", changed={"duration": 1_700_000_091}, dropped=set())
@example(of="recording", changed={"file_id": "a\x7f"}, dropped=set())
@example(of="screenshot", changed={"pic_url": "\x7f"}, dropped=set())
@example(of="start", changed={"app": "\x7f"}, dropped=set())
@example(of="start", changed={"app": "\x00"}, dropped=set())
@example(of="stop", changed={"stream_id": "a\x7f"}, dropped=set())
@example(of="stop", changed={"push_duration": ""}, dropped=set())
@example(of="stop", changed={"errmsg": " "}, dropped=set())
def test_whatever_is_odd_is_read_leniently(of: str, changed: dict[str, Any], dropped: set[str]) -> None:
    obj = {name: value for name, value in {**BODIES[of], **changed}.items() if name not in dropped}
    if "event_type" not in obj:
        return
    for body in (
        json.dumps(obj).encode(),
        json.dumps(obj, ensure_ascii=False).encode(),
        json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode(),
    ):
        read = read_plain(body)
        if read is not None:
            assert read_from(read, body)[0] == leniently(body)


@pytest.mark.parametrize("name", BODIES)
def test_a_content_does_not_depend_on_signature_order_or_spacing(name: str) -> None:
    turned = dict(reversed(BODIES[name].items())) | {"t": 1, "sign": "other"}
    body = json.dumps(turned, indent=3, ensure_ascii=False).encode()
    assert read_with_t(body)[0].content == leniently(json.dumps(BODIES[name]).encode()).content


def test_what_is_not_declared_is_skipped_unless_it_nests_too_deep_or_is_no_json() -> None:
    body = json.dumps(SCREENSHOT).encode()
    assert read_plain(body[:-1] + b',"new_field":[{"a":1e999}]}') is not None
    for tail in (b',"new_field":' + b"[" * 70 + b"]" * 70 + b"}", b',"new_field":01}'):
        assert read_plain(body[:-1] + tail) is None
        with pytest.raises(MalformedBody):
            read_with_t(body[:-1] + tail)
