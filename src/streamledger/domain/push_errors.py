"""Push errors (event type 321) of one push in sum."""

import msgspec

from streamledger.domain.notification import Notification, PushError


class Health(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A commutative tally of the distinct reports of a session."""

    reports: int = 0
    counts: dict[str, int] = {}
    """Abnormal events by type, as text."""
    worst: tuple[int, int, int] | None = None
    """The report with the most abnormal events: how many, -(its time), its interval; the greatest counts."""
    first_ms: int | None = None
    last_ms: int | None = None
    unreadable: tuple[str, ...] = ()
    """Names of fields that were sent and could not be read, in order."""


def tallied(health: Health, notification: Notification) -> Health:
    """The same with one more report; the caller takes each distinct one once."""
    detail = notification.detail
    counts = dict(health.counts)
    at_ms = notification.at_ms
    events = 0
    interval_ms = 0
    if isinstance(detail, PushError):
        for abnormal in detail.abnormal_events:
            name = str(abnormal.type)
            counts[name] = counts.get(name, 0) + abnormal.count
            events += abnormal.count
        interval_ms = detail.report_interval_ms or 0
    worst = health.worst
    if events and at_ms is not None:
        worst = max(worst or (0, 0, 0), (events, -at_ms, interval_ms))
    times = [time for time in (health.first_ms, health.last_ms, at_ms) if time is not None]
    return Health(
        reports=health.reports + 1,
        counts=dict(sorted(counts.items())),
        worst=worst,
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        unreadable=tuple(sorted({*health.unreadable, *notification.unreadable})),
    )
