"""The quarantine's rows: finding them, marking them as released, purging what has aged out."""

import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import RequestHeaders
from streamledger.ledger.acts import Actor
from streamledger.ledger.quarantining import budget_of

REASONS: Final = ("expired", "too_far_ahead", "bad_signature", "unsigned", "malformed")

COLUMNS: Final = (
    "id::text, reason, received_at_us, source_ip, headers, body, event_type, stream_id, sequence, key,"
    " mended, detail, released_at_us, released_by, release_reason, released_position"
)


class QuarantinedUnknown(StreamledgerError):
    """no delivery in the quarantine has the id {id}"""

    exit_code = 4


class Quarantined(msgspec.Struct, frozen=True):
    """A delivery that was set aside, in the order of COLUMNS."""

    id: str
    reason: str
    received_at_us: int
    source_ip: str
    headers: RequestHeaders
    body: bytes
    event_type: int | None
    stream_id: str | None
    sequence: str | None
    key: str | None
    mended: tuple[str, ...]
    detail: str | None
    released_at_us: int | None
    released_by: str | None
    release_reason: str | None
    released_position: int | None


_HEADERS: Final = Quarantined.__struct_fields__.index("headers")
_MENDED: Final = Quarantined.__struct_fields__.index("mended")
_decode_headers = msgspec.json.Decoder(RequestHeaders).decode
_decode_mended = msgspec.json.Decoder(tuple[str, ...]).decode


class QuarantineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries are meant; times are of receipt, in microseconds since 1970 UTC, `to` excluded."""

    reason: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    stream_id: str | None = None
    released: bool | None = None

    @classmethod
    def between(
        cls,
        from_ms: int | None,
        to_ms: int | None,
        *,
        reason: str | None,
        stream_id: str | None,
        released: bool | None = None,
    ) -> "QuarantineFilter":
        """The same by milliseconds."""
        from_us, to_us = (None if ms is None else ms * 1000 for ms in (from_ms, to_ms))
        return cls(reason=reason, from_us=from_us, to_us=to_us, stream_id=stream_id, released=released)

    def conditions(self) -> tuple[list[str], dict[str, Any]]:
        """SQL conditions, joined by AND, and their parameters."""
        found = ["true"]
        if self.reason is not None:
            found.append("reason = %(reason)s")
        if self.stream_id is not None:
            found.append("stream_id = %(stream_id)s")
        if self.from_us is not None:
            found.append("received_at_us >= %(from_us)s")
        if self.to_us is not None:
            found.append("received_at_us < %(to_us)s")
        if self.released is not None:
            found.append(f"released_at_us IS {'NOT ' if self.released else ''}NULL")
        return found, {name: getattr(self, name) for name in self.__struct_fields__}


def quarantined_of(row: Sequence[Any]) -> Quarantined:
    """A row of COLUMNS."""
    facts = list(row)
    facts[_HEADERS], facts[_MENDED] = _decode_headers(facts[_HEADERS]), _decode_mended(facts[_MENDED])
    return Quarantined(*facts)


def select_after(
    connection: psycopg.Connection[Any], wanted: QuarantineFilter, after: tuple[int, str], limit: int
) -> list[Quarantined]:
    """Up to `limit` deliveries after (received_at_us, id), oldest first."""
    conditions, facts = wanted.conditions()
    conditions.append("(received_at_us, id) > (%(after_us)s::int8, %(after_id)s::uuid)")
    with connection.cursor(binary=True) as cursor:
        cursor.execute(
            f"SELECT {COLUMNS} FROM quarantine WHERE {' AND '.join(conditions)}"  # noqa: S608  # constant names
            " ORDER BY received_at_us, id LIMIT %(limit)s",
            facts | {"after_us": after[0], "after_id": after[1], "limit": limit},
        )
        return [quarantined_of(row) for row in cursor.fetchall()]


def lock_rows(cursor: psycopg.Cursor[Any], ids: Sequence[str]) -> list[Quarantined]:
    """The rows of these ids as they are now, held until the transaction ends, oldest first.

    Must run under `quarantining.hold`.
    """
    cursor.execute(
        f"SELECT {COLUMNS} FROM quarantine WHERE id = ANY(%s::uuid[])"  # noqa: S608  # constant columns
        " ORDER BY received_at_us, id FOR UPDATE",
        (list(ids),),
        binary=True,
    )
    return [quarantined_of(row) for row in cursor.fetchall()]


def mark_released(
    cursor: psycopg.Cursor[Any], rows: Sequence[Quarantined], positions: Sequence[int], actor: Actor
) -> None:
    """Note on each row that it was released, by whom, why, and its position; move its share of the usage.

    The rows stay as evidence, in the budget `released`.
    """
    cursor.execute(
        "UPDATE quarantine AS q SET released_at_us = %s, released_by = %s, release_reason = %s,"
        " released_position = new.position"
        " FROM unnest(%s::uuid[], %s::int8[]) AS new(id, position) WHERE q.id = new.id",
        (actor.at_us, actor.by, actor.reason, [row.id for row in rows], list(positions)),
    )
    moved: dict[str, list[int]] = {"released": [0, 0]}
    for row in rows:
        for budget, sign in ((budget_of(row.reason), -1), ("released", 1)):
            share = moved.setdefault(budget, [0, 0])
            share[0] += sign
            share[1] += sign * len(row.body)
    _move_usage(cursor, moved)


def purge(cursor: psycopg.Cursor[Any], before_us: int, limit: int) -> dict[str, int]:
    """Delete up to `limit` deliveries received before then and never released; how many, by reason.

    Must run under `quarantining.hold`. The caller counts them, or conservation no longer holds.
    """
    cursor.execute(
        "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine"
        " WHERE released_at_us IS NULL AND received_at_us < %s ORDER BY received_at_us, id LIMIT %s)"
        " RETURNING reason, bytes",
        (before_us, limit),
    )
    counts: dict[str, int] = {}
    moved: dict[str, list[int]] = {}
    for reason, size in cursor.fetchall():
        counts[reason] = counts.get(reason, 0) + 1
        share = moved.setdefault(budget_of(reason), [0, 0])
        share[0] -= 1
        share[1] -= size
    _move_usage(cursor, moved)
    return counts


def _move_usage(cursor: psycopg.Cursor[Any], moved: dict[str, list[int]]) -> None:
    for budget in sorted(moved):  # in one order, as every writer does
        cursor.execute(
            "UPDATE quarantine_usage SET rows = rows + %s, bytes = bytes + %s WHERE budget = %s",
            (*moved[budget], budget),
        )


RELEASED_NAMESPACE: Final = uuid.UUID("7d3c4f0e-6f52-5d0a-9c57-0a1f6d1f5b11")


def released_delivery_id(quarantine_id: str) -> uuid.UUID:
    """The delivery id of the event that a release appends: always the same, so it can be stored only once."""
    return uuid.uuid5(RELEASED_NAMESPACE, quarantine_id)
