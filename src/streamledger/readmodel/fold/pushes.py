"""The sessions of one stream that are at hand, and where changes among them touch media."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from streamledger.domain import succession
from streamledger.domain.attributed import SLACK_MS
from streamledger.domain.session import OPEN_END_MS, Span, bounds_of
from streamledger.domain.succession import Changed
from streamledger.readmodel.fold.rows import SessionRow
from streamledger.readmodel.fold.witness import witness_of

MARGIN_MS: Final = 2 * SLACK_MS
"""How far around a changed end of a span media are judged again; more than any rule of attribution looks."""

WHOLE: Final = -(2**63)


class Interval(msgspec.Struct, frozen=True, gc=False):
    """An interval of a stream's time axis, both ends included."""

    stream_id: str
    from_ms: int
    until_ms: int


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A span, and where a moment must lie to be surely, and only, its own."""

    span: Span
    from_ms: int
    until_ms: int
    sure_from_ms: int
    sure_until_ms: int
    witness_until_ms: int


def _placed(span: Span) -> Placed:
    sure_from_ms = span.from_ms if span.sure_from_ms is None else max(span.from_ms, span.sure_from_ms)
    sure_until_ms = span.until_ms if span.sure_until_ms is None else min(span.until_ms, span.sure_until_ms)
    return Placed(
        span,
        span.from_ms - SLACK_MS,
        min(span.until_ms, OPEN_END_MS - SLACK_MS) + SLACK_MS,
        sure_from_ms if span.from_certain else OPEN_END_MS,
        sure_until_ms,
        min(span.witness_until_ms, OPEN_END_MS - SLACK_MS) + SLACK_MS,
    )


class Pushes:
    """All sessions of a stream whose `reach_ms` is not before `from_ms`, and some others."""

    __slots__ = ("_placed", "from_ms", "rows", "witnesses")

    def __init__(self, rows: Iterable[SessionRow] = (), from_ms: int = WHOLE) -> None:
        self.rows: dict[str, SessionRow] = {row.sequence: row for row in rows}
        self.from_ms = from_ms
        self.witnesses: set[str] = set()
        """Of which all pushes without a stop are here whose `witness_until_ms` is not before `from_ms`."""
        self._placed: list[Placed] | None = None

    def put(self, row: SessionRow) -> None:
        """Take a session in, or another one in its place."""
        self.rows[row.sequence] = row
        self._placed = None

    def forget_spans(self) -> None:
        """Rows were changed: their spans are made anew when they are asked for."""
        self._placed = None

    def placed(self) -> list[Placed]:
        """The spans that are not empty, by their beginnings."""
        if self._placed is None:
            found = [
                _placed(row.span()) for row in self.rows.values() if row.span_until_ms >= row.span_from_ms
            ]
            found.sort(key=_order)
            self._placed = found
        return self._placed

    def spans(self) -> dict[str, Span]:
        """The spans of all, empty ones too."""
        return {sequence: row.span() for sequence, row in self.rows.items()}


def _order(placed: Placed) -> tuple[int, str]:
    return placed.span.from_ms, placed.span.sequence


def told_by_itself(before: SessionRow | None, row: SessionRow) -> None:
    """Write into a session's row what its fold says; where that is the same, keep what others decided."""
    bounds_of(row, row.fold, witness_of)
    if (
        before is not None
        and _by_itself(before) == _by_itself(row)
        and (row.ended or before.last_sign_ms == row.last_sign_ms)
    ):
        row.span_from_ms, row.span_until_ms = before.span_from_ms, before.span_until_ms
        row.sure_until_ms, row.reach_ms = before.sure_until_ms, before.reach_ms


