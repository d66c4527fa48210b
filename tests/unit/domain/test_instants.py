"""Instants as text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamledger.domain.instants import MS_MAX, instant_ms, instant_us, parse_instant_ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1713731478000, "2024-04-21T20:31:18Z"),
        (1713731478042, "2024-04-21T20:31:18.042Z"),
        (MS_MAX, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_is_rfc_3339_in_utc(ms: int, text: str) -> None:
    assert instant_ms(ms) == text


@given(st.integers(0, MS_MAX))
def test_an_instant_reads_back_as_it_was(ms: int) -> None:
    assert parse_instant_ms(instant_ms(ms)) == ms


def test_microseconds_are_always_shown() -> None:
    assert instant_us(1713731478000001) == "2024-04-21T20:31:18.000001Z"


def test_unix_seconds_and_offsets_are_understood() -> None:
    assert parse_instant_ms("1713731478") == 1713731478000
    assert parse_instant_ms("2024-04-22T04:31:18+08:00") == 1713731478000


@pytest.mark.parametrize("text", ["", "yesterday", "2024-04-21T20:31:18", "１７１３", "9" * 13])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_instant_ms(text)
