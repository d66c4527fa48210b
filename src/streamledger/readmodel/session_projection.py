"""The sessions projection: sessions, their timelines and their streams, from batches of facts."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import psycopg

from streamledger.domain import session as fold
from streamledger.domain.attribution import Item
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.ledger import reader
from streamledger.readmodel import batch
from streamledger.readmodel.batch import Follower, Window
from streamledger.readmodel.delivery_projection import DeliveriesProjection
from streamledger.readmodel.facts import Event, Fact, History, PlainMedia, Sorting
from streamledger.readmodel.minutes_projection import MinutesProjection
from streamledger.readmodel.plain import timeline_lines
from streamledger.readmodel.projection import Projection, read_facts
from streamledger.readmodel.rows import Lines, SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.tables import KEYS, Tables
from streamledger.readmodel.workspace import Change, FactKey, SessionKey, Workspace

STRETCH_GAP_MS_MAX: Final = 3600 * 1000
"""Media further apart ask for their sessions separately, so that one late file does not load a year."""


class SessionsProjection:
    """Writes `sessions`, `timeline` and `streams`."""

    name = "sessions"
    version = fold.FOLD_VERSION
    tables: Sequence[str] = tuple(KEYS)

    def take_in(self, connection: psycopg.Connection[Any], events: Sequence[Event], suffix: str = "") -> int:
        """Fold events, in order, into one generation's tables; returns what they add to the digest."""
        tables = Tables(connection, suffix)
        return fold_in(tables, events, lambda positions: read_facts(reader.read_at(connection, positions)))


PROJECTIONS: Final[tuple[Projection, ...]] = (
    SessionsProjection(),
    DeliveriesProjection(),
    MinutesProjection(),
)
"""Every projection of the read model, in the order in which they take a batch in."""


class SessionTables(Protocol):
    """What the projection asks of its tables; `tables.Tables` is the one in PostgreSQL."""

    def sessions(self, keys: Iterable[SessionKey]) -> list[SessionRow]:
        """The rows of these sessions, as far as there are."""

    def timeline(self, keys: Iterable[FactKey]) -> list[TimelineRow]:
        """All rows of these notifications, as far as there are."""

    def streams(self, stream_ids: Iterable[str]) -> list[StreamRow]:
        """The rows of these streams, as far as there are."""

    def sessions_near(
        self, windows: Sequence[Window], touched: Iterable[SessionKey] = ()
    ) -> list[SessionRow]:
        """The sessions near these windows, and the latest open ones before them."""

    def open_before(self, windows: Sequence[Window]) -> list[SessionRow]:
        """The open sessions that may be followed by a push that begins in one of these windows."""

    def followers(self, seekers: Sequence[Follower], touched: Iterable[SessionKey]) -> dict[SessionKey, int]:
        """When the next push began, of these sessions, among all but the touched ones."""

    def media_in(self, windows: Sequence[tuple[Window, Sequence[str]]]) -> set[FactKey]:
        """The media that touch these windows: moments of the named sessions and of none, and recordings."""

    def write(self, changes: Iterable[Change], lines: Iterable[Lines]) -> int:
        """Write changed rows, and new ones that are lines already; returns what they add to the digest."""


ReadFacts = Callable[[Sequence[int]], list[Fact]]
"""Reads the events at these positions from the ledger."""


def fold_in(tables: SessionTables, events: Sequence[Event], read: ReadFacts) -> int:
    """Fold events into tables, with a way to read the media that have to be judged again."""
    workspace = Workspace()
    history, known = _sorted(tables, events)
    facts, lane = list(history.facts), history.lane
    named = [fact.notification for fact in facts if fact.notification.stream_id is not None]
    touched = {(each.stream_id or "", each.sequence) for each in named if each.sequence is not None}
    workspace.load(tables.streams({*lane, *(each.stream_id or "" for each in named)}))
    workspace.load(tables.sessions(touched))
    _load_timeline(workspace, tables, known)
    _recall_contents(workspace, known, read)
    items = batch.take(workspace, facts)
    changed = _settle(workspace, tables, touched)
    windows = batch.windows(workspace, changed)
    for key, item in _judged_again(read, workspace, tables, windows, touched).items():
        items.setdefault(key, item)
    workspace.load(tables.sessions_near(_reach(items, lane), touched))
    spans = _spans(workspace, {*lane, *(stream_id for stream_id, _, _ in items)})
    batch.attribute(workspace, items, spans)
    lines = [
        Lines("timeline", timeline_lines(workspace, stream_id, found, spans.get(stream_id, [])))
        for stream_id, found in lane.items()
    ]
    return tables.write(workspace.changes(), lines)


