"""Sentences of answers in the visitor's language: the facts in them stay, the words are the catalogue's."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamledger.domain.anomalies import DETAILS, AnomalyCode
from streamledger.domain.answers import Anomaly, Stop
from streamledger.domain.errors import MalformedBody, SessionUnknown, StreamledgerError
from streamledger.domain.forensic_words import in_words
from streamledger.domain.forensics import Evidence, Grid
from streamledger.web.pages import saying
from streamledger.web.pages.words import Words

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
FACTS: dict[str, Any] = {"reported_ms": 1, "measured_ms": 22, "field": "app", "count": 3, "before_ms": 44}


@pytest.mark.parametrize("code", AnomalyCode)
def test_the_facts_of_every_anomaly_are_found_in_what_it_says(code: AnomalyCode) -> None:
    anomaly = Anomaly(code=code.value, detail=DETAILS[code].format(**FACTS))
    assert saying.anomaly_detail(ENGLISH, anomaly) == anomaly.detail
    said = saying.anomaly_detail(CHINESE, anomaly)
    assert said != anomaly.detail
    assert all(str(FACTS[name]) in said for name in FACTS if "{" + name + "}" in DETAILS[code])


@given(st.text(), st.text())
def test_facts_are_read_back_as_they_were_set_in_or_not_at_all(name: str, got: str) -> None:
    template = "the field {name} holds {got}"
    found = saying.facts_in(template, template.format(name=name, got=got))
    assert found is not None
    assert template.format(**found) == template.format(name=name, got=got)
    assert saying.facts_in(template, "something else") is None


def test_evidence_is_said_in_both_languages_with_the_same_facts() -> None:
    asked = (EVIDENCE, "198.51.100.9", 12, "192.0.2.7")
    assert saying.evidence(ENGLISH, *asked) == in_words(*asked)
    said = saying.evidence(CHINESE, *asked)
    assert said.startswith(
        "比首次（位置 12）晚 1 h；来自 198.51.100.9，首次来自 192.0.2.7；不符合任何重试间隔"
    )
    assert "node、user_ip" in said


@pytest.mark.parametrize(
    ("errcode", "meaning"), [(1, "推流端主动断流"), (18, "推流被拒绝"), (999, "未知"), (None, "未上报")]
)
def test_the_meaning_of_a_stop_is_told_by_its_errcode(errcode: int | None, meaning: str) -> None:
    stop = Stop(errcode=errcode, errmsg=None, class_="clean", meaning="in English")
    assert meaning in saying.stop_meaning(CHINESE, stop)


def test_what_could_not_be_read_is_told_with_its_facts() -> None:
    detail = str(MalformedBody(field="body", expected="a JSON object", got="a list"))
    assert saying.set_aside_detail(CHINESE, detail) == "内容无法读作通知：body 应为 JSON 对象，实为 a list"
    assert saying.set_aside_detail(ENGLISH, detail) == detail
    number = str(MalformedBody(field="event_type", expected="an integer from 0 to 99", got="'x'"))
    assert "event_type 应为 0 至 99 的整数" in saying.set_aside_detail(CHINESE, number)
    assert saying.set_aside_detail(CHINESE, "as it was found") == "as it was found"


def test_a_problem_is_told_by_its_class_and_an_unforeseen_one_as_it_is() -> None:
    assert saying.problem(CHINESE, SessionUnknown(sequence="7")) == "没有序列号为 7 的会话"
    assert saying.problem(CHINESE, StreamledgerError()) == str(StreamledgerError())


def test_a_type_of_abnormal_event_without_a_name_here_has_the_senders() -> None:
    assert saying.abnormal(CHINESE, 1, "went back") == "视频时间戳回退"
    assert saying.abnormal(CHINESE, 15, "what Tencent calls it") == "what Tencent calls it"
    assert saying.abnormal(CHINESE, 15, None) == "15"
