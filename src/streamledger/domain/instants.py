"""Instants as text: RFC 3339 in UTC, from and to milliseconds or microseconds since 1970."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: later ones have no RFC 3339 form."""


def instant_ms(ms: int) -> str:
    """`2024-04-21T20:31:18Z`, with milliseconds where there are any."""
    seconds, rest = divmod(max(0, min(ms, MS_MAX)), 1000)
    days, seconds = divmod(seconds, 86400)
    minutes, seconds = divmod(seconds, 60)
    text = f"{_date(days)}T{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    return f"{text}.{rest:03d}Z" if rest else f"{text}Z"


@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    """The date so many days after 1970: lists have hundreds of instants of a few days."""
    return (EPOCH + timedelta(days=days)).date().isoformat()


def instant_us(us: int) -> str:
    """`2024-04-21T20:31:18.012345Z`: microseconds always shown, so that texts sort as times do."""
    moment = EPOCH + timedelta(microseconds=max(0, min(us, MS_MAX * 1000)))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def parse_instant_ms(text: str) -> int:
    """Milliseconds since 1970 from RFC 3339 with an offset, or from whole Unix seconds. Raises ValueError."""
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return int(text) * 1000
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return (moment - EPOCH) // timedelta(milliseconds=1)
