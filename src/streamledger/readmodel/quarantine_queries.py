"""Answers about the quarantine: lists by filter, and one delivery with its body."""

import base64
import uuid
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import MalformedBody, ParameterInvalid
from streamledger.domain.instants import instant_us
from streamledger.domain.quarantine_answers import QuarantinedBody, QuarantinedDelivery, ReleaseNote
from streamledger.ledger.quarantine import (
    COLUMNS,
    Quarantined,
    QuarantinedUnknown,
    QuarantineFilter,
    quarantined_of,
)
from streamledger.readmodel.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.fetching import fetch
from streamledger.readmodel.queries import LIMIT_DEFAULT, Page
from streamledger.tencent.redaction import redact
from streamledger.tencent.tolerant import parse_object

LISTING: Final = "quarantine"


class QuarantineQueries:
    """Reading queries of the quarantine."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def deliveries(
        self, wanted: QuarantineFilter, limit: int = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Page[QuarantinedDelivery]:
        """Quarantined deliveries, the latest first. Raises CursorInvalid."""
        conditions, facts = wanted.conditions()
        if cursor is not None:
            after_us, after_id = decode_cursor(LISTING, cursor, (int, str))
            conditions.append("(received_at_us, id) < (%(after_us)s::int8, %(after_id)s::uuid)")
            facts |= {"after_us": after_us, "after_id": after_id}
        async with self._pool.connection() as connection:
            found = await fetch(
                connection,
                f"SELECT {COLUMNS} FROM quarantine WHERE {' AND '.join(conditions)}"  # noqa: S608  # constant names
                " ORDER BY received_at_us DESC, id DESC LIMIT %(limit)s",
                facts | {"limit": limit + 1},
            )
        rows = [quarantined_of(row) for row in found[:limit]]
        more = len(found) > limit
        next_cursor = encode_cursor(LISTING, [rows[-1].received_at_us, rows[-1].id]) if more else None
        return Page([QuarantinedDelivery(**_facts(row)) for row in rows], next_cursor)

    async def delivery(self, quarantine_id: str, *, whole: bool) -> QuarantinedBody:
        """One delivery; `whole` shows the exact body, secrets included. Raises QuarantinedUnknown."""
        try:
            uuid.UUID(quarantine_id)
        except ValueError as error:
            raise ParameterInvalid(name="id", expected="a UUID", got=repr(quarantine_id[:64])) from error
        async with self._pool.connection() as connection:
            found = await fetch(
                connection,
                f"SELECT {COLUMNS} FROM quarantine WHERE id = %(id)s::uuid",  # noqa: S608  # constant columns
                {"id": quarantine_id},
            )
        if not found:
            raise QuarantinedUnknown(id=quarantine_id)
        row = quarantined_of(found[0])
        return QuarantinedBody(
            **_facts(row),
            notification=_readable(row.body),
            body=row.body.decode("utf-8", "replace") if whole else None,
            body_base64=base64.b64encode(row.body).decode() if whole else None,
        )


def _facts(row: Quarantined) -> dict[str, Any]:
    released = None
    if row.released_at_us is not None and row.released_position is not None:
        released = ReleaseNote(
            at=instant_us(row.released_at_us),
            by=row.released_by or "",
            reason=row.release_reason or "",
            position=row.released_position,
        )
    return {
        "id": row.id,
        "reason": row.reason,
        "received_at": instant_us(row.received_at_us),
        "source_ip": row.source_ip,
        "bytes": len(row.body),
        "event_type": row.event_type,
        "stream_id": row.stream_id,
        "sequence": row.sequence,
        "key": row.key,
        "detail": redact(row.detail),
        "released": released,
    }


def _readable(body: bytes) -> dict[str, Any] | None:
    try:
        obj, _ = parse_object(body)
    except MalformedBody:
        return None
    shown: dict[str, Any] = redact(obj)
    return shown
