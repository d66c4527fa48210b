"""A session as it was at a moment: folded and judged anew, by the projection's own functions, where need be.

What is known now is the index. A session whose start and end stood at the moment as they stand now keeps the
media it has; only where spans were others, and where a medium was delivered with several contents, the events
are read from the ledger and judged again. So the cost follows the difference, not the length of the stream.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from streamledger.domain import session as folding
from streamledger.domain.attributed import SLACK_MS, Item
from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS, SessionState, Span, bounds_of
from streamledger.domain.succession import Changed
from streamledger.readmodel.fold import pushes
from streamledger.readmodel.fold.engine import fold
from streamledger.readmodel.fold.facts import Fact
from streamledger.readmodel.fold.nothing import Nothing
from streamledger.readmodel.fold.pushes import Pushes
from streamledger.readmodel.fold.rows import FactKey, SessionKey, SessionRow, TimelineRow
from streamledger.readmodel.fold.signs import recorded_ms, signs_of
from streamledger.readmodel.fold.sweep import item_of
from streamledger.readmodel.fold.witness import witness_of
from streamledger.readmodel.moments import kept as past_kept
from streamledger.readmodel.moments.kept import Counted
from streamledger.readmodel.moments.moment import Moment
from streamledger.readmodel.moments.tables import Interval, PastTables
from streamledger.readmodel.queries.presenters import Found
from streamledger.readmodel.queries.sessions import EntryKey, entry_key


class PastSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session at a moment, and what answers about it are made of."""

    tables: PastTables
    row: SessionRow
    """Its fold and its own deliveries at the moment; media totals are left to `found`."""
    facts: Sequence[Fact]
    """The deliveries that carry its sequence, in order, copies too."""
    spans: Sequence[Span]
    """Of this session and of those of the stream that came near it, at the moment."""
    entries: Sequence[TimelineRow]
    """Its own notifications, and its media where they were judged anew, in order."""
    judged: Sequence[Interval]
    """Where media were judged anew: the rows of the read model count outside of these."""
    recounted: Sequence[TimelineRow]
    """Rows of the read model with rivals, which sums over it hold as they are known now."""

    @property
    def key(self) -> SessionKey:
        """(stream_id, sequence)"""
        return self.row.stream_id, self.row.sequence


async def read_past(tables: PastTables, now: SessionRow) -> PastSession | None:
    """The session as it was at the moment; None when nothing of it was known, or nothing had happened."""
    key = (now.stream_id, now.sequence)
    view = Nothing()
    facts = await tables.defining_facts([key])
    own = fold(view, facts).entries
    known = view.at_hand(key[0])
    begin(known, await tables.stops_ahead([key]))
    if key[1] not in known.rows:
        return None
    moment = tables.moment
    region = _region(moment.margin_ms, known.rows[key[1]].span(), now.span())
    conflicts = await tables.media_with_rivals(key[0])
    conflicting = await tables.facts_of(conflicts)
    reach = await _reach(tables, key[0], region, [item_of(fact.notification) for fact in conflicting])
    near = await _take_neighbours(tables, view, now, reach)
    spans = known.spans()
    differences = [*_differences(near, spans), *_edges(spans.values(), moment)]
    judged = _merged(each for each in (_common(each, reach) for each in differences) if each is not None)
    media = await tables.media_in(key[0], judged, region, sorted(row.sequence for row in near))
    found = await tables.facts_of(media, copies=False)
    entries = fold(view, [*conflicting, *found], moment.slack_ms).entries
    await _count_deliveries(tables, entries, media)
    mine = [row for rows in (own | entries).values() for row in rows if row.sequence == key[1]]
    return PastSession(
        tables=tables,
        row=known.rows[key[1]],
        facts=facts,
        spans=[each.span for each in known.placed()],
        entries=sorted(mine, key=entry_key),
        judged=judged,
        recounted=[row for row in conflicts if row.sequence == key[1]],
    )


def begin(known: Pushes, stops: Iterable[Fact]) -> None:
    """Let pushes have begun of which only a stop tells that was still to come."""
    for fact in stops:
        notification = fact.notification
        stream_id, sequence = notification.stream_id or "", notification.sequence or ""
        row = known.rows.get(sequence)
        if row is None:
            state = SessionState(stream_id=stream_id, sequence=sequence)
            row = SessionRow(stream_id=stream_id, sequence=sequence, fold=state)
        row.fold = folding.begun_by(row.fold, notification, fact.position)
        bounds_of(row, row.fold, witness_of)
        known.put(row)


