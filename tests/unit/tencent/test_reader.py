"""Every kind of body becomes its notification, however its numbers and texts were typed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamledger.domain.notification import (
    AbnormalEvent,
    Kind,
    Notification,
    Push,
    PushError,
    Recording,
    RecordingStatus,
    Screenshot,
)
from streamledger.tencent.bodies import BODY_BY_EVENT_TYPE
from streamledger.tencent.content import (
    content_digest,
    content_of_object,
    content_of_strict,
    meaning_of,
)
from streamledger.tencent.fields import is_blank
from streamledger.tencent.filling import readings_of
from streamledger.tencent.reader import mended_fields, read_notification, read_plain
from streamledger.tencent.tolerant import parse_object

from .samples import NAMES, body_of, expected_of

T_S = 1_764_000_000
READABLE = [name for name in NAMES if "malformed_field" not in expected_of(name)]


def read(event_type: int, **fields: Any) -> Notification:
    return read_notification(json.dumps({"event_type": event_type, **fields}).encode())


@pytest.mark.parametrize("sent", ["123", 123, 123.0, " 123 ", "+123"])
def test_a_number_may_be_sent_as_text(sent: object) -> None:
    notification = read(0, push_duration=sent, errcode="-1", event_time="1471256200")
    assert notification.detail == Push(push_duration_ms=123, errcode=-1)
    assert notification.at_ms == 1471256200000
    assert notification.unreadable == ()


@pytest.mark.parametrize("sent", [None, "", " "])
def test_a_blank_field_is_absent_and_not_unreadable(sent: object) -> None:
    notification = read(
        0, push_duration=sent, stream_id=sent, sequence=sent, event_time=sent, node=sent, app=sent
    )
    assert notification.detail == Push()
    assert notification.unreadable == ()
    assert notification.key == "md5:" + notification.content


def test_an_unreadable_field_is_none_and_named() -> None:
    notification = read(
        0,
        stream_id=["s"],
        sequence=1.5,
        push_duration="12 s",
        event_time=253402300800,
        width=2**63,
        height=True,
        errmsg={},
        node="a\0b",
    )
    assert notification.detail == Push(node="a�b")
    assert (notification.stream_id, notification.sequence, notification.at_ms) == (None, None, None)
    assert notification.unreadable == (
        "errmsg", "event_time", "height", "node", "push_duration", "sequence", "stream_id", "width",
    )  # fmt: skip


@pytest.mark.parametrize("sent", [0, -1, 946_684_800, 1_262_303_999, 253_402_300_800, 946_684_800_000])
def test_a_time_that_was_never_meant_is_unreadable(sent: int) -> None:
    assert (read(1, event_time=sent).at_ms, read(1, event_time=sent).unreadable) == (None, ("event_time",))


def test_times_reach_from_2010_to_9999_and_thirteen_digits_are_milliseconds() -> None:
    assert read(1, event_time=1_262_304_000).at_ms == 1_262_304_000_000
    assert read(1, event_time=253_402_300_799).at_ms == 253_402_300_799_000
    for sent in (1_764_000_000_123, "1764000000123"):
        notification = read(1, event_time=sent)
        assert (notification.at_ms, notification.unreadable) == (1_764_000_000_123, ())
    assert read(1, event_time=T_S * 1000).content == read(1, event_time=T_S).content
    assert mended_fields({"event_type": 1, "event_time": T_S * 1000}) == ("milliseconds",)
    assert mended_fields({"event_type": 1, "event_time": T_S, "stream_id": "s", "channel_id": "c"}) == ()


def test_a_recording_spans_its_duration_back_from_its_end() -> None:
    notification = read(
        100, start_time=T_S + 10, end_time=T_S + 100, end_time_usec=618577, start_time_usec=5000, duration=60
    )
    assert (notification.at_ms, notification.until_ms) == (T_S * 1000 + 40618, T_S * 1000 + 100618)
    assert isinstance(notification.detail, Recording)
    assert notification.detail.writing_started_ms == T_S * 1000 + 10005
    assert notification.detail.writing_ended_ms == T_S * 1000 + 100618


@pytest.mark.parametrize("sent", [69.403, "69.403", " 69.403 "])
def test_a_duration_may_have_a_fraction(sent: object) -> None:
    notification = read(100, start_time=T_S, end_time=T_S + 100, duration=sent)
    assert (notification.at_ms, notification.unreadable) == (T_S * 1000 + 30_597, ())
    assert isinstance(notification.detail, Recording)
    assert notification.detail.duration_ms == 69_403
    assert read(100, duration="1 h").unreadable == ("duration",)


@pytest.mark.parametrize(
    "fields",
    [
        {"duration": 5},
        {"end_time": T_S + 100},
        {"end_time": T_S + 100, "duration": 0},
        {"end_time": T_S + 100, "duration": 91},
        {"end_time": T_S + 100, "duration": 4434},
    ],
)
def test_the_content_of_a_recording_never_begins_before_its_writing(fields: dict[str, int]) -> None:
    assert read(100, start_time=T_S + 10, **fields).at_ms == T_S * 1000 + 10_000
    assert read(100, end_time=T_S + 100, duration=91).at_ms == T_S * 1000 + 9000


def test_a_recording_is_known_by_the_newest_of_its_ids() -> None:
    assert read(100, file_id="a", record_file_id="b", video_id="c").key == "a"
    assert read(100, file_id="", record_file_id="b", video_id="c").key == "b"
    assert read(100, video_id="c").key == "c"
    assert read(100).key.startswith("md5:")
    assert read(100, file_id="x" * 40).key == "x" * 40
    long = read(100, file_id="x" * 257)
    assert long.key.startswith("xxh:")
    assert long.key != read(100, file_id="x" * 258).key
    assert isinstance(long.detail, Recording)
    assert long.detail.file_id == "x" * 257


def test_a_screenshot_is_known_by_its_name_its_place_and_its_time() -> None:
    shot = {"create_time": T_S, "pic_url": "/a.jpg", "app": "push.example.com", "appname": "live"}
    notification = read(200, **shot, file_size="7", width="640")
    assert notification.detail == Screenshot(pic_url="/a.jpg", file_bytes=7, width=640)
    assert (notification.kind, notification.at_ms) == (Kind.SCREENSHOT, T_S * 1000)
    others = [{"create_time": T_S + 86400}, {"pic_url": "/b.jpg"}, {"app": "b.example"}, {"appname": None}]
    assert len({notification.key, *(read(200, **shot | other).key for other in others)}) == 5
    same = shot | {"create_time": str(T_S), "app": "Push.example.com:1935", "width": 320}
    assert read(200, **same).key == notification.key
    assert read(200).key == "md5:" + read(200).content


def test_a_channel_alone_names_the_stream() -> None:
    assert read(1, channel_id="room", sequence="7").stream_id == "room"
    assert read(1, channel_id="room", stream_id=" ").stream_id == "room"
    assert read(1, channel_id="room", stream_id="other").stream_id == "other"
    assert read(329, channel_id="room").stream_id is None, "a channel of StreamLive"
    assert mended_fields({"event_type": 1, "channel_id": "room"}) == ("channel_id",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"event_time": T_S}, {"event_time": str(T_S)}),
        ({"width": None}, {}),
        ({"width": ""}, {}),
        ({"errmsg": " "}, {}),
        ({"push_duration": "69"}, {"push_duration": 69.0}),
        ({"set_id": None, "appid": 7}, {"appid": "7"}),
        ({"sequence": 5}, {"sequence": "5"}),
    ],
)
def test_contents_are_compared_by_meaning(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert read(0, **one).content == read(0, **other).content


def test_what_is_not_declared_or_has_no_identity_of_its_own_counts_exactly() -> None:
    assert read(0, new_field=None).content != read(0).content
    assert read(0, new_field="5").content != read(0, new_field=5).content
    assert read(0, width="wide").content != read(0, width="Wide").content
    assert read(999, event_time=str(T_S)).content != read(999, event_time=T_S).content


def test_a_push_error_keeps_what_is_readable_of_its_events() -> None:
    events = [{"type": "6", "count": 2, "type_desc_en": "slow"}, {"type": 7}, {"count": 1}, 5]
    notification = read(321, data_time="1680588074971", domain="d", path="p", abnormal_event=events)
    assert notification.detail == PushError(
        abnormal_events=(AbnormalEvent(type=6, count=2, description="slow"), AbnormalEvent(type=7))
    )
    assert (notification.at_ms, notification.app, notification.appname) == (1680588074971, "d", "p")
    assert notification.unreadable == ("abnormal_event",)


def test_a_recording_exception_reads_its_inner_object() -> None:
    exception = {"type": "no_frames", "occurs": 3, "desc": "nothing came"}
    notification = read(341, timestamp=T_S, exception=exception, exception_level=2, session_id="s")
    assert notification.detail == RecordingStatus(
        session_id="s", exception_type="no_frames", exception_level="2", description="nothing came"
    )
    assert notification.at_ms == T_S * 1000
    assert read(341, exception="text").unreadable == ("exception",)


def test_an_image_audit_is_read_in_camel_case() -> None:
    notification = read(317, streamId="s", channelId="s", screenshotTime=1555030273, sendTime=1555030275)
    assert (notification.kind, notification.stream_id, notification.at_ms) == (Kind.OTHER, "s", 1555030273000)


@pytest.mark.parametrize(
    ("fields", "at_ms"),
    [
        ({"event_time": T_S + 1, "data_time": T_S * 1000}, 1000),
        ({"data_time": T_S * 1000 + 2, "timestamp": T_S}, 2),
        ({"timestamp": T_S + 3, "create_time": T_S}, 3000),
        ({"create_time": T_S + 4, "sendTime": T_S}, 4000),
        ({"sendTime": T_S + 5, "begin_time": T_S}, 5000),
        ({"begin_time": T_S + 6}, 6000),
        ({}, None),
    ],
)
def test_an_unknown_type_takes_the_first_time_it_finds(fields: dict[str, int], at_ms: int | None) -> None:
    assert read(999, **fields).at_ms == (None if at_ms is None else T_S * 1000 + at_ms)


def test_long_text_is_kept_whole_and_the_case_of_urls_too() -> None:
    param = "txSecret=x&" + "y" * 10_000
    notification = read(100, stream_param=param, video_url="HTTP://h/f.flv")
    assert notification.stream_param == param
    assert isinstance(notification.detail, Recording)
    assert notification.detail.video_url == "HTTP://h/f.flv"


@given(
    st.sampled_from(READABLE),
    st.integers(0, 2**40),
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.randoms(),
)
def test_a_copy_signed_anew_with_its_keys_shuffled_is_the_same_notification(
    name: str, t: int, sign: str, random: Any
) -> None:
    obj = json.loads(body_of(name).replace("　".encode(), b"").replace("//文件路径名".encode(), b""))
    items = [*{**obj, "t": t, "sign": sign}.items()]
    random.shuffle(items)
    assert read_notification(json.dumps(dict(items)).encode()) == read_notification(body_of(name))


def test_another_content_has_another_digest() -> None:
    assert read(0, sequence="1", errcode=1).content != read(0, sequence="1", errcode=2).content
    assert read(0, sequence="1", errcode=1).key == read(0, sequence="1", errcode=2).key


def test_what_json_cannot_write_still_has_a_digest() -> None:
    for value in (float("nan"), float("-inf"), 16**5000, "\ud800", {"\ud800": [16**5000]}):
        assert len(content_digest({"a": value})) == 32
    assert content_digest({"a": 16**5000}) != content_digest({"a": 16**5000 + 1})


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(1_500_000_000_000, 1_500_000_000_999),
    st.floats(allow_nan=False),
    st.text(st.characters(categories=["L", "N", "Z", "Cc", "Cs"]), max_size=4),
    st.sampled_from(["", " ", "1", " 1 ", "live", " live", "live ", "a b", "\0", "1.5", "a=b"]),
)


@given(st.sampled_from([0, 1, 100, 200]), st.data())
def test_what_a_body_says_is_what_the_reading_of_each_of_its_fields_says(
    event_type: int, data: st.DataObject
) -> None:
    readings = readings_of(BODY_BY_EVENT_TYPE[event_type])
    sent = data.draw(st.dictionaries(st.sampled_from([*readings, "else"]), _VALUES, max_size=6))
    said = meaning_of({"event_type": event_type, **sent})
    for name, value in sent.items():
        if name not in readings:
            assert said[name] is value
        elif is_blank(value):
            assert name not in said
        else:
            found, is_readable = readings[name](value)
            expected = found if is_readable else value
            assert (type(said[name]), said[name]) == (type(expected), expected)


_ODD: tuple[Any, ...] = (
    *(None, 1, 0, 2**65, 1.5, True, [], {"a": ""}),
    *("", " ", "1", "007", "a b", "live ", "\0", "\x7f", "\\", "ä", "\u3000a"),
)


def test_a_body_that_fits_its_struct_says_what_its_fields_say() -> None:
    fitting = set()
    for name in READABLE:
        obj, _ = parse_object(body_of(name))
        for field in {*obj, "appid", "set_id", "callback_ext", "channel_id", "else"} - {"event_type"}:
            for value in _ODD:  # one at a time: of two, one would hide what becomes of the other
                sent = {**obj, field: value}
                body = json.dumps(sent).encode()
                read = read_plain(body)
                if read is not None:
                    fitting.add(type(read))
                    assert content_of_strict(body, type(read)) == content_of_object(sent)
    assert {BODY_BY_EVENT_TYPE[event_type] for event_type in (0, 1, 100, 200)} <= fitting
