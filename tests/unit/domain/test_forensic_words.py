"""Evidence in words that a person can read."""

import pytest

from streamledger.domain.forensic_words import in_words, span
from streamledger.domain.forensics import REASONS, Evidence, Grid


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (1.46, "1.5 s"),
        (9.99, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_replay_tells_what_speaks_against_it() -> None:
    evidence = Evidence(
        because=("other_address", "off_schedule", "after_t"),
        since_first_s=3600.4,
        grid=Grid(era="today", interval_s=60, retry=12, distance_s=2880.4),
        address="other",
        t="same",
        bytes="same",
        late_s=3001,
    )
    assert in_words(evidence, "198.51.100.9", 12, "192.0.2.7") == (
        "1 h after the first, position 12; from 198.51.100.9, the first came from 192.0.2.7;"
        " fits no retry schedule; the nearest is the 60 s schedule (today), 48 min late;"
        " its t had passed 50 min 1 s before; the same bytes"
    )


def test_a_conflict_names_the_fields() -> None:
    evidence = Evidence(
        because=("other_content",),
        since_first_s=-2,
        t="older",
        bytes="other",
        same_as=9,
        differs=("a", "b"),
        key="k",
    )
    assert in_words(evidence, "", 12, "") == (
        "2 s before the first, position 12; says something else than the first; differs in a, b;"
        " as position 9 said before; with an older t; signed with the key k, not the first's"
    )


def test_a_signature_made_before_its_fact_says_how_long() -> None:
    evidence = Evidence(because=("signed_early",), signed_after_s=-300)
    assert in_words(evidence, "192.0.2.7", 1, "192.0.2.7") == "signed 5 min before what it reports"


def test_every_reason_can_be_said() -> None:
    for code in REASONS:
        assert in_words(Evidence(because=(code,), signed_after_s=-61), "192.0.2.7", None, None)
