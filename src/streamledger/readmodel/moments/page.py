"""What a session's page shows of a moment in the past, read once: session, picture, table and reasons."""

from collections.abc import Sequence

import msgspec

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.explanation import FieldExplanation
from streamledger.domain.notification import Kind
from streamledger.readmodel.fold.rows import TimelineRow
from streamledger.readmodel.moments import kept as past_kept
from streamledger.readmodel.moments import session as past
from streamledger.readmodel.moments.explaining import fields_of
from streamledger.readmodel.moments.kept import Counted
from streamledger.readmodel.moments.moment import Asked
from streamledger.readmodel.moments.queries import PastQueries, after_of, cursor_after
from streamledger.readmodel.moments.session import PastSession
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.pages import (
    PICTURE_ENTRIES_MAX,
    PICTURE_SCREENSHOTS_ALL_MAX,
    PICTURE_SCREENSHOTS_MAX,
    Picture,
)
from streamledger.readmodel.queries.sessions import Page, entry_key
from streamledger.readmodel.queries.shown_events import events_at


class PastPage(msgspec.Struct, frozen=True, kw_only=True):
    """A session's page at a moment."""

    session: Session
    picture: Picture
    table: Page[TimelineEntry]
    fields: list[FieldExplanation]
    """Why the session's fields are so; empty unless asked for."""
    position: int
    """The last one that was known."""


async def look_back(
    queries: PastQueries,
    sequence: str,
    asked: Asked,
    stream_id: str,
    *,
    limit: int,
    cursor: str | None,
    explained: bool,
) -> PastPage:
    """The page, with so many entries of the table after a cursor. Raises as `PastQueries.session` does."""
    after = after_of(None, cursor)
    async with queries.found(sequence, asked, stream_id) as (found, shared):
        sums = await past_kept.kept_sums(found.tables, found.key, found.judged)
        latest = await past.latest_of(found, sums)
        row = await past.found_of(found, sums, latest)
        listed, more = await past.page_of(found, None, after, limit)
        drawn, others = listed, sum(each.kind != Kind.SCREENSHOT for each in listed)
        if after is not None or more:  # else the table's page is all there is
            drawn, others = await _drawn(found, sums[Kind.SCREENSHOT.value], latest)
        shown = {each.position for each in (*listed, *drawn)}
        if row.screenshot_position is not None:
            shown.add(row.screenshot_position)
        events = await events_at(found.tables.connection, shown)
        session = queries.answer_from(row, events, asked, found.tables.moment, shared=shared)
        table = [answering.timeline_entry(each, events.get(each.position)) for each in listed]
        entries = table
        if drawn is not listed:
            entries = [answering.picture_entry(each, events.get(each.position)) for each in drawn]
        return PastPage(
            session=session,
            picture=Picture(entries=entries, screenshots=session.screenshots.count, others=others),
            table=Page(table, cursor_after(None, listed) if more else None),
            fields=fields_of(found, session) if explained else [],
            position=found.tables.moment.position,
        )


async def _drawn(
    found: PastSession, screenshots: Counted, latest: Sequence[TimelineRow]
) -> tuple[list[TimelineRow], int]:
    """The rows that the picture shows, in order, and how many there are beside the screenshots.

    `latest` are the latest of each kind of media that stand as they did.
    """
    read = (found.tables, found.key, found.judged)
    shots = await past_kept.kept_screenshots(*read, screenshots, PICTURE_SCREENSHOTS_MAX)
    others: Sequence[TimelineRow] = ()
    total = 0
    if any(row.kind != Kind.SCREENSHOT for row in latest):
        others, total = await past_kept.kept_others(*read, PICTURE_ENTRIES_MAX)
    kept = await past.counted_then(found, [*shots, *others])
    rows = [*kept, *found.entries]
    anew = sum(row.kind != Kind.SCREENSHOT for row in found.entries)
    drawn = [
        *thinned(
            [row for row in rows if row.kind == Kind.SCREENSHOT],
            PICTURE_SCREENSHOTS_MAX,
            PICTURE_SCREENSHOTS_ALL_MAX,
        ),
        *thinned(
            [row for row in rows if row.kind != Kind.SCREENSHOT],
            PICTURE_ENTRIES_MAX,
            2 * PICTURE_ENTRIES_MAX,  # those that are kept are thinned already
        ),
    ]
    return sorted(drawn, key=entry_key), total + anew


def thinned(rows: Sequence[TimelineRow], most: int, all_max: int = 0) -> list[TimelineRow]:
    """About as many rows as may be shown, the first of each of so many equal intervals; pure.

    The start, the stop, the first and the last row stay. Up to `all_max` all do.
    """
    rows = sorted(rows, key=entry_key)
    if len(rows) <= max(most, all_max):
        return rows
    from_ms, span_ms = rows[0].at_ms, max(1, rows[-1].at_ms - rows[0].at_ms)
    kept: list[TimelineRow] = []
    last = None
    for row in rows:
        interval = (row.at_ms - from_ms) * (most - 1) // span_ms
        if interval != last or row.kind in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED) or row is rows[-1]:
            kept.append(row)
        last = interval
    return kept
