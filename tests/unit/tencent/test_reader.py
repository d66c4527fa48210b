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
from streamledger.tencent.reader import content_digest, read_notification

from .samples import NAMES, body_of, expected_of

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


def test_times_reach_from_1970_to_9999() -> None:
    assert read(1, event_time=0).at_ms == 0
    assert read(1, event_time=253402300799).at_ms == 253402300799000
    assert read(1, event_time=-1).unreadable == ("event_time",)


def test_a_recording_spans_its_duration_back_from_its_end() -> None:
    notification = read(
        100, start_time=10, end_time=100, end_time_usec=618577, start_time_usec=5000, duration=60
    )
    assert (notification.at_ms, notification.until_ms) == (40618, 100618)
    assert isinstance(notification.detail, Recording)
    assert (notification.detail.writing_started_ms, notification.detail.writing_ended_ms) == (10005, 100618)


@pytest.mark.parametrize("missing", [{"duration": 5}, {"end_time": 100}, {"end_time": 100, "duration": 101}])
def test_a_recording_without_a_usable_duration_begins_with_its_writing(missing: dict[str, int]) -> None:
    assert read(100, start_time=10, **missing).at_ms == 10000


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


def test_a_screenshot_is_known_by_its_path() -> None:
    notification = read(200, create_time=5, pic_url="/a.jpg", file_size="7", width="640")
    assert notification.detail == Screenshot(pic_url="/a.jpg", file_bytes=7, width=640)
    assert (notification.kind, notification.key, notification.at_ms) == (Kind.SCREENSHOT, "/a.jpg", 5000)


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
    notification = read(341, timestamp=9, exception=exception, exception_level=2, session_id="s")
    assert notification.detail == RecordingStatus(
        session_id="s", exception_type="no_frames", exception_level="2", description="nothing came"
    )
    assert notification.at_ms == 9000
    assert read(341, exception="text").unreadable == ("exception",)


def test_an_image_audit_is_read_in_camel_case() -> None:
    notification = read(317, streamId="s", channelId="s", screenshotTime=1555030273, sendTime=1555030275)
    assert (notification.kind, notification.stream_id, notification.at_ms) == (Kind.OTHER, "s", 1555030273000)


@pytest.mark.parametrize(
    ("fields", "at_ms"),
    [
        ({"event_time": 1, "data_time": 2}, 1000),
        ({"data_time": 2, "timestamp": 3}, 2),
        ({"timestamp": 3, "create_time": 4}, 3000),
        ({"create_time": 4, "sendTime": 5}, 4000),
        ({"sendTime": 5, "begin_time": 6}, 5000),
        ({"begin_time": 6}, 6000),
        ({}, None),
    ],
)
def test_an_unknown_type_takes_the_first_time_it_finds(fields: dict[str, int], at_ms: int | None) -> None:
    assert read(999, **fields).at_ms == at_ms


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
