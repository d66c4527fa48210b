"""The sessions projection: takes in the ledger batch by batch, rows and checkpoint in one transaction."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain import session as fold
from streamledger.domain.attribution import Item
from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import LedgerEvent
from streamledger.domain.session import OPEN_END_MS, Span
from streamledger.ledger import reader
from streamledger.readmodel import batch
from streamledger.readmodel.batch import Fact, Window
from streamledger.readmodel.tables import Tables
from streamledger.readmodel.workspace import FactKey, Workspace
from streamledger.tencent.reader import read_notification

PROJECTION: Final = "sessions"
PROJECTED_CHANNEL: Final = "projected"


class ProjectionMoved(StreamledgerError):
    """the projection {name} is at position {found}, not at {expected}: another runner is at work"""


def read_facts(events: Iterable[LedgerEvent]) -> list[Fact]:
    """The events' bodies, read."""
    return [Fact(event.position, event.delivery, read_notification(event.delivery.body)) for event in events]


def checkpoint(connection: psycopg.Connection[Any], name: str = PROJECTION) -> int:
    """The position that a projection has taken in; its row is made when there is none."""
    row = connection.execute("SELECT position FROM projections WHERE name = %s", (name,)).fetchone()
    if row is not None:
        return int(row[0])
    connection.execute(
        "INSERT INTO projections (name, fold_version) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (name, fold.FOLD_VERSION),
    )
    return 0


def project(
    connection: psycopg.Connection[Any],
    events: Sequence[LedgerEvent],
    *,
    after: int,
    now_us: int,
    schema: str,
) -> int:
    """Take a batch of events in, exactly once; returns the new position.

    Raises ProjectionMoved when the checkpoint is not at `after`: then somebody else has moved it.
    """
    facts = read_facts(events)
    position = events[-1].position
    with connection.transaction():
        row = connection.execute(
            "SELECT position FROM projections WHERE name = %s FOR UPDATE", (PROJECTION,)
        ).fetchone()
        if row is None or row[0] != after:
            raise ProjectionMoved(name=PROJECTION, found=row[0] if row else None, expected=after)
        digest = take_in(connection, Tables(connection), facts)
        connection.execute(
            "UPDATE projections SET position = %s, caught_up_at_us = %s,"
            " digest = mod(digest + %s, 18446744073709551616) WHERE name = %s",
            (position, now_us, digest, PROJECTION),
        )
        connection.execute("SELECT pg_notify(%s, '')", (f"{PROJECTED_CHANNEL}_{schema}",))
    return position


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
