"""Sentences of answers in the visitor's language: the facts in them stay, the words are the catalogue's."""

from collections.abc import Callable
from typing import Any

import pytest

from streamledger.domain.anomalies import DETAILS, AnomalyCode
from streamledger.domain.answers import Anomaly, Stop
from streamledger.domain.errors import MalformedBody, ParameterInvalid, SessionUnknown, StreamledgerError
from streamledger.domain.forensic_words import in_words
from streamledger.domain.forensics import Evidence, Grid
from streamledger.domain.quarantine_answers import Fault
from streamledger.tencent.envelope import read_envelope
from streamledger.web import moments
from streamledger.web import parameters as given
from streamledger.web.pages import saying
from streamledger.web.pages.words import Words
from streamledger.web.zones import ms_of_form

ENGLISH, CHINESE = Words("en"), Words("zh")
EVIDENCE = Evidence(
    because=("other_address", "off_schedule", "after_t"),
    since_first_s=3600.4,
    grid=Grid(era="today", interval_s=60, retry=12, distance_s=2880.4),
    address="other",
    t="same",
    bytes="same",
    late_s=3001,
    differs=("node", "user_ip"),
)
FACTS: dict[str, Any] = {
    **{"reported_ms": 1, "measured_ms": 22, "field": "app", "count": 3, "before_ms": 44, "after_ms": 55}
}


@pytest.mark.parametrize("code", AnomalyCode)
def test_every_anomaly_is_said_with_its_facts(code: AnomalyCode) -> None:
    facts = {name: FACTS[name] for name in FACTS if "{" + name + "}" in DETAILS[code]}
    anomaly = Anomaly(code=code.value, detail=DETAILS[code].format(**facts), facts=facts)
    assert saying.anomaly_detail(ENGLISH, anomaly) == anomaly.detail
    said = saying.anomaly_detail(CHINESE, anomaly)
    assert said != anomaly.detail
    assert all(str(fact) in said for fact in facts.values())


def test_a_count_that_has_come_to_its_limit_says_so() -> None:
    anomaly = Anomaly(code="stop_conflict", detail="", facts={"count": 8, "at_least": True})
    assert saying.anomaly_detail(ENGLISH, anomaly) == "at least 8 different stops were delivered"
    assert "至少 8" in saying.anomaly_detail(CHINESE, anomaly)


def test_evidence_is_said_in_both_languages_with_the_same_facts() -> None:
    asked = (EVIDENCE, "198.51.100.9", 12, "192.0.2.7")
    assert saying.evidence(ENGLISH, *asked) == in_words(*asked)
    said = saying.evidence(CHINESE, *asked)
    assert said.startswith(
        "比首次（位置 12）晚 1 小时；来自 198.51.100.9，首次来自 192.0.2.7；不符合任何重试间隔"
    )
    assert "node、user_ip" in said
    assert "签名已过期 50 分 1 秒" in said
    assert "（现行）" in said


@pytest.mark.parametrize(
    ("errcode", "meaning"), [(1, "推流端主动断流"), (18, "推流被拒绝"), (999, "未知"), (None, "未上报")]
)
def test_the_meaning_of_a_stop_is_told_by_its_errcode(errcode: int | None, meaning: str) -> None:
    stop = Stop(errcode=errcode, errmsg=None, class_="clean", meaning="in English")
    assert meaning in saying.stop_meaning(CHINESE, stop)


def test_a_problem_is_told_by_its_class_and_an_unforeseen_one_as_it_is() -> None:
    assert saying.problem(CHINESE, SessionUnknown(sequence="7")) == "没有序列号为 7 的会话"
    assert saying.problem(CHINESE, StreamledgerError()) == str(StreamledgerError())


def test_a_type_of_abnormal_event_without_a_name_here_has_the_senders() -> None:
    assert saying.abnormal(CHINESE, 1, "went back") == "视频时间戳回退"
    assert saying.abnormal(CHINESE, 15, "what Tencent calls it") == "what Tencent calls it"
    assert saying.abnormal(CHINESE, 15, None) == "15"


@pytest.mark.parametrize(
    ("body", "english", "chinese"),
    [
        (b"a=1", "got no value at character 1", "第 1 个字符"),
        (b"", "got nothing", "空内容"),
        (b'{"event_type":1', "got a text that ends in the midst of one", "中途截断"),
        (b'{"event_type":1} x', "got one with more after it", "后面还有"),
        (b'{"a" 1}', "got no colon at character 6", "缺少冒号"),
        (b"nope", "got something else at character 1", "第 1 个字符"),
        (b"[1]", "got a list", "数组"),
        (b'{"event_type":"x"}', "event_type: expected an integer from 0 to 2147483647, got 'x'", "'x'"),
        (b"{}", "event_type: expected an integer from 0 to 2147483647, got nothing", "空内容"),
    ],
)
def test_what_no_reader_can_read_is_told_in_codes_and_in_words(
    body: bytes, english: str, chinese: str
) -> None:
    with pytest.raises(MalformedBody) as raised:
        read_envelope(body)
    assert str(raised.value).endswith(english)
    facts: dict[str, Any] = raised.value.facts
    fault = Fault(field=facts["field"], **facts["fault"])
    assert saying.fault_detail(ENGLISH, fault) == str(raised.value)
    said = saying.fault_detail(CHINESE, fault)
    assert chinese in said
    assert "expected" not in said


def _of(ask: Callable[[], object]) -> StreamledgerError:
    with pytest.raises(ParameterInvalid) as raised:
        ask()
    return raised.value


@pytest.mark.parametrize(
    ("ask", "in_english", "in_chinese"),
    [
        (
            lambda: given.instant("from", "noon"),
            "from: expected RFC 3339 with an offset, or whole Unix seconds, got 'noon'",
            "from：应为 带时区偏移的时间（RFC 3339），或整数的 Unix 秒，实为 'noon'",
        ),
        (
            lambda: ms_of_form("from", "noon", None),
            "from: expected a date with a time, or RFC 3339 with an offset, got 'noon'",
            "from：应为 日期和时间，或带时区偏移的时间（RFC 3339），实为 'noon'",
        ),
        (
            lambda: moments.asked(None, "noon"),
            "known_at: expected a position, or RFC 3339 with an offset, got 'noon'",
            "known_at：应为 位置，或带时区偏移的时间（RFC 3339），实为 'noon'",
        ),
        (
            lambda: given.one_of("sort", "size", ("started", "duration")),
            "sort: expected one of started, duration, got 'size'",
            "sort：应为 started, duration 之一，实为 'size'",
        ),
    ],
)
def test_what_a_field_of_a_page_expects_is_said_in_the_visitors_language(
    ask: Callable[[], object], in_english: str, in_chinese: str
) -> None:
    error = _of(ask)
    assert str(error) == in_english
    assert saying.problem(Words("en"), error) == in_english
    assert saying.problem(Words("zh"), error) == in_chinese
