"""The sessions projection: sessions, their timelines and their streams, from batches of facts."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain import session as fold
from streamledger.domain.attribution import Item
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.ledger import reader
from streamledger.readmodel import batch
from streamledger.readmodel.batch import Window
from streamledger.readmodel.delivery_projection import DeliveriesProjection
from streamledger.readmodel.projection import Fact, Projection, read_facts
from streamledger.readmodel.tables import KEYS, Tables
from streamledger.readmodel.workspace import FactKey, Workspace


class SessionsProjection:
    """Writes `sessions`, `timeline` and `streams`."""

    name = "sessions"
    version = fold.FOLD_VERSION
    tables: Sequence[str] = tuple(KEYS)

    def take_in(self, connection: psycopg.Connection[Any], facts: Sequence[Fact], suffix: str = "") -> int:
        """Fold facts, in order, into one generation's tables; returns what they add to the digest."""
        return take_in(connection, Tables(connection, suffix), facts)


PROJECTIONS: Final[tuple[Projection, ...]] = (SessionsProjection(), DeliveriesProjection())
"""Every projection of the read model, in the order in which they take a batch in."""


def take_in(connection: psycopg.Connection[Any], tables: Tables, facts: Sequence[Fact]) -> int:
    """Fold facts into a generation's tables; returns what they add to the digest."""
    workspace = Workspace()
    named = [fact.notification for fact in facts if fact.notification.stream_id is not None]
    keys = {(each.stream_id or "", each.kind.value, each.key) for each in named}
    touched = {(each.stream_id or "", each.sequence) for each in named if each.sequence is not None}
    workspace.load(tables.streams({each.stream_id or "" for each in named}))
    workspace.load(tables.sessions(touched))
    _load_timeline(workspace, tables, keys)
    items = batch.take(workspace, facts)
    for key, item in _judged_again(connection, workspace, tables, batch.windows(workspace, touched)).items():
        items.setdefault(key, item)
    workspace.load(tables.sessions_near(_reach(items)))
    batch.attribute(workspace, items, _spans(workspace, items))
    return tables.write(workspace.changes())


def _load_timeline(workspace: Workspace, tables: Tables, keys: Iterable[FactKey]) -> None:
    """Load the rows of notifications, and the sessions they are attributed to, whose totals they are in."""
    rows = tables.timeline(keys)
    workspace.load(rows)
    sessions = {(row.stream_id, row.sequence) for row in rows if row.sequence}
    workspace.load(tables.sessions(sessions - workspace.sessions.keys()))


def _judged_again(
    connection: psycopg.Connection[Any], workspace: Workspace, tables: Tables, windows: Sequence[Window]
) -> dict[FactKey, Item]:
    """The media in windows where spans changed, read from the ledger."""
    if not windows:
        return {}
    workspace.load(tables.sessions_near(windows))
    sequences: dict[str, list[str]] = {}
    for stream_id, sequence in workspace.sessions:
        sequences.setdefault(stream_id, []).append(sequence)
    keys = tables.media_in([(window, sequences.get(window.stream_id, ())) for window in windows])
    _load_timeline(workspace, tables, keys - workspace.timeline.keys())
    keys_by_position = {next(iter(workspace.timeline[key].values())).position: key for key in keys}
    return {
        keys_by_position[fact.position]: batch.item_of(fact.notification)
        for fact in read_facts(reader.read_at(connection, sorted(keys_by_position)))
    }


def _reach(items: dict[FactKey, Item]) -> list[Window]:
    """Per stream, the stretch of time that the items cover."""
    reach: dict[str, tuple[int, int]] = {}
    for (stream_id, _, _), item in items.items():
        if item.at_ms < 0:
            continue
        from_ms, until_ms = reach.get(stream_id, (OPEN_END_MS, 0))
        reach[stream_id] = min(from_ms, item.at_ms), max(until_ms, item.until_ms)
    return [Window(stream_id, from_ms, until_ms) for stream_id, (from_ms, until_ms) in reach.items()]


def _spans(workspace: Workspace, items: dict[FactKey, Item]) -> dict[str, list[Span]]:
    wanted = {stream_id for stream_id, _, _ in items}
    spans: dict[str, list[Span]] = {}
    for (stream_id, _), row in workspace.sessions.items():
        if stream_id in wanted:
            spans.setdefault(stream_id, []).append(fold.span(row.fold))
    return spans
