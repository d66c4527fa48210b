"""The catalogues agree with each other, and a visitor gets the language that was asked for."""

import string
from typing import get_args

import pytest

from streamledger.domain.anomalies import DETAILS, AnomalyCode
from streamledger.domain.attributed import REASONS
from streamledger.domain.explanation import FIELD_RULES
from streamledger.domain.forensic_words import WORDS
from streamledger.domain.forensics import DeliveryClass
from streamledger.domain.notification import Kind
from streamledger.domain.suspicion import Suspicion
from streamledger.readmodel.queries.audit import SUSPICIOUS_CLASSES
from streamledger.tencent.abnormal import ABNORMAL_NAMES
from streamledger.tencent.errcodes import ERRCODES, ErrcodeClass, meaning_of
from streamledger.web.pages.quarantine import REASONS as REASONS_ASIDE
from streamledger.web.pages.session import FIELDS
from streamledger.web.pages.words import CATALOGUES, LANGUAGES, Words, language_of
from streamledger.web.problems import STATUS_OF


def facts_of(words: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(words) if name}


def test_every_language_has_the_same_keys_and_sets_in_the_same_facts() -> None:
    english = CATALOGUES["en"]
    for language in LANGUAGES[1:]:
        other = CATALOGUES[language]
        assert other.keys() == english.keys()
        assert {key: facts_of(other[key]) for key in other} == {
            key: facts_of(english[key]) for key in english
        }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_value_that_a_page_can_show_has_a_word(language: str) -> None:
    catalogue = CATALOGUES[language]
    assert {f"anomaly.{code}" for code in AnomalyCode} <= set(catalogue)
    assert {f"state_reason.{code}" for code in get_args(Suspicion)} <= set(catalogue)
    assert {f"class.{each}" for each in (*DeliveryClass, *SUSPICIOUS_CLASSES)} <= set(catalogue)
    assert {f"rule.{code}" for code in FIELD_RULES} | {f"because.{code}" for code in REASONS} <= set(
        catalogue
    )
    assert {f"field.{field}" for field in FIELDS} <= set(catalogue)
    assert {f"kind.{kind}" for kind in Kind} | {f"stop_class.{each}" for each in ErrcodeClass} <= set(
        catalogue
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_that_an_answer_can_say_has_its_words(language: str) -> None:
    catalogue = CATALOGUES[language]
    assert {f"anomaly_detail.{code}" for code in AnomalyCode} <= set(catalogue)
    assert {f"evidence.{key}" for key in WORDS} <= set(catalogue)
    assert {f"errcode.{code}" for code in (*ERRCODES, "unknown", "absent")} <= set(catalogue)
    assert {f"abnormal.{number}" for number in ABNORMAL_NAMES} <= set(catalogue)
    assert {f"set_aside.{reason}" for reason in REASONS_ASIDE} <= set(catalogue)
    assert {f"problem.{error.__name__}" for error in STATUS_OF} <= set(catalogue)


def test_in_english_the_pages_say_what_the_json_interface_says() -> None:
    english = CATALOGUES["en"]
    assert {code: english[f"anomaly_detail.{code}"] for code in DETAILS} == DETAILS
    assert {key: english[f"evidence.{key}"] for key in WORDS} == WORDS
    assert {code: english[f"errcode.{code}"] for code in ERRCODES} == {
        code: meaning_of(code) for code in ERRCODES
    }
    assert (english["errcode.unknown"], english["errcode.absent"]) == (meaning_of(-1), meaning_of(None))
    assert {n: english[f"abnormal.{n}"] for n in ABNORMAL_NAMES} == ABNORMAL_NAMES
    for error in STATUS_OF:
        assert english[f"problem.{error.__name__}"] == " ".join((error.__doc__ or "").split())


def test_a_value_without_a_word_is_shown_itself() -> None:
    assert Words("en").named("state", "paused") == "paused"
    assert Words("en").named("state", None) == "unknown"


@pytest.mark.parametrize(
    ("cookie", "accepted", "expected"),
    [
        (None, None, "en"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, "de,en;q=0.5,zh;q=0.7", "zh"),
        (None, "fr", "en"),
        (None, "zh;q=0", "en"),
        (None, ";;;q=x, zh;q=abc", "en"),
        ("zh", "en", "zh"),
        ("xx", "zh", "zh"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_browsers_best(
    cookie: str | None, accepted: str | None, expected: str
) -> None:
    assert language_of(cookie, accepted) == expected
