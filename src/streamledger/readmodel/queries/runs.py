"""A session's table with its runs of screenshots folded: a start and a stop are not lost among hundreds."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low
from typing import Any, Final

import msgspec

from streamledger.domain.answers import TimelineEntry
from streamledger.domain.instants import instant_ms
from streamledger.domain.notification import Kind
from streamledger.readmodel.fold.columns import columns_of, timeline_row
from streamledger.readmodel.queries import presenters as answering
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.entries import entries_of
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.sessions import EntryKey, Page, Queries, entry_key

ROWS_A_PAGE: Final = 1000
"""Entries that one page of the table folds: what it reads of each is an index entry and six columns."""
ITEMS_A_PAGE: Final = 60
"""At most; a page of more is made of half as many entries."""
RUN_MIN: Final = 3
"""Fewer screenshots in a row are shown one by one."""
GAP_STEPS: Final = 3
"""A pause of more than so many steps ends a run: that screenshots stopped is worth a row."""
SHOTS_OF_RUN_MAX: Final = 12
SHOTS_MAX: Final = 48
"""Screenshots of a run's strip, and of all strips of a page: the others are in the list of screenshots."""
_LISTING: Final = "timeline-folded"
_ROWS_SQL: Final = (
    "SELECT at_ms, kind, key, position, deliveries, confidence IS NOT NULL AND confidence <> 'certain'"
    " FROM timeline WHERE stream_id = %(stream_id)s AND sequence = %(sequence)s"
    " AND (at_ms, kind, key) > (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text)"
    " ORDER BY at_ms, kind, key LIMIT %(limit)s"
)
_NAMED_SQL: Final = (
    f"SELECT {columns_of('timeline', 't')}"  # noqa: S608  # constant names
    " FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS named(kind, key)"
    " JOIN timeline AS t ON t.stream_id = %(stream_id)s AND t.kind = named.kind AND t.key = named.key"
    " AND t.sequence = %(sequence)s"
)


class Seen(msgspec.Struct, frozen=True):
    """What folding looks at in an entry."""

    at_ms: int
    kind: str
    key: str
    position: int
    deliveries: int
    is_unsure: bool


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Screenshots in a row, at about even steps."""

    count: int
    from_at: str
    until_at: str
    step_ms: int
    repeated: int
    """How many of them were delivered more than once."""
    unsure: int
    """How many may belong to another session."""
    position: int
    """Of the first."""
    shots: list[TimelineEntry]
    """Some of them at even steps, the first and the last among them."""


Item = TimelineEntry | Run


def folded(seen: Sequence[Seen]) -> list[Seen | list[Seen]]:
    """Entries in the order of their beginnings, each run of screenshots as one list.

    A recording does not end a run: files begin and end all the time while screenshots go on.
    """
    items: list[Seen | list[Seen]] = []
    media: list[Seen] = []
    for each in seen:
        if each.kind in (Kind.SCREENSHOT, Kind.RECORDING):
            media.append(each)
            continue
        items += [*_media(media), each]
        media = []
    return items + _media(media)


def _media(media: Sequence[Seen]) -> list[Seen | list[Seen]]:
    """Media between two other events: the runs of screenshots, and the recordings among them."""
    files: list[Seen | list[Seen]] = [each for each in media if each.kind == Kind.RECORDING]
    runs = _closed([each for each in media if each.kind == Kind.SCREENSHOT])
    return sorted([*files, *runs], key=lambda item: _order(item[0] if isinstance(item, list) else item))


def _order(seen: Seen) -> EntryKey:
    return seen.at_ms, seen.kind, seen.key


def _closed(shots: Sequence[Seen]) -> list[Seen | list[Seen]]:
    """Screenshots in a row as runs, parted where they paused."""
    if len(shots) < RUN_MIN:
        return list(shots)
    pause_ms = GAP_STEPS * max(1000, step_of(shots))
    runs: list[list[Seen]] = [[shots[0]]]
    for before, after in pairwise(shots):
        if after.at_ms - before.at_ms > pause_ms:
            runs.append([])
        runs[-1].append(after)
    found: list[Seen | list[Seen]] = []
    for run in runs:
        found += [run] if len(run) >= RUN_MIN else run
    return found


def step_of(shots: Sequence[Seen]) -> int:
    """How far apart screenshots usually are."""
    return median_low([after.at_ms - before.at_ms for before, after in pairwise(shots)])


def thinned(run: Sequence[Seen], most: int) -> list[Seen]:
    """Some of a run at even steps, with the first and the last."""
    if len(run) <= most:
        return list(run)
    last = len(run) - 1
    return [run[round(place * last / (most - 1))] for place in range(most)]


async def folded_timeline(
    queries: Queries, stream_id: str, sequence: str, cursor: str | None = None
) -> Page[Item]:
    """A page of a session's table, its screenshots folded. Raises CursorInvalid."""
    after: list[Any] = [-(2**63), "", ""]
    if cursor is not None:
        after = decode_cursor(_LISTING, cursor, (int, str, str))
    facts: dict[str, Any] = {"stream_id": stream_id, "sequence": sequence, "limit": ROWS_A_PAGE + 1}
    facts |= dict(zip(("after_ms", "after_kind", "after_key"), after, strict=True))
    async with queries.pool.connection() as connection:
        seen = [Seen(*row) for row in await fetch(connection, _ROWS_SQL, facts)]
        taken = seen[:ROWS_A_PAGE]
        while len(items := folded(taken)) > ITEMS_A_PAGE:
            taken = taken[: len(taken) // 2]
        more = len(taken) < len(seen)
        runs = [each for each in items if isinstance(each, list)]
        each_max = max(2, min(SHOTS_OF_RUN_MAX, SHOTS_MAX // max(1, len(runs))))
        chosen = {id(run): thinned(run, each_max) for run in runs}
        wanted = [each for each in items if isinstance(each, Seen)]
        wanted += [shot for shots in chosen.values() for shot in shots]
        named = {"kinds": [each.kind for each in wanted], "keys": [each.key for each in wanted]}
        rows = [timeline_row(row) for row in await fetch(connection, _NAMED_SQL, facts | named)]
        made = await entries_of(connection, rows, answering.timeline_entry)
    by_name = {entry_key(row): each for row, each in zip(rows, made, strict=False)}

    def entries(of: Sequence[Seen]) -> list[TimelineEntry]:
        return [by_name[name] for name in map(_order, of) if name in by_name]

    listed: list[Item] = []
    for each in items:
        listed += entries([each]) if isinstance(each, Seen) else [run_of(each, entries(chosen[id(each)]))]
    return Page(listed, encode_cursor(_LISTING, list(_order(taken[-1]))) if more else None)


def run_of(run: Sequence[Seen], shots: list[TimelineEntry]) -> Run:
    """A run as it is shown."""
    return Run(
        count=len(run),
        from_at=instant_ms(run[0].at_ms),
        until_at=instant_ms(run[-1].at_ms),
        step_ms=step_of(run),
        repeated=sum(each.deliveries > 1 for each in run),
        unsure=sum(each.is_unsure for each in run),
        position=run[0].position,
        shots=shots,
    )
