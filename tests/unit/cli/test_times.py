"""Times as people give and read them on the command line."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from streamledger.cli.times import local, parse_when_ms, zone

NOON_S = 1_795_752_000  # 2026-11-27T04:00:00Z: noon in Shanghai


@pytest.fixture(autouse=True)
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[datetime]:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield datetime.fromtimestamp(NOON_S).astimezone()
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", NOON_S),
        ("90s", NOON_S - 90),
        ("1h", NOON_S - 3600),
        ("2 d", NOON_S - 2 * 86_400),
        ("today", NOON_S - 12 * 3600),
        ("yesterday", NOON_S - 36 * 3600),
        ("2026-11-27", NOON_S - 12 * 3600),
        ("2026-11-27 11:30", NOON_S - 1800),
        ("2026-11-27T03:00:00Z", NOON_S - 3600),
        ("1795752000", NOON_S),
    ],
)
def test_a_time_is_read_as_people_write_it(shanghai: datetime, text: str, seconds: int) -> None:
    assert parse_when_ms(text, shanghai) == seconds * 1000


@pytest.mark.parametrize("text", ["", "soon", "1y", "-1h", "2026-13-01", "tomorrow"])
def test_what_is_no_time_is_refused(shanghai: datetime, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_when_ms(text, shanghai)


def test_times_are_shown_as_the_local_clock_shows_them() -> None:
    assert (local("2026-11-27T04:00:00.250Z"), zone()) == ("2026-11-27 12:00:00", "+08:00")
    assert local(None) == ""