async def _reach(
    tables: PastTables, stream_id: str, region: Interval | None, items: Iterable[Item]
) -> Interval | None:
    """From the first to the last moment of all that touches the region: what lies there decides over it."""
    if region is None:
        return None
    touching = [
        Interval(max(0, item.began_ms), item.until_ms)
        for item in items
        if item.until_ms >= region.from_ms and item.began_ms <= region.until_ms
    ]
    recordings = await tables.reach_of_recordings(stream_id, region)
    touching += [region] if recordings is None else [region, recordings]
    from_ms = min(each.from_ms for each in touching)
    return _interval(from_ms, max(each.until_ms for each in touching), tables.moment.margin_ms)


async def _take_neighbours(
    tables: PastTables, view: Nothing, now: SessionRow, reach: Interval | None
) -> list[SessionRow]:
    """Take the stream's other sessions in as they were at the moment, and let all decide of each other.

    Returns them and the session itself as they are known now.
    """
    near = [row for row in await tables.sessions_near(now.stream_id, reach) if row.sequence != now.sequence]
    known = view.at_hand(now.stream_id)
    for row in near:
        if tables.moment.is_settled(row):
            known.put(msgspec.structs.replace(row))
    unsettled = [row for row in near if not tables.moment.is_settled(row)]
    keys = [(row.stream_id, row.sequence) for row in unsettled]
    fold(view, await tables.defining_facts(keys))
    begin(known, await tables.stops_ahead(keys))
    for row in known.rows.values():
        bounds_of(row, row.fold, witness_of)
    # What bounds them may lie far off, and does nothing else.
    bounding = await tables.followers(row for row in known.rows.values() if row.is_open)
    if reach is not None:
        bounding += await tables.bounding(now.stream_id, [*known.rows.values()], reach.until_ms)
    far = {row.sequence: row for row in bounding if row.sequence not in known.rows}
    known.rows.update(far)
    pushes.settle(known, Changed())
    for sequence in far:
        del known.rows[sequence]
    return [now, *near]


_NOWHERE: Final = Span(sequence="", from_ms=0, until_ms=-1, from_certain=False)


def _differences(near: Sequence[SessionRow], then: Mapping[str, Span]) -> list[Interval]:
    """Where media have to be judged anew because spans were others at the moment than they are now."""
    now = {row.sequence: row.span() for row in near}
    were = {
        sequence: then.get(sequence) or msgspec.structs.replace(_NOWHERE, sequence=sequence)
        for sequence in now
    }
    return [Interval(each.from_ms, each.until_ms) for each in pushes.intervals("", now, were)]


def _edges(spans: Iterable[Span], moment: Moment) -> list[Interval]:
    """Where another slack than that of the rules may decide otherwise: around the ends of spans."""
    if moment.slack_ms == SLACK_MS:
        return []
    ends = {
        end_ms
        for span in spans
        if span.until_ms >= span.from_ms
        for end_ms in (span.from_ms, span.until_ms, span.sure_from_ms, span.sure_until_ms)
        if end_ms is not None
    }
    return [_interval(end_ms, end_ms, moment.margin_ms) for end_ms in sorted(ends)]


async def _count_deliveries(
    tables: PastTables, entries: Mapping[FactKey, list[TimelineRow]], media: Sequence[TimelineRow]
) -> None:
    counts = await tables.deliveries_of(media)
    for row in media:
        for entry in entries.get((row.stream_id, row.kind, row.key), ()):
            entry.deliveries = counts[row.kind, row.key]


def _region(margin_ms: int, *spans: Span) -> Interval | None:
    """Where media of these spans can lie, with a margin; None when all are empty.

    Media that no push is near fall to the latest one without a stop, however far behind it they lie.
    """
    held = [span for span in spans if span.from_ms <= span.until_ms]
    if not held:
        return None
    until_ms = max(OPEN_END_MS if span.open else span.until_ms for span in held)
    return _interval(min(span.from_ms for span in held), until_ms, margin_ms)


def _interval(from_ms: int, until_ms: int, margin_ms: int) -> Interval:
    return Interval(max(0, from_ms - margin_ms), min(OPEN_END_MS, until_ms + margin_ms))


