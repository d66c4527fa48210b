"""In which time zone a visitor reads and writes times: the one that was chosen, kept in a cookie.

Without a choice it is UTC, and UTC+8 for who reads Chinese, as in Tencent's console. It holds for one
request: the guard of the pages sets it, and what writes a time below asks for it.
"""

import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from streamledger.domain.errors import ParameterInvalid
from streamledger.domain.instants import EPOCH, MS_MAX, parse_instant_ms

COOKIE: Final = "streamledger_zone"
CHINA: Final = "+08:00"
FIXED: Final = {"UTC": UTC, CHINA: timezone(timedelta(hours=8))}
"""What everybody can choose; beside them the zone of the visitor's device, by its name at IANA."""
NAME_CHARACTERS_MAX: Final = 64


class Zone:
    """A zone by the name that the cookie has."""

    def __init__(self, name: str, rules: tzinfo) -> None:
        self.name = name
        self.rules = rules

    def offset(self, ms: int) -> timedelta:
        """How far its clocks are ahead of UTC at an instant."""
        return self._at(ms).utcoffset() or timedelta()

    def text(self, ms: int) -> str:
        """`2024-04-21T20:31:18` as its clocks show it."""
        return self._at(ms).isoformat(timespec="seconds")[:19]

    @property
    def label(self) -> str:
        """`UTC`, `UTC+8` or `Europe/Paris`."""
        return {CHINA: "UTC+8"}.get(self.name, self.name)

    def _at(self, ms: int) -> datetime:
        # A day from either end of what a datetime can hold: no offset leads beyond.
        inside = min(max(ms, 86_400_000), MS_MAX - 86_400_000)
        return (EPOCH + timedelta(milliseconds=inside)).astimezone(self.rules)


_UTC: Final = Zone("UTC", UTC)
_chosen: ContextVar[Zone] = ContextVar("zone", default=_UTC)


def zone_named(name: str | None) -> Zone | None:
    """The zone of a name; None where there is none, as on a machine without the data of zones."""
    if name is None or len(name) > NAME_CHARACTERS_MAX:
        return None
    if name in FIXED:
        return Zone(name, FIXED[name])
    try:
        return Zone(name, ZoneInfo(name))
    except (ValueError, OSError, LookupError):  # a name that is no file name, a directory, none
        return None


def choose(cookie: str | None, language: str) -> None:
    """Go by the visitor's zone in this request."""
    _chosen.set(zone_named(cookie) or Zone(*(CHINA, FIXED[CHINA]) if language == "zh" else ("UTC", UTC)))


def zone() -> Zone:
    """The zone of this request's visitor."""
    return _chosen.get()


def ms_of_form(name: str, text: str | None, zone_name: str | None = None) -> int | None:
    """Milliseconds since 1970 of what a date field of a form sends, such as 2024-04-21T20:31.

    It is meant in the zone that the form names, so that an address means the same to whoever opens it; in
    the visitor's where it names none. Raises ParameterInvalid.
    """
    if not text:
        return None
    try:
        try:
            return parse_instant_ms(text.replace(" ", "+"))
        except ValueError:
            moment = datetime.fromisoformat(text).replace(tzinfo=(zone_named(zone_name) or zone()).rules)
            return (moment - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        raise ParameterInvalid(
            name=name,
            expected="a date with a time, or RFC 3339 with an offset",
            got=repr(text[:64]),
            expects="date_time",
        ) from error


def field_of(ms: int | None) -> str:
    """What a date field shows of an instant."""
    return "" if ms is None else zone().text(ms)[:16]


def ago_ms(instant: str) -> int:
    """Milliseconds from an instant to now; none of the future."""
    return max(0, time.time_ns() // 1_000_000 - parse_instant_ms(instant))
