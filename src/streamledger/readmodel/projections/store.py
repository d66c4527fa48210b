"""The store as the fold's view: one generation of the tables, with live streams kept in memory.

The projector is the only writer of its tables, so what it knows of live streams it need not read again for
each batch: `Memory` keeps their sessions, bounded; a property holds them against the store.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.senders import Senders
from streamledger.readmodel.fold.columns import (
    columns_of,
    fold_of,
    narrow_columns,
    narrow_row,
    notification_row,
    session_row,
    timeline_row,
)
from streamledger.readmodel.fold.facts import Fact
from streamledger.readmodel.fold.lines import array_literal
from streamledger.readmodel.fold.pushes import WHOLE, Interval, Pushes
from streamledger.readmodel.fold.rows import NOT_READ, FactKey, NotificationRow, TimelineRow
from streamledger.readmodel.fold.view import Changes, Needed
from streamledger.readmodel.projections.addresses import senders_of
from streamledger.readmodel.projections.reading import read_facts_at
from streamledger.readmodel.projections.writing import Writing

STREAMS_MAX: Final = 20_000
"""Streams whose sessions are kept in memory; the least lately used go first."""
SESSIONS_MAX: Final = 64
"""Of one stream kept in memory; of more those go that can have the least to do with what comes."""
WHOLE_SESSIONS_MAX: Final = 32
"""A stream of so few sessions is read whole."""


class Memory:
    """The sessions of live streams, as they stand in the tables after the last write."""

    def __init__(self) -> None:
        self._streams: dict[str, Pushes] = {}

    def get(self, stream_id: str) -> Pushes | None:
        """What is kept of a stream."""
        found = self._streams.pop(stream_id, None)
        if found is not None:
            self._streams[stream_id] = found  # now the last to go
        return found

    def put(self, stream_id: str, pushes: Pushes) -> None:
        """Keep a stream from now on."""
        self._streams[stream_id] = pushes

    def forget(self) -> None:
        """Keep nothing: what is written was not, or by somebody else."""
        self._streams.clear()

    def trim(self, stream_ids: Iterable[str]) -> None:
        """Let go of what is too much, of these streams and of all; and of all folds, which are long."""
        for stream_id in stream_ids:
            pushes = self._streams.get(stream_id)
            if pushes is None:
                continue
            for row in pushes.rows.values():
                row.fold = NOT_READ
            if len(pushes.rows) > SESSIONS_MAX:
                self._shorten(stream_id, pushes)
        while len(self._streams) > STREAMS_MAX:
            del self._streams[next(iter(self._streams))]

    def _shorten(self, stream_id: str, pushes: Pushes) -> None:
        by_reach = sorted(pushes.rows.values(), key=lambda row: row.reach_ms)
        # Of what lies before its own from_ms only some are here: it must not claim more than it has.
        from_ms = max(pushes.from_ms, by_reach[-(SESSIONS_MAX // 2)].reach_ms)
        kept = Pushes((row for row in by_reach if row.reach_ms >= from_ms), from_ms)
        if len(kept.rows) > SESSIONS_MAX:
            del self._streams[stream_id]
        else:
            self._streams[stream_id] = kept

    def __iter__(self) -> Iterable[tuple[str, Pushes]]:
        return iter(self._streams.items())


class StoreView:
    """One generation of the tables as the fold's view; `suffix` is empty for the live one."""

    def __init__(
        self, connection: psycopg.Connection[Any], suffix: str = "", memory: Memory | None = None
    ) -> None:
        self._connection = connection
        self._suffix = suffix
        self._memory = memory or Memory()
        self._senders: Senders | None = None
        self._used: dict[str, Pushes] = {}
        """Streams in hand: whatever happens in memory, during a fold they are the same."""

    def entries(self, keys: Iterable[FactKey]) -> Iterable[TimelineRow]:
        """All rows of these notifications, as far as there are."""
        found = self._select(
            f"SELECT {columns_of('timeline', 't')}"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::text[], %t::text[]) AS named(stream_id, kind, key)"
            f" JOIN timeline{self._suffix} AS t USING (stream_id, kind, key) ORDER BY t.part",
            _columns(keys, 3),
        )
        return [timeline_row(values) for values in found]

    def known(self, keys: Collection[FactKey]) -> Mapping[FactKey, NotificationRow]:
        """What is known of those of these notifications that came more than once."""
        found = self._select(
            f"SELECT {columns_of('notifications', 'n')}"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::text[], %t::text[]) AS named(stream_id, kind, key)"
            f" JOIN notifications{self._suffix} AS n USING (stream_id, kind, key)",
            _columns(keys, 3),
        )
        rows = map(notification_row, found)
        return {(row.stream_id, row.kind, row.key): row for row in rows}

    def senders(self) -> Senders:
        """Those that are known by now, read when they are first asked for."""
        if self._senders is None:
            self._senders = senders_of(self._connection, self._suffix)
        return self._senders

    def facts(self, positions: Sequence[int]) -> Iterable[Fact]:
        """The events at these positions, read."""
        return read_facts_at(self._connection, positions)

    def pushes(self, needed: Mapping[str, Needed]) -> Mapping[str, Pushes]:
        """The sessions at hand of these streams, read as far as they are not."""
        unread = {}
        for stream_id in needed:
            if stream_id not in self._used:
                kept = self._memory.get(stream_id)
                if kept is None:
                    unread[stream_id] = kept = Pushes((), 2**63 - 1)
                self._used[stream_id] = kept
        self._read_small(unread)
        self._read_reach(needed)
        self._read_witnesses(needed)
        self._read_folds(needed)
        return {stream_id: self._used[stream_id] for stream_id in needed}

    def _read_small(self, unread: Mapping[str, Pushes]) -> None:
        """Read streams whole if they are small: they need nothing more then."""
        found = self._select(
            f"SELECT {narrow_columns('s')} FROM unnest(%t::text[]) AS named(stream_id) CROSS JOIN LATERAL"  # noqa: S608  # constant names
            f" (SELECT * FROM sessions{self._suffix} AS o WHERE o.stream_id = named.stream_id"
            f"  ORDER BY o.sort_ms DESC, o.sequence DESC LIMIT {WHOLE_SESSIONS_MAX + 1}) AS s",
            (list(unread),),
        )
        for row in map(narrow_row, found):
            unread[row.stream_id].put(row)
        for pushes in unread.values():
            if len(pushes.rows) <= WHOLE_SESSIONS_MAX:
                pushes.from_ms = WHOLE

    def _read_reach(self, needed: Mapping[str, Needed]) -> None:
        wanted = {
            stream_id: need.from_ms
            for stream_id, need in needed.items()
            if need.from_ms < self._used[stream_id].from_ms
        }
        found = self._select(
            f"SELECT {narrow_columns('s')}"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::int8[]) AS named(stream_id, from_ms) CROSS JOIN LATERAL"
            f" (SELECT * FROM sessions{self._suffix} AS o WHERE o.stream_id = named.stream_id"
            "  AND o.reach_ms >= named.from_ms OFFSET 0) AS s",
            (list(wanted), list(wanted.values())),
        )
        self._add(found)
        for stream_id, from_ms in wanted.items():
            self._used[stream_id].from_ms = from_ms
            self._used[stream_id].witnesses.clear()

    def _read_witnesses(self, needed: Mapping[str, Needed]) -> None:
        wanted = [
            (stream_id, witness, need.from_ms)
            for stream_id, need in needed.items()
            if self._used[stream_id].from_ms != WHOLE
            for witness in need.all_witnesses() - self._used[stream_id].witnesses
        ]
        found = self._select(
            f"SELECT {narrow_columns('s')} FROM unnest(%t::text[], %t::text[], %t::int8[])"  # noqa: S608  # constant names
            " AS named(stream_id, witness, from_ms) CROSS JOIN LATERAL"
            f" (SELECT * FROM sessions{self._suffix} AS o WHERE o.stream_id = named.stream_id"
            "  AND o.witness = named.witness AND NOT o.ended AND o.witness_until_ms >= named.from_ms"
            "  OFFSET 0) AS s",
            ([each[0] for each in wanted], [each[1] for each in wanted], [each[2] for each in wanted]),
        )
        self._add(found)
        for stream_id, witness, _ in wanted:
            self._used[stream_id].witnesses.add(witness)

    def _read_folds(self, needed: Mapping[str, Needed]) -> None:
        """Read the folds of the named sessions, and the rows of those that are not at hand."""
        rows, folds = [], []
        for stream_id, need in needed.items():
            pushes = self._used[stream_id]
            for sequence in need.sequences:
                row = pushes.rows.get(sequence)
                if row is None:
                    if pushes.from_ms != WHOLE:
                        rows.append((stream_id, sequence))
                elif row.fold is NOT_READ:
                    folds.append((stream_id, sequence))
        found = self._select(
            f"SELECT {columns_of('sessions', 's', suffix=self._suffix)}"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::text[]) AS named(stream_id, sequence)"
            f" JOIN sessions{self._suffix} AS s USING (stream_id, sequence)",
            _columns(rows, 2),
        )
        for row in map(session_row, found):
            self._used[row.stream_id].put(row)
        for stream_id, sequence, fold in self._select(
            "SELECT f.stream_id, f.sequence, f.fold"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::text[]) AS named(stream_id, sequence)"
            f" JOIN session_folds{self._suffix} AS f USING (stream_id, sequence)",
            _columns(folds, 2),
        ):
            self._used[stream_id].rows[sequence].fold = fold_of(fold)

    def _add(self, found: Iterable[Sequence[Any]]) -> None:
        """Take rows in that are not at hand; those that are may have been changed already."""
        for values in found:
            row = narrow_row(values)
            pushes = self._used[row.stream_id]
            if row.sequence not in pushes.rows:
                pushes.put(row)

    def media_in(self, intervals: Mapping[Interval, Collection[str]]) -> set[FactKey]:
        """Media that touch these intervals: moments of the named sessions and of none, and recordings."""
        moments = [(each, sequence) for each, sequences in intervals.items() for sequence in ("", *sequences)]
        # LATERAL with OFFSET 0 is planned by itself: one search an interval, whatever the statistics say.
        found = self._select(
            "SELECT t.stream_id, t.kind, t.key"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::text[], %t::int8[], %t::int8[])"
            " AS w(stream_id, sequence, from_ms, until_ms) CROSS JOIN LATERAL"
            f" (SELECT i.stream_id, i.kind, i.key FROM timeline{self._suffix} AS i"
            "  WHERE i.stream_id = w.stream_id AND i.sequence = w.sequence"
            "  AND i.at_ms BETWEEN w.from_ms AND w.until_ms OFFSET 0) AS t",
            (
                [each.stream_id for each, _ in moments],
                [sequence for _, sequence in moments],
                [each.from_ms for each, _ in moments],
                [each.until_ms for each, _ in moments],
            ),
        )
        # Looked at here: with the kinds in the statement another index, which has no times, seems as good.
        keys = [key for key in found if key[1] in ATTRIBUTED_KINDS]
        keys += self._select(
            "SELECT t.stream_id, t.kind, t.key"  # noqa: S608  # constant names
            " FROM unnest(%t::text[], %t::int8[], %t::int8[]) AS w(stream_id, from_ms, until_ms)"
            f" CROSS JOIN LATERAL (SELECT i.stream_id, i.kind, i.key FROM timeline{self._suffix} AS i"
            "  WHERE i.stream_id = w.stream_id AND i.until_ms >= w.from_ms"
            "  AND least(i.at_ms, i.began_ms) <= w.until_ms AND i.kind = 'recording' OFFSET 0) AS t",
            (
                [each.stream_id for each in intervals],
                [each.from_ms for each in intervals],
                [each.until_ms for each in intervals],
            ),
        )
        return {(stream_id, kind, key) for stream_id, kind, key in keys}

    def write(self, changes: Changes) -> set[int]:
        """Write changes; the positions of plain media whose notifications were there, of which nothing is."""
        again = Writing(self._connection, self._suffix).write(changes)
        for stream_id, pushes in self._used.items():
            self._memory.put(stream_id, pushes)
        self._memory.trim(self._used)
        self._used.clear()
        return again

    def _select(self, sql: str, parameters: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        if not parameters[0]:
            return []
        with self._connection.cursor(binary=True) as cursor:
            cursor.execute(sql, [array_literal(values) for values in parameters], prepare=True)
            return cursor.fetchall()


def _columns(keys: Iterable[Sequence[str]], width: int) -> list[list[str]]:
    """Keys as one array a column, as `unnest` takes them."""
    keys = list(keys)
    return [[key[column] for key in keys] for column in range(width)]
