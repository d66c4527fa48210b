"""The minutes projection: how many deliveries of each kind were received in each minute."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec
import psycopg

from streamledger.readmodel.facts import Event, kind_of
from streamledger.readmodel.rows import DIGEST_MODULUS, digest_of

MINUTE_MS: Final = 60_000


class MinuteRow(msgspec.Struct, kw_only=True):
    """A row of `minutes`."""

    TABLE: ClassVar[str] = "minutes"

    minute_ms: int
    kind: str
    deliveries: int


class MinutesProjection:
    """Writes `minutes`."""

    name = "minutes"
    version = 2
    tables: Sequence[str] = ("minutes",)

    def take_in(self, connection: psycopg.Connection[Any], events: Sequence[Event], suffix: str = "") -> int:
        """Count events into one generation's table; returns what they add to the digest."""
        counts = Counter(
            (event.delivery.received_at_us // 1000 // MINUTE_MS * MINUTE_MS, kind_of(event))
            for event in events
        )
        keys = sorted(counts)
        rows = connection.execute(
            f"INSERT INTO minutes{suffix} AS m (minute_ms, kind, deliveries)"  # noqa: S608  # a generation's suffix
            " SELECT * FROM unnest(%s::int8[], %s::text[], %s::int4[])"
            " ON CONFLICT (minute_ms, kind) DO UPDATE SET deliveries = m.deliveries + excluded.deliveries"
            " RETURNING minute_ms, kind, deliveries",
            ([minute for minute, _ in keys], [kind for _, kind in keys], [counts[key] for key in keys]),
        ).fetchall()
        change = 0
        for minute_ms, kind, deliveries in rows:
            before = deliveries - counts[minute_ms, kind]
            change += _digest(minute_ms, kind, deliveries) - (
                _digest(minute_ms, kind, before) if before else 0
            )
        return change % DIGEST_MODULUS


def _digest(minute_ms: int, kind: str, deliveries: int) -> int:
    return digest_of("minutes", f"{minute_ms}\t{kind}\t{deliveries}")
