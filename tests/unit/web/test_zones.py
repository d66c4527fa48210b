"""Times in the zone that a visitor has chosen: written, read from forms, marked on an axis."""

from collections.abc import Iterator

import pytest

from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import parse_instant_ms
from streamledger.web import zones
from streamledger.web.pages.axis import axis_over
from streamledger.web.pages.formats import day_and_time, time_of_day

EVENING = "2024-04-21T20:31:18Z"


@pytest.fixture(autouse=True)
def back_to_utc() -> Iterator[None]:
    yield
    zones.choose(None, "en")


@pytest.mark.parametrize(
    ("cookie", "language", "label", "shown"),
    [
        (None, "en", "UTC", "2024-04-21 20:31:18"),
        (None, "zh", "UTC+8", "2024-04-22 04:31:18"),
        ("UTC", "zh", "UTC", "2024-04-21 20:31:18"),
        ("+08:00", "en", "UTC+8", "2024-04-22 04:31:18"),
        ("Europe/Paris", "en", "Europe/Paris", "2024-04-21 22:31:18"),
        ("../../etc/passwd", "en", "UTC", "2024-04-21 20:31:18"),
        ("Europe", "en", "UTC", "2024-04-21 20:31:18"),
        ("x" * 65, "en", "UTC", "2024-04-21 20:31:18"),
    ],
)
def test_times_are_written_in_the_chosen_zone(
    cookie: str | None, language: str, label: str, shown: str
) -> None:
    zones.choose(cookie, language)
    assert zones.zone().label == label
    assert day_and_time(EVENING) == shown
    assert time_of_day(parse_instant_ms(EVENING)) == shown[11:]


def test_a_field_of_a_form_is_read_in_the_zone_that_it_says_and_shown_in_the_visitors() -> None:
    zones.choose("+08:00", "en")
    assert zones.ms_of_form("from", "2024-04-22T04:31") == parse_instant_ms("2024-04-21T20:31:00Z")
    told = zones.ms_of_form("from", "2024-04-21T22:31", "Europe/Paris")
    assert told == parse_instant_ms("2024-04-21T20:31:00Z")
    assert zones.field_of(told) == "2024-04-22T04:31"
    assert zones.ms_of_form("from", EVENING) == parse_instant_ms(EVENING)
    assert zones.ms_of_form("from", "") is None
    with pytest.raises(ParameterInvalid):
        zones.ms_of_form("from", "yesterday")


def test_the_ends_of_time_have_a_text_in_every_zone() -> None:
    zones.choose("+08:00", "en")
    assert day_and_time("1970-01-01T00:00:00Z").startswith("1970-01-0")
    assert day_and_time("9999-12-31T23:59:59Z").startswith("9999-12-3")


def test_an_axis_is_marked_at_round_hours_and_days_of_the_zone() -> None:
    zones.choose("Asia/Kolkata", "en")
    from_ms = parse_instant_ms("2024-04-21T10:00:00Z")
    labels = [tick.label for tick in axis_over(from_ms, from_ms + 24 * 3_600_000, 0, 1000).ticks()]
    assert labels[0] == "04-21 18:00"
    assert "04-22 00:00" in labels
