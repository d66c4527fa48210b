"""The sessions projection: sessions, their timelines and their streams, from batches of facts."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import psycopg

from streamledger.domain import session as fold
from streamledger.domain.attribution import Item
from streamledger.domain.session import Span
from streamledger.ledger import reader
from streamledger.readmodel import batch
from streamledger.readmodel.batch import Follower, Window
from streamledger.readmodel.delivery_projection import DeliveriesProjection
from streamledger.readmodel.minutes_projection import MinutesProjection
from streamledger.readmodel.projection import Fact, Projection, read_facts
from streamledger.readmodel.rows import SessionRow, StreamRow, TimelineRow
from streamledger.readmodel.tables import KEYS, Tables
from streamledger.readmodel.workspace import Change, FactKey, SessionKey, Workspace

STRETCH_GAP_MS_MAX: Final = 3600 * 1000
"""Media further apart ask for their sessions separately, so that one late file does not load a year."""


class SessionsProjection:
    """Writes `sessions`, `timeline` and `streams`."""

    name = "sessions"
    version = fold.FOLD_VERSION
    tables: Sequence[str] = tuple(KEYS)

    def take_in(self, connection: psycopg.Connection[Any], facts: Sequence[Fact], suffix: str = "") -> int:
        """Fold facts, in order, into one generation's tables; returns what they add to the digest."""
        return take_in(connection, Tables(connection, suffix), facts)


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

    def write(self, changes: Iterable[Change]) -> int:
        """Write changed rows; returns what they add to the projection's digest, modulo 2^64."""


ReadFacts = Callable[[Sequence[int]], list[Fact]]
"""Reads the events at these positions from the ledger."""


def take_in(connection: psycopg.Connection[Any], tables: Tables, facts: Sequence[Fact]) -> int:
    """Fold facts into a generation's tables; returns what they add to the digest."""
    return fold_in(tables, facts, lambda positions: read_facts(reader.read_at(connection, positions)))


def fold_in(tables: SessionTables, facts: Sequence[Fact], read: ReadFacts) -> int:
    """The same on any tables, with a way to read the media that have to be judged again."""
    workspace = Workspace()
    named = [fact.notification for fact in facts if fact.notification.stream_id is not None]
    keys = {(each.stream_id or "", each.kind.value, each.key) for each in named}
    touched = {(each.stream_id or "", each.sequence) for each in named if each.sequence is not None}
    workspace.load(tables.streams({each.stream_id or "" for each in named}))
    workspace.load(tables.sessions(touched))
    _load_timeline(workspace, tables, keys)
    items = batch.take(workspace, facts)
    changed = _settle(workspace, tables, touched)
    windows = batch.windows(workspace, changed)
    for key, item in _judged_again(read, workspace, tables, windows, touched).items():
        items.setdefault(key, item)
    workspace.load(tables.sessions_near(_reach(items), touched))
    batch.attribute(workspace, items, _spans(workspace, items))
    return tables.write(workspace.changes())


def _settle(workspace: Workspace, tables: SessionTables, touched: set[SessionKey]) -> set[SessionKey]:
    """Bring the rows of the touched sessions, and of those that they follow, up to date; returns both."""
    affected = tables.open_before(batch.moved_starts(workspace, touched))
    workspace.load(affected)
    changed = touched | {(row.stream_id, row.sequence) for row in affected}
    followers = tables.followers(batch.seekers(workspace, changed), touched)
    batch.settle(workspace, changed, touched, followers)
    return changed


def _load_timeline(workspace: Workspace, tables: SessionTables, keys: Iterable[FactKey]) -> None:
    """Load the rows of notifications, and the sessions they are attributed to, whose totals they are in."""
    rows = tables.timeline(keys)
    workspace.load(rows)
    sessions = {(row.stream_id, row.sequence) for row in rows if row.sequence}
    workspace.load(tables.sessions(sessions - workspace.sessions.keys()))


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
    sequences: dict[str, list[str]] = {}
    for stream_id, sequence in workspace.sessions:
        sequences.setdefault(stream_id, []).append(sequence)
    keys = tables.media_in([(window, sequences.get(window.stream_id, ())) for window in windows])
    _load_timeline(workspace, tables, keys - workspace.timeline.keys())
    keys_by_position = {next(iter(workspace.timeline[key].values())).position: key for key in keys}
    return {
        keys_by_position[fact.position]: batch.item_of(fact.notification)
        for fact in read(sorted(keys_by_position))
    }


def _reach(items: dict[FactKey, Item]) -> list[Window]:
    """Per stream, the stretches of time that the items cover; what lies close together is one stretch."""
    covered: dict[str, list[tuple[int, int]]] = {}
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


def _spans(workspace: Workspace, items: dict[FactKey, Item]) -> dict[str, list[Span]]:
    wanted = {stream_id for stream_id, _, _ in items}
    spans: dict[str, list[Span]] = {}
    for (stream_id, _), row in workspace.sessions.items():
        if stream_id in wanted:
            spans.setdefault(stream_id, []).append(fold.span(row.fold, row.newer_ms))
    return spans