def _sorted(tables: SessionTables, events: Sequence[Event]) -> tuple[History, list[TimelineRow]]:
    """The events, in the lane those that were never delivered before; and the rows of those that were."""
    sorting = Sorting(events)
    rows = tables.timeline(sorting.keys())
    for row in rows:
        sorting.has_come(row.stream_id, row.kind, row.key)
    return sorting.sorted(), rows


def _settle(workspace: Workspace, tables: SessionTables, touched: set[SessionKey]) -> set[SessionKey]:
    """Bring the rows of the touched sessions, and of those that they follow, up to date; returns both."""
    affected = tables.open_before(batch.moved_starts(workspace, touched))
    workspace.load(affected)
    changed = touched | {(row.stream_id, row.sequence) for row in affected}
    followers = tables.followers(batch.seekers(workspace, changed), touched)
    batch.settle(workspace, changed, touched, followers)
    return changed


def _load_timeline(workspace: Workspace, tables: SessionTables, rows: Sequence[TimelineRow]) -> None:
    """Load rows of notifications, and the sessions they are attributed to, whose totals they are in."""
    workspace.load(rows)
    sessions = {(row.stream_id, row.sequence) for row in rows if row.sequence}
    workspace.load(tables.sessions(sessions - workspace.sessions.keys()))


def _recall_contents(workspace: Workspace, rows: Sequence[TimelineRow], read: ReadFacts) -> None:
    """Read again what came once before and has now come once more: the two are to be compared."""
    keys = {row.position: (row.stream_id, row.kind, row.key) for row in rows if row.content is None}
    if keys:
        for fact in read(sorted(keys)):
            workspace.contents[keys[fact.position]] = fact.notification.content


def _judged_again(
    read: ReadFacts,
    workspace: Workspace,
    tables: SessionTables,
    windows: Sequence[Window],
    touched: set[SessionKey],
) -> dict[FactKey, Item]:
    """The media in windows where spans changed, read from the ledger."""
    if not windows:
        return {}
    workspace.load(tables.sessions_near(windows, touched))
    keys = tables.media_in(_holders(workspace, windows))
    _load_timeline(workspace, tables, tables.timeline(keys - workspace.timeline.keys()))
    keys_by_position = {next(iter(workspace.timeline[key].values())).position: key for key in keys}
    return {
        keys_by_position[fact.position]: batch.item_of(fact.notification)
        for fact in read(sorted(keys_by_position))
    }


def _holders(workspace: Workspace, windows: Sequence[Window]) -> list[tuple[Window, list[str]]]:
    """Each window with the sessions of its stream that media in it may belong to by now."""
    held: dict[str, list[tuple[str, int, int]]] = {}
    for (stream_id, sequence), row in workspace.sessions.items():
        for span in (workspace.span_before((stream_id, sequence)), fold.span(row.fold, row.newer_ms)):
            if span is not None:
                until_ms = OPEN_END_MS if span.open else span.until_ms + batch.WINDOW_MARGIN_MS
                held.setdefault(stream_id, []).append(
                    (sequence, span.from_ms - batch.WINDOW_MARGIN_MS, until_ms)
                )
    return [
        (
            window,
            sorted(
                {
                    sequence
                    for sequence, from_ms, until_ms in held.get(window.stream_id, ())
                    if from_ms <= window.until_ms and window.from_ms <= until_ms
                }
            ),
        )
        for window in windows
    ]


def _reach(items: dict[FactKey, Item], lane: Mapping[str, Sequence[PlainMedia]]) -> list[Window]:
    """Per stream, the stretches of time that media cover; what lies close together is one stretch."""
    covered = {
        stream_id: [(media.at_ms, media.until_ms) for media in found] for stream_id, found in lane.items()
    }
    for (stream_id, _, _), item in items.items():
        if item.at_ms >= 0:
            covered.setdefault(stream_id, []).append((item.at_ms, item.until_ms))
    reach = []
    for stream_id, stretches in covered.items():
        from_ms, until_ms = min(stretches)
        for at_ms, end_ms in sorted(stretches):
            if at_ms > until_ms + STRETCH_GAP_MS_MAX:
                reach.append(Window(stream_id, from_ms, until_ms))
                from_ms, until_ms = at_ms, end_ms
            until_ms = max(until_ms, end_ms)
        reach.append(Window(stream_id, from_ms, until_ms))
    return reach


def _spans(workspace: Workspace, stream_ids: Collection[str]) -> dict[str, list[Span]]:
    """The spans of these streams' sessions that are loaded, by their beginnings."""
    spans: dict[str, list[Span]] = {}
    for (stream_id, _), row in workspace.sessions.items():
        if stream_id in stream_ids:
            spans.setdefault(stream_id, []).append(fold.span(row.fold, row.newer_ms))
    for found in spans.values():
        found.sort(key=lambda span: span.from_ms)
    return spans