def changed_by(touched: Mapping[str, tuple[SessionRow | None, SessionRow]]) -> Changed | None:
    """What changed among the pushes, from those touched, as they were and as they are by themselves.

    None when nothing of it bears on the others or on media.
    """
    since_ms = OPEN_END_MS
    moved, signed = set(), set()
    witnesses = set()
    for sequence, (before, after) in touched.items():
        if before is not None and _by_itself(before) == _by_itself(after):
            if not after.ended and before.last_sign_ms != after.last_sign_ms:
                signed.add(sequence)
                since_ms = min(since_ms, after.last_sign_ms)
            continue
        moved.add(sequence)
        for row in (before, after):
            if row is not None and row.span_until_ms >= row.span_from_ms:
                since_ms = min(since_ms, row.sort_ms, row.span_from_ms)
                if row.is_open and row.witness is not None:
                    witnesses.add(row.witness)
    if not moved and not signed:
        return None
    return Changed(since_ms=since_ms, moved=moved, signed=signed, witnesses=witnesses)


def _by_itself(row: SessionRow) -> tuple[object, ...]:
    """What of a push bears on others and follows from its own notifications alone."""
    until_ms = OPEN_END_MS if row.is_open else row.span_until_ms
    return (
        *(row.ended, row.start_known, row.sort_ms, row.sure_from_ms, until_ms),
        *(row.app, row.appname, row.witness, row.refused),
    )


def needed_from_ms(rows: Iterable[SessionRow], changed: Changed) -> int:
    """From where on the sessions must be at hand to settle this."""
    return succession.needed_from_ms(rows, changed)


def settle(pushes: Pushes, changed: Changed) -> None:
    """Let the sessions at hand decide of each other; see `succession`."""
    succession.settle(list(pushes.rows.values()), changed)
    pushes.forget_spans()


def intervals(stream_id: str, before: Mapping[str, Span], after: Mapping[str, Span]) -> list[Interval]:
    """Where media must be judged again because spans changed: intervals that do not touch each other."""
    found: list[tuple[int, int]] = []
    for sequence, span in after.items():
        was = before.get(sequence)
        if was == span:
            continue
        edges, to_the_end = _edges(was, span)
        if edges:
            until_ms = OPEN_END_MS if to_the_end else max(edges) + MARGIN_MS
            found.append((max(0, min(edges) - MARGIN_MS), min(OPEN_END_MS, until_ms)))
    merged: list[Interval] = []
    for from_ms, until_ms in sorted(found):
        if merged and from_ms <= merged[-1].until_ms:
            last = merged.pop()
            merged.append(Interval(stream_id, last.from_ms, max(until_ms, last.until_ms)))
        else:
            merged.append(Interval(stream_id, from_ms, until_ms))
    return merged


_ENDS: Final = ("until_ms", "sure_from_ms", "sure_until_ms", "witness_until_ms")


def _edges(before: Span | None, after: Span) -> tuple[list[int], bool]:
    """The ends of a span that moved, and whether everything behind them may have changed too.

    An open session may be the latest one, to which media fall that no other is near (`last_open`).
    """
    spans = [span for span in (before, after) if span is not None and span.until_ms >= span.from_ms]
    is_open = any(span.open for span in spans)
    if before is None or len(spans) < 2 or _bearing(before) != _bearing(after):
        return [edge for span in spans for edge in (span.from_ms, span.until_ms)], is_open
    moved = [name for name in _ENDS if getattr(before, name) != getattr(after, name)]
    edges = [edge for span in spans for name in moved if (edge := getattr(span, name)) >= 0]
    return edges, is_open and before.open != after.open


def _bearing(span: Span) -> tuple[object, ...]:
    """What of a span bears on all its media; its beginning, as of rivals the first to begin is named."""
    return span.from_ms, span.from_certain, span.app, span.appname, span.stream_param, span.refused


def holders(interval: Interval, before: Mapping[str, Span], after: Mapping[str, Span]) -> set[str]:
    """The sessions that hold media of an interval by now, as far as can be told: none that has just come."""
    found = set()
    for sequence, was in before.items():
        for span in (was, after.get(sequence, was)):
            until_ms = OPEN_END_MS if span.open else span.until_ms + MARGIN_MS
            if span.from_ms - MARGIN_MS <= interval.until_ms and interval.from_ms <= until_ms:
                found.add(sequence)
    return found
