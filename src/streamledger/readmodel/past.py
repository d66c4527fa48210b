"""A session as it was at a moment: folded and judged anew, by the projection's own functions, where need be.

What is known now is the index. A session whose start and end stood at the moment as they stand now keeps the
media it has; only where spans were others, and where a medium was delivered with several contents, the events
are read from the ledger and judged again. So the cost follows the difference, not the length of the stream.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from streamledger.domain import session as fold
from streamledger.domain.attribution import SLACK_MS, Item
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS, SessionState, Span
from streamledger.domain.suspicion import recording_ended_ms
from streamledger.readmodel import batch, past_kept
from streamledger.readmodel.answering import Found
from streamledger.readmodel.batch import ATTRIBUTED_KINDS
from streamledger.readmodel.facts import Fact
from streamledger.readmodel.moment import Moment
from streamledger.readmodel.past_kept import Counted
from streamledger.readmodel.past_tables import PastTables, Stretch
from streamledger.readmodel.rows import SessionRow, TimelineRow
from streamledger.readmodel.workspace import SessionKey, Workspace

EntryKey = tuple[int, str, str]
"""(at_ms, kind, key): the order of a timeline"""


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
    judged: Sequence[Stretch]
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
    workspace = Workspace()
    facts = await tables.defining_facts([key])
    batch.take(workspace, facts)
    if key not in workspace.sessions:
        return None
    batch.settle(workspace, [key], [key], {})
    moment = tables.moment
    region = _region(moment.margin_ms, _span(workspace.sessions[key]), _span(now))
    conflicts = await tables.media_with_rivals(key[0])
    items = batch.take(workspace, await tables.facts_of(conflicts))
    reach = await _reach(tables, key[0], region, items.values())
    near = await _take_neighbours(tables, workspace, now, reach)
    spans = [_span(row) for row in workspace.sessions.values()]
    differences = [*_differences(workspace, near), *_edges(spans, moment)]
    judged = _merged(each for each in (_common(each, reach) for each in differences) if each is not None)
    media = await tables.media_in(key[0], judged, region, sorted(row.sequence for row in near))
    items |= batch.take(workspace, await tables.facts_of(media, copies=False))
    batch.attribute(workspace, items, {key[0]: spans}, moment.slack_ms)
    await _count_deliveries(tables, workspace, media)
    entries = [row for rows in workspace.timeline.values() for row in rows.values() if row.sequence == key[1]]
    return PastSession(
        tables=tables,
        row=workspace.sessions[key],
        facts=facts,
        spans=spans,
        entries=sorted(entries, key=entry_key),
        judged=judged,
        recounted=[row for row in conflicts if row.sequence == key[1]],
    )


def entry_key(row: TimelineRow) -> EntryKey:
    """The order of a timeline."""
    return row.at_ms, row.kind, row.key


async def _reach(
    tables: PastTables, stream_id: str, region: Stretch | None, items: Iterable[Item]
) -> Stretch | None:
    """From the first to the last moment of all that touches the region: what lies there decides over it."""
    if region is None:
        return None
    touching = [
        Stretch(max(0, item.at_ms), item.until_ms)
        for item in items
        if item.until_ms >= region.from_ms and item.at_ms <= region.until_ms
    ]
    recordings = await tables.reach_of_recordings(stream_id, region)
    touching += [region] if recordings is None else [region, recordings]
    from_ms = min(each.from_ms for each in touching)
    return _stretch(from_ms, max(each.until_ms for each in touching), tables.moment.margin_ms)


async def _take_neighbours(
    tables: PastTables, workspace: Workspace, now: SessionRow, reach: Stretch | None
) -> list[SessionRow]:
    """Take the stream's other sessions in as they were at the moment, and tell all which push follows them.

    Returns them and the session itself as they are known now.
    """
    near = [row for row in await tables.sessions_near(now.stream_id, reach) if row.sequence != now.sequence]
    unsettled = [row for row in near if not tables.moment.is_settled(row)]
    batch.take(workspace, await tables.defining_facts((row.stream_id, row.sequence) for row in unsettled))
    workspace.load(msgspec.structs.replace(row) for row in near if tables.moment.is_settled(row))
    keys = list(workspace.sessions)
    followers = await tables.followers(batch.seekers(workspace, keys))
    batch.settle(workspace, keys, keys, followers)
    return [now, *near]


def _differences(workspace: Workspace, near: Sequence[SessionRow]) -> list[Stretch]:
    """Where media have to be judged anew because spans were others at the moment than they are now."""
    compared = Workspace()
    compared.load(near)
    for row in near:
        key = (row.stream_id, row.sequence)
        unknown = SessionRow(stream_id=key[0], sequence=key[1], fold=SessionState(stream_id="", sequence=""))
        compared.sessions[key] = workspace.sessions.get(key, unknown)
    windows = batch.windows(compared, list(compared.sessions))
    return [Stretch(window.from_ms, window.until_ms) for window in windows]


def _edges(spans: Iterable[Span], moment: Moment) -> list[Stretch]:
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
    return [_stretch(end_ms, end_ms, moment.margin_ms) for end_ms in sorted(ends)]


async def _count_deliveries(tables: PastTables, workspace: Workspace, media: Sequence[TimelineRow]) -> None:
    counts = await tables.deliveries_of(media)
    for row in media:
        for entry in workspace.timeline.get((row.stream_id, row.kind, row.key), {}).values():
            entry.deliveries = counts[row.kind, row.key]


def _span(row: SessionRow) -> Span:
    return fold.span(row.fold, row.newer_ms)


def _region(margin_ms: int, *spans: Span) -> Stretch | None:
    """Where media of these spans can lie, with a margin; None when all are empty.

    Media that no push is near fall to the latest one without a stop, however far behind it they lie.
    """
    held = [span for span in spans if span.from_ms <= span.until_ms]
    if not held:
        return None
    until_ms = max(OPEN_END_MS if span.open else span.until_ms for span in held)
    return _stretch(min(span.from_ms for span in held), until_ms, margin_ms)


def _stretch(from_ms: int, until_ms: int, margin_ms: int) -> Stretch:
    return Stretch(max(0, from_ms - margin_ms), min(OPEN_END_MS, until_ms + margin_ms))


def _common(stretch: Stretch, region: Stretch | None) -> Stretch | None:
    if region is None or stretch.until_ms < region.from_ms or stretch.from_ms > region.until_ms:
        return None
    return Stretch(max(stretch.from_ms, region.from_ms), min(stretch.until_ms, region.until_ms))


def _merged(stretches: Iterable[Stretch]) -> list[Stretch]:
    """The same stretches without overlaps, in order."""
    merged: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each.from_ms):
        if merged and stretch.from_ms <= merged[-1].until_ms + 1:
            merged[-1] = Stretch(merged[-1].from_ms, max(merged[-1].until_ms, stretch.until_ms))
        else:
            merged.append(stretch)
    return merged


async def latest_of(past: PastSession, sums: Mapping[str, Counted]) -> list[TimelineRow]:
    """The latest of each kind among the session's media that stand as they did."""
    return await past_kept.kept_latest(
        past.tables, past.key, past.judged, sums[Kind.SCREENSHOT.value], with_rivals=len(past.recounted)
    )


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
    files = [row for row in media if row.kind == Kind.RECORDING]
    statuses = [row for row in media if row.kind == Kind.RECORDING_STATUS]
    file = max(files, key=entry_key, default=None)
    times = [row.at_ms for row in media]
    times += [] if file is None else [file.until_ms]
    row = msgspec.structs.replace(
        past.row,
        recordings=recordings.count,
        recording_s=recordings.duration_s,
        recording_bytes=recordings.bytes,
        screenshots=screenshots.count,
    )
    return Found(
        row,
        max(times, default=None),
        None if row.ended else _recording_ended_ms(max(statuses, key=entry_key, default=None), file),
        max(pictures, key=entry_key).position if pictures else None,
    )


