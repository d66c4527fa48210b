"""Times on the command line: given as `1h`, `yesterday` or a date in the local zone, shown in that zone."""

import re
import time
from datetime import datetime, timedelta
from typing import Final

import click

from streamledger.domain.instants import MS_MAX, parse_instant_ms

EXPECTED: Final = (
    "a time: 30m, 1h or 2d ago, now, today, yesterday, 2026-11-27 or '2026-11-27 18:30' in the local zone,"
    " RFC 3339 with an offset, or whole Unix seconds"
)
_AGO: Final = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_when_ms(text: str, now: datetime) -> int:
    """Milliseconds since 1970 of a time as people write it; `now` has the zone. Raises ValueError."""
    word = text.strip().lower()
    if word == "now":
        return _ms(now)
    if word in ("today", "yesterday"):
        day = now.date() - timedelta(days=word == "yesterday")
        return _ms(datetime(day.year, day.month, day.day).astimezone())  # local, as `now` is
    if found := _AGO.fullmatch(word):
        return _ms(now) - int(found[1]) * _UNIT_S[found[2]] * 1000
    try:
        return parse_instant_ms(text)
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is not None:
            raise
        return _ms(moment.astimezone())


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


class When(click.ParamType[int]):
    """An option that is a time: its value are milliseconds since 1970."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds since 1970."""
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            ms = parse_when_ms(text, datetime.now().astimezone())
        except (ValueError, OverflowError):
            ms = -1
        if not 0 <= ms <= MS_MAX:
            self.fail(f"expected {EXPECTED}, got {text[:64]!r}", param, ctx)
        return ms


WHEN: Final = When()


def local(instant: str | None) -> str:
    """An instant of an answer, RFC 3339 in UTC, as the local clock shows it, to the second."""
    if not instant:
        return ""
    return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zone() -> str:
    """The offset of the local zone now, such as +08:00, for the head of a column of times."""
    offset = time.strftime("%z")
    return f"{offset[:3]}:{offset[3:]}" if offset else "UTC"
