"""How facts are written on the pages, and which addresses are links."""

import pytest

from streamledger.web.pages import formats


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (-5, "0 s"),
        (42_999, "42 s"),
        (725_000, "12:05"),
        (11_112_000, "3:05:12"),
        (183_912_000, "2d 03:05:12"),
    ],
)
def test_durations_read_as_clocks_do(ms: int | None, text: str) -> None:
    assert formats.clock(ms) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(840, "840 ms"), (1200, "1.2 s"), (-3100, "−3.1 s"), (42_000, "42 s"), (725_000, "12:05")],
)
def test_delays_are_finer_where_they_are_short(ms: int, text: str) -> None:
    assert formats.delay(ms) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (512, "512 B"),
        (1400, "1.4 kB"),
        (30_045_521, "30.0 MB"),
        (999_960, "1.0 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_have_the_unit_that_fits(count: int, text: str) -> None:
    assert formats.size(count) == text


@pytest.mark.parametrize(
    "url", ["https://a.example.com/b.jpg", "http://192.0.2.1:81/x", "HTTP://A.example.com/"]
)
def test_web_addresses_are_links(url: str) -> None:
    assert formats.web_address(url) == url


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "//a.example.com", "/b.jpg", "https://", "http://[", None, 7],
)
def test_nothing_else_is(url: object) -> None:
    assert formats.web_address(url) is None


def test_long_texts_keep_both_ends() -> None:
    assert formats.short("a" * 60) == "a" * 60
    assert formats.short("abcdefghij", 7) == "abc…hij"


def test_of_two_objects_only_the_parts_that_differ_are_shown() -> None:
    assert formats.unlike_parts([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 4, "d": 5}]) == (
        {"b": 2, "c": 3},
        {"b": 4, "d": 5},
    )
    assert formats.unlike_parts([None, 3]) == (None, 3)
