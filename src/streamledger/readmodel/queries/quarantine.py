"""Answers about the quarantine: lists by filter, and one delivery with its body."""

import base64
import uuid
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.domain.errors import MalformedBody, ParameterInvalid
from streamledger.domain.instants import instant_us
from streamledger.domain.quarantine_answers import Fault, QuarantinedBody, QuarantinedDelivery, ReleaseNote
from streamledger.ledger.quarantine import (
    COLUMNS,
    Quarantined,
    QuarantinedUnknown,
    QuarantineFilter,
    quarantined_of,
)
from streamledger.readmodel.queries.cursors import decode_cursor
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.pacing import made_of, off_loop
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, page_of
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.redaction import redact
from streamledger.tencent.shown_body import ShownBody, headers_shown, shown_body

LISTING: Final = "quarantine"
FAULT_BYTES_MAX: Final = 2048
"""Of a longer body a list does not say where it goes wrong: it would read hundreds of the largest."""
LISTED_COLUMNS: Final = COLUMNS.replace(
    " body,",
    f" CASE WHEN reason = 'malformed' AND bytes <= {FAULT_BYTES_MAX} THEN body ELSE ''::bytea END AS body,",
)


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
                f"SELECT {LISTED_COLUMNS}, bytes FROM quarantine WHERE {' AND '.join(conditions)}"  # noqa: S608  # constant names
                " ORDER BY received_at_us DESC, id DESC LIMIT %(limit)s",
                facts | {"limit": limit + 1},
            )
        rows = [(quarantined_of(row[:-1]), int(row[-1])) for row in found]
        items = await made_of(
            rows[:limit],
            lambda each: QuarantinedDelivery(
                **_facts(*each), fault=_fault(each[0]) if each[0].body else None
            ),
        )
        return page_of(LISTING, items, rows, lambda each: [each[0].received_at_us, each[0].id])

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
        shown = await off_loop(len(row.body), _readable, row.body)
        fault = await off_loop(len(row.body), _fault, row)
        return QuarantinedBody(
            **_facts(row, len(row.body)),
            fault=fault,
            headers=headers_shown(row.headers),
            mended=list(row.mended),
            notification=None if shown is None else shown.fields,
            cut=shown is not None and shown.cut,
            body=row.body.decode("utf-8", "replace") if whole else None,
            body_base64=base64.b64encode(row.body).decode() if whole else None,
        )


def _facts(row: Quarantined, size: int) -> dict[str, Any]:
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
        "bytes": size,
        "event_type": row.event_type,
        "stream_id": row.stream_id,
        "sequence": row.sequence,
        "key": row.key,
        "detail": redact(row.detail),
        "released": released,
    }


def _fault(row: Quarantined) -> Fault | None:
    """Where a malformed body goes wrong: read again, so that it is told in codes whatever was noted then."""
    if row.reason != "malformed":
        return None
    try:
        read_envelope(row.body)
    except MalformedBody as error:
        facts: dict[str, Any] = error.facts
        return Fault(field=facts["field"], **facts["fault"])
    return None


def _readable(body: bytes) -> ShownBody | None:
    try:
        return shown_body(body)
    except MalformedBody:
        return None