def _recording_ended_ms(status: TimelineRow | None, file: TimelineRow | None) -> int | None:
    """The same as `evidence.EVIDENCE` reads from the tables."""
    return recording_ended_ms(
        None if status is None else (status.at_ms, status.note),
        None if file is None else (file.at_ms, file.until_ms),
    )


def _sum(past: PastSession, kept: Counted, kind: Kind) -> Counted:
    """What the read model's sums hold, less what they hold of rows with rivals, and what was judged anew."""
    moment = past.tables.moment
    counted = [
        (-1, row)
        for row in past.recounted
        if row.position <= moment.position
        and row.until_ms <= moment.as_of_ms
        and not any(row.until_ms >= each.from_ms and row.at_ms <= each.until_ms for each in past.judged)
    ]
    counted += [(1, row) for row in past.entries]
    counted = [(sign, row) for sign, row in counted if row.kind == kind]
    return Counted(
        count=kept.count + sum(sign for sign, _ in counted),
        duration_s=kept.duration_s + sum(sign * (row.duration_s or 0) for sign, row in counted),
        bytes=kept.bytes + sum(sign * (row.bytes or 0) for sign, row in counted),
    )


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
        kept = await past_kept.kept_page(
            past.tables, past.key, past.judged, kind, after, limit + 1, len(past.recounted)
        )
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
