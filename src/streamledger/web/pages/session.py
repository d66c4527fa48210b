"""One session's page: picture, facts and why they are so, events as a table; now, or as it was known then."""

from collections.abc import Sequence
from typing import Final

import msgspec
from litestar import Response

from streamledger.domain.answers import Session, TimelineEntry
from streamledger.domain.explanation import FieldExplanation
from streamledger.domain.instants import parse_instant_ms
from streamledger.domain.notification import Kind
from streamledger.readmodel.moments.explaining import explain_now
from streamledger.readmodel.moments.growth import Growth, deliveries_of, growth_of
from streamledger.readmodel.moments.moment import Asked, KnownAt
from streamledger.readmodel.moments.page import look_back
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.queries.pages import PageQueries
from streamledger.readmodel.queries.runs import Item, folded_timeline
from streamledger.readmodel.queries.sessions import Page, Queries
from streamledger.web import moments
from streamledger.web import parameters as given
from streamledger.web.pages import entry_rows, marks, session_picture
from streamledger.web.pages.changes import changes_path
from streamledger.web.pages.links import session_path
from streamledger.web.pages.page import AnyRequest, render

ENTRIES_A_PAGE: Final = 50
FIELDS: Final = (
    *("state", "started_at", "ended_at", "duration_ms", "stop", "app", "appname", "node", "user_ip"),
    *("stream_param", "width", "height", "recordings", "screenshots", "deliveries", "health", "anomalies"),
)
"""What can be asked to be explained, in the order in which it is shown."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the page beside the session: a page of its table, a moment, an explanation."""

    cursor: str | None = None
    known_at: str | None = None
    step: int | None = None
    """Which step of the growth; what a slider sends, in place of `known_at`."""
    why: str | None = None
    kind: str | None = None
    """Only entries of this kind in the table."""


class _Past(msgspec.Struct, frozen=True):
    """The moment that is looked back to."""

    asked: Asked
    step: int
    """The last step that was known."""
    then_ms: int
    position: int | None
    text: str
    """The moment as a parameter."""


async def session_response(
    request: AnyRequest,
    queries: Queries,
    pages: PageQueries,
    sequence: str,
    stream_id: str | None,
    wish: Wish,
) -> Response[bytes]:
    """The page. Raises as PastQueries.session does, and ParameterInvalid or CursorInvalid."""
    position = await queries.position()
    given.one_of("why", wish.why, FIELDS)
    given.one_of("kind", wish.kind, Kind)
    today = await queries.session(sequence, stream_id)
    looks_back = wish.step is not None or bool(wish.known_at)
    screenshots = today.screenshots.count
    drawn = await pages.picture(today.stream_id, sequence, screenshots, details=not looks_back)
    delivered = await deliveries_of(queries.pool, drawn.entries)
    growth = growth_of(drawn, delivered, _size(today))
    past = _past_of(wish, growth)
    reasons: Sequence[FieldExplanation] = ()
    if past is None:
        session, now_ms, frame = today, pages.clock_ms(), None
        if looks_back:  # to the last step, which is now
            drawn = await pages.picture(today.stream_id, sequence, screenshots)
        page: Page[Item] = await _table(queries, session, wish)
        if wish.why:
            reasons = await explain_now(PastQueries(queries), session)
    else:
        frame = session_picture.frame_of(today, drawn.entries, pages.clock_ms())
        then = await look_back(
            PastQueries(queries),
            sequence,
            past.asked,
            today.stream_id,
            limit=ENTRIES_A_PAGE,
            cursor=wish.cursor,
            explained=bool(wish.why),
        )
        session, now_ms = _ran_until(then.session, past.then_ms), past.then_ms
        drawn, reasons = then.picture, then.fields
        page = Page([*then.table.items], then.table.next_cursor)
        delivered = await deliveries_of(queries.pool, drawn.entries, then.position)
    drawn_screenshots = sum(entry.kind == "screenshot" for entry in drawn.entries)

    def address(**more: object) -> str:
        asked = {"known_at": past.text if past else None, "why": wish.why, "kind": wish.kind, **more}
        return session_path(sequence, stream_id, **asked)

    return await render(
        request,
        "session.html",
        feed=changes_path(position, session.stream_id),
        session=session,
        picture=session_picture.picture_of(session, drawn.entries, now_ms, delivered, frame),
        drawn=drawn,
        drawn_screenshots=drawn_screenshots,
        drawn_others=len(drawn.entries) - drawn_screenshots,
        entries=page.items,
        kind=wish.kind,
        cursor=wish.cursor,
        kinds=_kinds(session, drawn.entries),
        first=_of_kind(drawn.entries, Kind.PUSH_STARTED),
        last=_of_kind(drawn.entries, Kind.PUSH_STOPPED),
        because=entry_rows.summary,
        screenshot_marks=marks.screenshot_marks,
        delivery_dots=marks.delivery_dots,
        entry_rows=entry_rows.entry_rows,
        file_format=entry_rows.file_format,
        next_cursor=page.next_cursor,
        growth=growth,
        past=past,
        why=next((each for each in reasons if each.field == wish.why), None),
        address=address,
        again=address(cursor=wish.cursor),
    )


