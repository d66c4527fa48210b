"""The sessions projection folded stream by stream: whole histories in memory, no look-ups in tables.

The rows are those that taking the same events in batch by batch gives; the property tests hold both
against each other. A stream too long for memory comes in buckets by identity, see `spill`; how the
media that nearly all events are take a shorter way, see `plain`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import psycopg

from streamledger.domain import attribution
from streamledger.domain import session as fold
from streamledger.domain.attribution import Item
from streamledger.domain.session import Span
from streamledger.readmodel import batch
from streamledger.readmodel.facts import History
from streamledger.readmodel.plain import timeline_lines
from streamledger.readmodel.row_tables import RowTables
from streamledger.readmodel.rows import Lines, TableRow
from streamledger.readmodel.tables import Tables
from streamledger.readmodel.workspace import FactKey, Workspace


class Streamwise(Protocol):
    """Folds a projection whose rows of a stream follow from that stream's events alone."""

    @property
    def row_tables(self) -> type[RowTables]:
        """How the projection's rows are written."""

    def fold(self, history: History) -> Iterator[TableRow | Lines]:
        """All rows of some streams, from all their events."""

    def fold_long(self, defining: Iterable[History], media: Iterable[History]) -> Iterator[TableRow | Lines]:
        """The same for one long stream: first what defines sessions, then the media, bucket by bucket.

        All deliveries of an identity are in one bucket.
        """

    def add_up(self, connection: psycopg.Connection[Any], suffix: str) -> Iterator[TableRow]:
        """The rows that count over all streams, from those that are in the generation's tables by now."""


class SessionsStreamwise:
    """`sessions`, `timeline` and `streams`, stream by stream."""

    row_tables: type[RowTables] = Tables

    def fold(self, history: History) -> Iterator[TableRow | Lines]:
        """All rows of some streams, from all their events."""
        workspace = Workspace()
        items = batch.take(workspace, history.facts)
        _settle(workspace)
        spans = _spans_by_stream(workspace)
        _attribute(workspace, items, spans)
        yield from _plain_lines(workspace, history, spans)
        yield from _timeline_rows(workspace)
        yield from workspace.sessions.values()
        yield from workspace.streams.values()

    def fold_long(self, defining: Iterable[History], media: Iterable[History]) -> Iterator[TableRow | Lines]:
        """The same for one long stream; only its sessions stay in memory from bucket to bucket."""
        workspace = Workspace()
        for bucket in defining:
            batch.take(workspace, bucket.facts)
            yield from _timeline_rows(workspace)
            workspace.forget_timeline()
        _settle(workspace)
        spans = _spans_by_stream(workspace)
        for bucket in media:
            items = batch.take(workspace, bucket.facts)
            _attribute(workspace, items, spans)
            yield from _plain_lines(workspace, bucket, spans)
            yield from _timeline_rows(workspace)
            workspace.forget_timeline()
        yield from workspace.sessions.values()
        yield from workspace.streams.values()

    def add_up(
        self, connection: psycopg.Connection[Any], suffix: str
    ) -> Iterator[TableRow]:  # of the protocol
        """None: every row belongs to one stream."""
        yield from ()


def _plain_lines(workspace: Workspace, history: History, spans: dict[str, list[Span]]) -> Iterator[Lines]:
    for stream_id, lane in history.lane.items():
        yield Lines("timeline", timeline_lines(workspace, stream_id, lane, spans.get(stream_id, [])))


def _timeline_rows(workspace: Workspace) -> Iterator[TableRow]:
    for rows in workspace.timeline.values():
        yield from rows.values()


def _settle(workspace: Workspace) -> None:
    """Tell each open session which push follows it; all sessions of their streams are at hand."""
    batch.settle(workspace, workspace.sessions.keys(), workspace.sessions.keys(), {})


def _spans_by_stream(workspace: Workspace) -> dict[str, list[Span]]:
    spans: dict[str, list[Span]] = {}
    for (stream_id, _), row in workspace.sessions.items():
        spans.setdefault(stream_id, []).append(fold.span(row.fold, row.newer_ms))
    for found in spans.values():
        found.sort(key=lambda span: span.from_ms)
    return spans


def _attribute(workspace: Workspace, items: dict[FactKey, Item], spans: dict[str, list[Span]]) -> None:
    """Judge each item against the spans near it: along the time axis, both in order, spans come and go.

    The latest open ones do not go: media that no other push is near fall to one of them.
    """
    by_stream: dict[str, list[tuple[FactKey, Item]]] = {}
    for key, item in items.items():
        by_stream.setdefault(key[0], []).append((key, item))
    for stream_id, found in by_stream.items():
        coming = spans.get(stream_id, [])
        found.sort(key=lambda pair: pair[1].at_ms)
        near: list[Span] = []
        together: dict[FactKey, Item] = {}
        place = 0
        for key, item in found:
            reach_ms = item.until_ms + batch.WINDOW_MARGIN_MS
            gone_ms = item.at_ms - batch.WINDOW_MARGIN_MS
            comes = place < len(coming) and coming[place].from_ms <= reach_ms
            if comes or any(span.until_ms < gone_ms and not span.open for span in near):
                batch.attribute(workspace, together, {stream_id: near})
                together = {}
                while place < len(coming) and coming[place].from_ms <= reach_ms:
                    near.append(coming[place])
                    place += 1
                near = attribution.still_of_use(near, gone_ms)
            together[key] = item
        batch.attribute(workspace, together, {stream_id: near})
