"""The fold: from events, in order, to what changes in the rows of the read model; one engine for all views.

Live projection, rebuild, repair, verification and time travel differ in what the view knows and where changes
go, in nothing else (ADR 0014). The result depends on the events up to here, not on where batches were cut.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from streamledger.domain import session as folding
from streamledger.domain.attributed import SLACK_MS, Item
from streamledger.domain.attribution import decide
from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS, SessionState, Span
from streamledger.readmodel.fold import judging, pushes
from streamledger.readmodel.fold.counting import FIRST, count_kind, see, stream_of
from streamledger.readmodel.fold.entries import (
    as_stored,
    enter_again,
    entry_of_plain,
    first_entry,
    follow,
    latest_ms_of,
    no_time_of,
)
from streamledger.readmodel.fold.facts import Event, Fact, PlainMedia, Sorting
from streamledger.readmodel.fold.judging import MS_A_DAY
from streamledger.readmodel.fold.pushes import MARGIN_MS, Interval, Pushes
from streamledger.readmodel.fold.rows import (
    FactKey,
    NotificationRow,
    RepeatRow,
    SessionRow,
    StreamRow,
    TimelineRow,
)
from streamledger.readmodel.fold.sweep import item_of, item_of_plain, lay, lay_plain, place
from streamledger.readmodel.fold.view import Changes, Laid, Needed, View
from streamledger.tencent.differences import differing_fields


def fold(view: View, events: Iterable[Event], slack_ms: int = SLACK_MS, *, plainly: bool = True) -> Changes:
    """What these events change; the view is not written to.

    `plainly`: plain media are held for new, and the view tells which were not when it writes them. Those are
    to be folded once more, not plainly.
    """
    history = Sorting(events).sorted(view.facts)
    if not plainly:
        history = history.without_plain()
    work = _Fold(view, slack_ms)
    work.take(list(history.facts))
    work.bring(history.plain)
    work.settle()
    work.judge_again()
    work.attribute(history.plain)
    return work.finish()


class _Placeable(msgspec.Struct, gc=False):
    # A notification that finds its session by time.
    key: FactKey
    item: Item

    @property
    def began_ms(self) -> int:
        return self.item.began_ms

    @property
    def until_ms(self) -> int:
        return self.item.until_ms


class _Fold:
    def __init__(self, view: View, slack_ms: int) -> None:
        self._view = view
        self._slack_ms = slack_ms
        self._changes = Changes()
        self._entries: dict[FactKey, list[TimelineRow]] = {}
        self._stored: dict[FactKey, list[TimelineRow]] = {}
        """Rows as they stand in the view."""
        self._items: dict[FactKey, Item] = {}
        """Media that are to be attributed."""
        self._touched: dict[str, dict[str, tuple[SessionRow | None, SessionRow]]] = {}
        """By stream and sequence, sessions whose fold may have changed: as they were, and as they are."""
        self._pushes: dict[str, Pushes] = {}
        self._spans: dict[str, dict[str, Span]] = {}
        """Of streams whose sessions decide anew of each other: the spans of before."""

    # --- what was delivered

    def take(self, facts: Sequence[Fact]) -> None:
        """Enter facts, in order, into timelines and sessions, and judge repeated deliveries."""
        keys = [judging.key_of(fact.notification) for fact in facts]
        known = self._look_up(set(keys))
        self._bring_touched(facts)
        firsts: dict[FactKey, Fact] = {}
        conflicts: list[tuple[int, Fact, NotificationRow]] = []
        bodies: dict[int, bytes] = {}
        for key, fact in zip(keys, facts, strict=True):
            rows = self._entries.get(key)
            if rows is None:
                firsts[key] = fact
                self._enter_first(key, fact)
                continue
            before = known.get(key)
            if before is None:
                first = firsts[key]
                before = judging.begun(first)
                bodies[first.position] = first.delivery.body
            self._enter_again(key, rows, fact, before)
            judged, known[key] = judging.judge_again(before, fact, self._view.senders())
            self._changes.notifications[key] = known[key]
            self._note(judging.row_of(fact, judged, before.first_position))
            if "other_content" in judged.evidence.because:
                conflicts.append((len(self._changes.repeats) - 1, fact, before))
        if conflicts:
            self._tell_differences(conflicts, bodies)

    def _look_up(self, keys: set[FactKey]) -> dict[FactKey, NotificationRow]:
        """Load what is there of these notifications; returns what is known of each."""
        for row in self._view.entries(keys):
            self._load(row)
        came_again = [key for key, rows in self._entries.items() if rows[0].deliveries > 1]
        known = dict(self._view.known(came_again)) if came_again else {}
        once = {rows[0].position: key for key, rows in self._entries.items() if key not in known}
        for first in self._view.facts(sorted(once)) if once else ():
            key = once[first.position]
            known[key] = judging.begun(first)
            for row in self._entries[key]:
                row.content = first.notification.content
        return known

    def _load(self, row: TimelineRow) -> None:
        key = (row.stream_id, row.kind, row.key)
        self._entries.setdefault(key, []).append(row)
        self._stored.setdefault(key, []).append(msgspec.structs.replace(row))

    def _enter_first(self, key: FactKey, fact: Fact) -> None:
        row = first_entry(fact)
        self._entries[key] = [row]
        judged = judging.judged_first(fact)
        noted = judging.noted_first(fact, judged)
        if noted is not None:
            self._note(noted)
        else:
            self._count_day(fact.delivery.received_at_us // 1000, FIRST)
        if not key[0]:
            return
        notification = fact.notification
        stream = self._stream(fact)
        count_kind(stream, notification.kind)
        stream.latest_ms = max(stream.latest_ms, latest_ms_of(fact))
        if notification.kind in ATTRIBUTED_KINDS:
            stream.unattributed += 1
            self._items[key] = item_of(notification)
        elif notification.sequence is not None:
            self._fold(fact, judging.is_signed_early(judged), is_new=True)

    def _enter_again(self, key: FactKey, rows: list[TimelineRow], fact: Fact, known: NotificationRow) -> None:
        if rows[0].content is None:
            for row in rows:
                row.content = known.content
        was = [msgspec.structs.replace(row) for row in rows]
        is_new, counts = enter_again(rows, fact, self._view.facts)
        if not key[0]:
            return
        notification = fact.notification
        stream = self._stream(fact)
        if is_new:
            stream.latest_ms = max(stream.latest_ms, latest_ms_of(fact))
        if notification.kind in ATTRIBUTED_KINDS:
            if counts is not None:
                self._items[key] = item_of(counts)
                for before, after in zip(was, rows, strict=True):
                    self._changes.add_total(before, -1)
                    self._changes.add_total(after, +1)
        elif notification.sequence is not None:
            self._fold(fact, judging.was_signed_early(fact), is_new=is_new)

    def _tell_differences(
        self, conflicts: Sequence[tuple[int, Fact, NotificationRow]], bodies: dict[int, bytes]
    ) -> None:
        """Put the names of the fields that differ from the first delivery's into the rows of conflicts."""
        elsewhere = sorted({known.first_position for _, _, known in conflicts} - bodies.keys())
        if elsewhere:
            bodies |= {first.position: first.delivery.body for first in self._view.facts(elsewhere)}
        repeats = self._changes.repeats
        for number, fact, known in conflicts:
            names = differing_fields(bodies[known.first_position], fact.delivery.body)
            repeats[number] = judging.with_differences(repeats[number], names)

    def _note(self, row: RepeatRow) -> None:
        self._changes.repeats.append(row)
        self._count_day(row.received_ms, row.judged_as)

    def _count_day(self, received_ms: int, judged_as: str) -> None:
        self._changes.days[received_ms // MS_A_DAY, judged_as] += 1

    def _stream(self, fact: Fact) -> StreamRow:
        stream_id = fact.notification.stream_id
        assert stream_id is not None  # noqa: S101  # the callers asked
        stream = stream_of(self._changes, stream_id)
        see(stream, fact.delivery.received_at_us, fact.position)
        return stream

    # --- sessions

    def _bring_touched(self, facts: Sequence[Fact]) -> None:
        needed: dict[str, Needed] = {}
        for fact in facts:
            notification = fact.notification
            if notification.stream_id is None or notification.kind in ATTRIBUTED_KINDS:
                continue
            if notification.sequence is not None:
                stream = needed.setdefault(notification.stream_id, Needed(OPEN_END_MS, set(), set()))
                stream.sequences.add(notification.sequence)
        if needed:
            self._pushes.update(self._view.pushes(needed))

    def _fold(self, fact: Fact, signed_early: bool, *, is_new: bool) -> None:
        """Fold a delivery into the session that it names."""
        notification = fact.notification
        stream_id, sequence = notification.stream_id or "", notification.sequence or ""
        known = self._pushes[stream_id]
        row = known.rows.get(sequence)
        touched = self._touched.setdefault(stream_id, {})
        if sequence not in touched:
            before = None if row is None else msgspec.structs.replace(row)
            if row is None:
                fold = SessionState(stream_id=stream_id, sequence=sequence)
                row = SessionRow(stream_id=stream_id, sequence=sequence, fold=fold)
                self._changes.created.add((stream_id, sequence))
                known.put(row)
            touched[sequence] = (before, row)
        assert row is not None  # noqa: S101  # it was touched
        row.deliveries += 1
        row.position = max(row.position, fact.position)
        if notification.kind in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED):
            # Each delivery: a copy tells when it came, and when it was signed.
            row.fold = folding.take(
                row.fold,
                notification,
                fact.position,
                received_ms=fact.delivery.received_at_us // 1000,
                signed_early=signed_early,
            )
            claims = row.fold.starts if notification.kind is Kind.PUSH_STARTED else row.fold.stops
            (entry,) = self._entries[judging.key_of(notification)]
            follow(entry, claims[0])
        elif is_new:
            row.fold = folding.take(row.fold, notification, fact.position)

    def bring(self, plain: Mapping[str, Sequence[PlainMedia]]) -> None:
        """Have the sessions at hand that media, and what changed among sessions, have to do with."""
        needed: dict[str, Needed] = {}
        for stream_id, media in plain.items():
            from_ms = min([each.began_ms for each in media]) - MARGIN_MS
            needed[stream_id] = Needed(from_ms, set(), set(), media)
        for key, item in self._items.items():
            _need_for(needed, key, item)
        for touched in self._touched.values():
            for before, row in touched.values():
                pushes.told_by_itself(before, row)
        self._widen(needed)
        self._pushes.update(self._view.pushes(needed))
        # What came to hand by that may have to be settled too, by what lies further back.
        self._pushes.update(self._view.pushes(self._widen(needed)))

    def _widen(self, needed: dict[str, Needed]) -> dict[str, Needed]:
        """Let needs reach as far as is asked by what changed among the sessions at hand; those that grew."""
        grown = {}
        for stream_id, touched in self._touched.items():
            change = pushes.changed_by(touched)
            if change is not None:
                need = needed.setdefault(stream_id, Needed(OPEN_END_MS, set(), set()))
                need.witnesses.update(change.witnesses or ())
                known = self._pushes[stream_id].rows.values()
                from_ms = pushes.needed_from_ms(known, change) - MARGIN_MS
                if from_ms < need.from_ms:
                    need.from_ms = from_ms
                    grown[stream_id] = need
        return grown

    def settle(self) -> None:
        """Let the sessions of each stream decide of each other where any of them changed."""
        for stream_id, touched in self._touched.items():
            known = self._pushes[stream_id]
            for sequence, (before, row) in touched.items():
                known.put(row)
                self._changes.sessions[stream_id, sequence] = row
                if before is None or before.fold is not row.fold:
                    self._changes.folded.add((stream_id, sequence))
                stream = self._changes.streams[stream_id]
                stream.sessions += before is None
                stream.open_sessions += (not row.ended) - (before is not None and not before.ended)
            change = pushes.changed_by(touched)
            if change is None:
                continue
            others = {
                sequence: (msgspec.structs.replace(row), row)
                for sequence, row in known.rows.items()
                if sequence not in touched
            }
            before_spans = {sequence: before.span() for sequence, (before, _) in others.items()}
            before_spans |= {
                sequence: before.span() for sequence, (before, _) in touched.items() if before is not None
            }
            pushes.settle(known, change)
            self._spans[stream_id] = before_spans
            for sequence, (was, row) in others.items():
                if was != row:
                    self._changes.sessions[stream_id, sequence] = row

    def judge_again(self) -> None:
        """Load the media that lie where spans changed: they are to be attributed anew."""
        asked: dict[Interval, set[str]] = {}
        for stream_id, before in self._spans.items():
            after = self._pushes[stream_id].spans()
            for interval in pushes.intervals(stream_id, before, after):
                asked[interval] = pushes.holders(interval, before, after)
        if not asked:
            return
        keys = self._view.media_in(asked) - self._items.keys()
        missing = keys - self._entries.keys()
        for row in self._view.entries(missing) if missing else ():
            self._load(row)
        by_position = {self._entries[key][0].position: key for key in keys}
        needed: dict[str, Needed] = {}
        for fact in self._view.facts(sorted(by_position)) if by_position else ():
            key = by_position[fact.position]
            item = self._items[key] = item_of(fact.notification)
            _need_for(needed, key, item)
        if needed:
            self._pushes.update(self._view.pushes(needed))

    # --- media

    def attribute(self, plain: Mapping[str, Sequence[PlainMedia]]) -> None:
        """Find the session of each medium."""
        by_stream: dict[str, list[_Placeable]] = {}
        for key, item in self._items.items():
            by_stream.setdefault(key[0], []).append(_Placeable(key, item))
        for stream_id, items in by_stream.items():
            margin_ms = 2 * max(self._slack_ms, SLACK_MS)
            for each, beside in lay(items, self._pushes[stream_id].placed(), margin_ms):
                spans = beside.candidates(each.item, self._slack_ms)
                rows = self._entries[each.key]
                decided = decide(each.item, spans, self._slack_ms)
                self._entries[each.key] = self._moved(rows, place(rows[0], decided, no_time_of(rows[0])))
        for stream_id, media in plain.items():
            self._attribute_plain(stream_id, media)

    def _attribute_plain(self, stream_id: str, media: Sequence[PlainMedia]) -> None:
        for found, sequence, beside in lay_plain(media, self._pushes[stream_id].placed()):
            if sequence is not None and self._slack_ms == SLACK_MS:
                self._changes.media.append(Laid(found, sequence, None, judging.noted_plain(found)))
                continue
            for each in found:
                item = item_of_plain(each)
                decided = decide(item, beside.candidates(item, self._slack_ms), self._slack_ms)
                rows = place(entry_of_plain(each), decided, None)
                self._changes.media.append(Laid([each], "", rows, judging.noted_plain([each])))

    def _moved(self, before: list[TimelineRow], after: list[TimelineRow]) -> list[TimelineRow]:
        stream = stream_of(self._changes, before[0].stream_id)
        for row in before:
            self._changes.add_total(row, -1)
            stream.unattributed -= not row.sequence
        for row in after:
            self._changes.add_total(row, +1)
            stream.unattributed += not row.sequence
        return after

    def finish(self) -> Changes:
        """What has changed."""
        changes = self._changes
        for key, rows in self._entries.items():
            stored = self._stored.get(key)
            if stored is None:
                changes.entries[key] = rows
            elif stored != as_stored(rows):
                changes.entries[key] = rows
                changes.replaced.add(key)
        return changes


def _need_for(needed: dict[str, Needed], key: FactKey, item: Item) -> None:
    need = needed.setdefault(key[0], Needed(OPEN_END_MS, set(), set()))
    if item.at_ms >= 0:
        need.from_ms = min(need.from_ms, item.began_ms - MARGIN_MS)
    if item.stream_param is not None:
        need.witnesses.add(item.stream_param)