async def _table(queries: Queries, session: Session, wish: Wish) -> Page[Item]:
    """A page of the table: of one kind each entry, of all kinds with the runs of screenshots folded."""
    if not wish.kind:
        return await folded_timeline(queries, session.stream_id, session.sequence, wish.cursor)
    kind = Kind(wish.kind)
    page = await queries.timeline(session.sequence, session.stream_id, kind, ENTRIES_A_PAGE, wish.cursor)
    return Page([*page.items], page.next_cursor)


def _kinds(session: Session, entries: Sequence[TimelineEntry]) -> list[tuple[str, int | None]]:
    """The kinds that the session has, and how many of each, where that is known without counting."""
    found = {entry.kind for entry in entries}
    counts: dict[str, int | None] = {
        Kind.RECORDING: session.recordings.count,
        Kind.SCREENSHOT: session.screenshots.count,
        Kind.PUSH_ERROR: session.health.reports if session.health else 0,
    }
    return [(kind.value, counts.get(kind)) for kind in Kind if kind in found or counts.get(kind)]


def _of_kind(entries: Sequence[TimelineEntry], kind: Kind) -> TimelineEntry | None:
    return next((entry for entry in entries if entry.kind == kind), None)


def _size(session: Session) -> int:
    """About how many notifications there are of a session."""
    return session.deliveries.count + session.recordings.count + session.screenshots.count


def _past_of(wish: Wish, growth: Growth) -> _Past | None:
    """The moment looked back to; None for now, which the last step is too."""
    last = len(growth.steps) - 1
    if wish.step is not None:
        if not growth.steps or wish.step >= last:
            return None
        step = growth.steps[wish.step]
        asked = Asked(known_at=KnownAt(position=step.position))
        return _Past(asked, wish.step, parse_instant_ms(step.received_at), step.position, str(step.position))
    if not wish.known_at or (found := moments.asked(None, wish.known_at)) is None or found.known_at is None:
        return None
    known = found.known_at
    if known.received_us is not None:
        then_ms = known.received_us // 1000
        number = max(
            (
                place
                for place, step in enumerate(growth.steps)
                if parse_instant_ms(step.received_at) <= then_ms
            ),
            default=0,
        )
        position = growth.steps[number].position if growth.steps else None
        return _Past(found, number, then_ms, position, str(known))
    number = growth.number_at(known.position or 0)
    then_ms = parse_instant_ms(growth.steps[number].received_at) if growth.steps else 0
    return _Past(found, number, then_ms, known.position, str(known.position))


def _ran_until(session: Session, then_ms: int) -> Session:
    """The session with the time for which it had run by a moment."""
    if session.duration_source != "running" or session.started_at is None:
        return session
    run_ms = max(0, then_ms - parse_instant_ms(session.started_at))
    return msgspec.structs.replace(session, duration_ms=run_ms)