def _common(interval: Interval, region: Interval | None) -> Interval | None:
    if region is None or interval.until_ms < region.from_ms or interval.from_ms > region.until_ms:
        return None
    return Interval(max(interval.from_ms, region.from_ms), min(interval.until_ms, region.until_ms))


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The same intervals without overlaps, in order."""
    merged: list[Interval] = []
    for interval in sorted(intervals, key=lambda each: each.from_ms):
        if merged and interval.from_ms <= merged[-1].until_ms + 1:
            merged[-1] = Interval(merged[-1].from_ms, max(merged[-1].until_ms, interval.until_ms))
        else:
            merged.append(interval)
    return merged


async def latest_of(past: PastSession, sums: Mapping[str, Counted]) -> list[TimelineRow]:
    """The latest of each kind among the session's media that stand as they did."""
    return await past_kept.kept_latest(past.tables, past.key, past.judged, sums[Kind.SCREENSHOT.value])


async def found_of(
    past: PastSession,
    sums: Mapping[str, Counted] | None = None,
    latest: Sequence[TimelineRow] | None = None,
) -> Found:
    """The session's row with the totals and the evidence of the moment; `sums` and `latest` if they were
    read before."""
    if sums is None:
        sums = await past_kept.kept_sums(past.tables, past.key, past.judged)
    if latest is None:
        latest = await latest_of(past, sums)
    recordings = _sum(past, sums[Kind.RECORDING.value], Kind.RECORDING)
    screenshots = _sum(past, sums[Kind.SCREENSHOT.value], Kind.SCREENSHOT)
    media = [*past.entries, *latest]
    pictures = [row for row in media if row.kind == Kind.SCREENSHOT]
    row = msgspec.structs.replace(
        past.row,
        recordings=recordings.count,
        files_ms=recordings.files_ms,
        recording_bytes=recordings.bytes,
        screenshots=screenshots.count,
    )
    kept = await past_kept.kept_signs(past.tables, past.key, past.judged)
    rows = [*kept, *past.entries]
    return Found(
        row,
        signs_of(rows, param_known=row.witness is not None, absences=past.tables.moment.absences),
        recorded_ms(row, [(each.at_ms, each.until_ms) for each in rows if each.kind == Kind.RECORDING]),
        max(pictures, key=entry_key).position if pictures else None,
    )


def _sum(past: PastSession, kept: Counted, kind: Kind) -> Counted:
    """What the read model's sums hold, less what they hold of rows with rivals, and what was judged anew."""
    moment = past.tables.moment
    counted = [
        (-1, row)
        for row in past.recounted
        if row.position <= moment.position
        and row.until_ms <= moment.as_of_ms
        and not any(row.until_ms >= each.from_ms and _begins_ms(row) <= each.until_ms for each in past.judged)
    ]
    counted += [(1, row) for row in past.entries]
    counted = [(sign, row) for sign, row in counted if row.kind == kind]
    return Counted(
        count=kept.count + sum(sign for sign, _ in counted),
        files_ms=kept.files_ms + sum(sign * (row.duration_ms or 0) for sign, row in counted),
        bytes=kept.bytes + sum(sign * (row.bytes or 0) for sign, row in counted),
    )


def _begins_ms(row: TimelineRow) -> int:
    return row.at_ms if row.began_ms is None else row.began_ms


async def page_of(
    past: PastSession,
    kind: Kind | None,
    after: EntryKey | None,
    limit: int,
    kinds: frozenset[Kind] = frozenset(Kind),
) -> tuple[list[TimelineRow], bool]:
    """A page of the session's timeline at the moment, of one kind or of some, and whether more follows."""
    kept = []
    if kind is None or kind in ATTRIBUTED_KINDS:
        kept = await past_kept.kept_page(past.tables, past.key, past.judged, kind, after, limit + 1)
        kept = await counted_then(past, kept)
    anew = [
        row
        for row in past.entries
        if (row.kind in kinds if kind is None else row.kind == kind)
        and (after is None or entry_key(row) > after)
    ]
    rows = sorted([*kept, *anew], key=entry_key)
    return rows[:limit], len(rows) > limit


async def counted_then(past: PastSession, rows: Sequence[TimelineRow]) -> list[TimelineRow]:
    """Rows of the read model with the deliveries that had come by the moment."""
    counts = await past.tables.deliveries_of(rows)
    return [msgspec.structs.replace(row, deliveries=counts[row.kind, row.key]) for row in rows]
