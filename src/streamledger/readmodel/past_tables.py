"""What time travel reads: the read model's rows as an index into the ledger, and the ledger's events.

Every statement here runs in one transaction with one snapshot, so rows and events agree.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from streamledger.domain.attribution import LAST_OPEN_MAX
from streamledger.domain.events import originator_of
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS
from streamledger.ledger import reader
from streamledger.readmodel.batch import ATTRIBUTED_KINDS, Follower
from streamledger.readmodel.facts import Fact
from streamledger.readmodel.fetching import fetch
from streamledger.readmodel.moment import NO_TIME_MS, Moment
from streamledger.readmodel.projection import read_facts
from streamledger.readmodel.rows import COPIES_MAX, RIVALS_MAX, SessionRow, TimelineRow
from streamledger.readmodel.tables import columns_of, session_row, timeline_row
from streamledger.readmodel.workspace import SessionKey

_ATTRIBUTED: Final = ", ".join(f"'{kind.value}'" for kind in sorted(ATTRIBUTED_KINDS))
_MOMENTS: Final = ", ".join(f"'{kind.value}'" for kind in sorted(ATTRIBUTED_KINDS - {Kind.RECORDING}))
_PAGE_SIZE: Final = 2000
_WINDOWS_INLINE_MAX: Final = 8


class Stretch(msgspec.Struct, frozen=True):
    """A stretch of one stream's time axis, both ends included."""

    from_ms: int
    until_ms: int


class Counted(msgspec.Struct, frozen=True):
    """Media of one kind, in sum."""

    count: int = 0
    duration_s: int = 0
    bytes: int = 0


class PastTables:
    """Reads for one moment, over one connection."""

    def __init__(self, connection: AsyncConnection, moment: Moment) -> None:
        self._connection = connection
        self.moment = moment

    async def sessions_named(self, sequence: str) -> list[SessionRow]:
        """The sessions with this sequence, one a stream, as they are known now."""
        sql = (
            f"SELECT {columns_of('sessions')} FROM sessions WHERE sequence = %(sequence)s"  # noqa: S608  # constant names
            " ORDER BY stream_id LIMIT 10"
        )
        return [session_row(values) for values in await self.fetch(sql, {"sequence": sequence})]

    async def sessions_near(self, stream_id: str, near: Stretch | None) -> list[SessionRow]:
        """The stream's sessions, as they are known now, that bear on media in a stretch, now or then.

        Those whose spans come near, the latest open ones before it, and those that were others then.
        """
        facts = self._facts(stream_id)
        conditions = [
            f"{unsettled} AND EXISTS (SELECT FROM timeline AS t WHERE t.stream_id = s.stream_id"
            f" AND t.sequence = s.sequence AND t.kind NOT IN ({_ATTRIBUTED})"
            " AND ((t.position <= %(position)s AND t.until_ms <= %(as_of_ms)s) OR t.rivals IS NOT NULL))"
            for unsettled in self._unsettled()
        ]
        if conditions:  # open ones whose follower was another, or none
            conditions.append(
                f"NOT s.ended AND s.newer_ms < {OPEN_END_MS} AND (s.newer_ms > %(as_of_ms)s OR EXISTS"
                " (SELECT FROM sessions AS n WHERE n.stream_id = s.stream_id AND n.sort_ms = s.newer_ms"
                "  AND n.position > %(position)s))"
            )
        if near is not None:
            facts |= {
                "from_ms": max(0, near.from_ms - self.moment.margin_ms),
                "until_ms": min(near.until_ms + self.moment.margin_ms, OPEN_END_MS),
            }
            conditions.append("s.span_until_ms >= %(from_ms)s AND s.span_from_ms <= %(until_ms)s")
            latest = f"ORDER BY s.sort_ms DESC, s.sequence DESC LIMIT {LAST_OPEN_MAX}"
            before = "NOT s.ended AND s.sort_ms < %(from_ms)s"
            conditions += [f"{before} {latest}", f"{before} AND {self._settled()} {latest}"]
        found: dict[str, SessionRow] = {}
        for condition in conditions:
            sql = (
                f"SELECT {columns_of('sessions', 's')} FROM sessions AS s"  # noqa: S608  # constant names
                f" WHERE s.stream_id = %(stream_id)s AND {condition}"
            )
            rows = [session_row(values) for values in await self.fetch(sql, facts)]
            found |= {row.sequence: row for row in rows}
        return list(found.values())

    async def followers(self, seekers: Sequence[Follower]) -> dict[SessionKey, int]:
        """When the next push at the same place began, among the sessions that stand as they did then."""
        followers: dict[SessionKey, int] = {}
        for each in seekers:
            facts = self._facts(each.stream_id) | {
                "sequence": each.sequence,
                "from_ms": each.from_ms,
                "app": each.app,
                "appname": each.appname,
            }
            sql = (
                "SELECT s.sort_ms FROM sessions AS s WHERE s.stream_id = %(stream_id)s"  # noqa: S608  # constant names
                " AND s.sort_ms > %(from_ms)s AND s.start_known AND s.sequence <> %(sequence)s"
                " AND coalesce(s.app = %(app)s, true) AND coalesce(s.appname = %(appname)s, true)"
                f" AND {self._settled()} ORDER BY s.sort_ms LIMIT 1"
            )
            for (began_ms,) in await self.fetch(sql, facts):
                followers[each.stream_id, each.sequence] = began_ms
        return followers

    def _settled(self) -> str:
        return " AND ".join(f"NOT ({unsettled})" for unsettled in self._unsettled()) or "true"

    def _unsettled(self) -> list[str]:
        """Conditions under which a session may have been another at the moment than it is now."""
        conditions = [] if self.moment.is_all_known else ["s.position > %(position)s"]
        if self.moment.as_of_ms != NO_TIME_MS:
            conditions += ["s.span_until_ms > %(as_of_ms)s", "s.span_from_ms > %(as_of_ms)s"]
        return conditions

    async def defining_facts(self, keys: Iterable[SessionKey]) -> list[Fact]:
        """What was known and had happened of these sessions themselves, each delivery of it, in order."""
        keys = list(keys)
        sql = (
            f"SELECT {columns_of('timeline', 't')} FROM unnest(%(streams)s::text[], %(sequences)s::text[])"  # noqa: S608  # constant names
            " AS named(stream_id, sequence) JOIN timeline AS t USING (stream_id, sequence)"
            f" WHERE t.kind NOT IN ({_ATTRIBUTED})"
        )
        facts = {"streams": [key[0] for key in keys], "sequences": [key[1] for key in keys]}
        rows = [timeline_row(values) for values in await self.fetch(sql, facts)] if keys else []
        return await self.facts_of(rows)

    async def facts_of(self, rows: Sequence[TimelineRow], *, copies: bool = True) -> list[Fact]:
        """The deliveries of these rows' notifications that the moment holds, in order; copies when wanted."""
        whole = [row for row in rows if not _is_cut(row, copies)]
        positions = {row.position for row in whole}
        positions |= {position for row in whole for _, position in row.rivals or ()}
        if copies:
            positions |= {position for row in whole for position in row.copies or ()}
        known = sorted(position for position in positions if position <= self.moment.position)
        facts = []
        for begin in range(0, len(known), _PAGE_SIZE):
            facts += read_facts(
                reader.events_of(
                    await self.fetch(
                        f"SELECT {reader.COLUMNS} FROM ledger_events"  # noqa: S608  # constant columns
                        " WHERE notification_id = ANY(%(positions)s)",
                        {"positions": known[begin : begin + _PAGE_SIZE]},
                    )
                )
            )
        facts += await self._searched([row for row in rows if _is_cut(row, copies)])
        held = [fact for fact in facts if self.moment.holds(fact)]
        return sorted(held, key=lambda fact: fact.position)

    async def deliveries_of(self, rows: Iterable[TimelineRow]) -> dict[tuple[str, str], int]:
        """By kind and key, how many deliveries had come by the moment of rows that the moment holds."""
        counts = {}
        cut = []
        for row in rows:
            if _is_cut(row, copies=True):
                cut.append(row)
            counts[row.kind, row.key] = 1 + sum(
                position <= self.moment.position for position in row.copies or ()
            )
        for key in {(row.kind, row.key) for row in cut}:
            counts[key] = 0
        for fact in await self._searched(cut):
            counts[fact.notification.kind.value, fact.notification.key] += 1
        return counts

    async def _searched(self, rows: Sequence[TimelineRow]) -> list[Fact]:
        """Every delivery of notifications of which the rows remember not all: reads the stream through."""
        found = []
        for stream_id in {row.stream_id for row in rows}:
            wanted = {(row.kind, row.key) for row in rows if row.stream_id == stream_id}
            version = 0
            while True:
                page = reader.events_of(
                    await self.fetch(
                        f"SELECT {reader.COLUMNS} FROM ledger_events WHERE originator_id = %(originator)s"  # noqa: S608  # constant columns
                        " AND originator_version > %(version)s AND notification_id <= %(position)s"
                        " ORDER BY originator_version LIMIT %(limit)s",
                        {
                            "originator": originator_of(stream_id, 0),
                            "version": version,
                            "position": self.moment.position,
                            "limit": _PAGE_SIZE,
                        },
                    )
                )
                found += [
                    fact
                    for fact in read_facts(page)
                    if (fact.notification.kind.value, fact.notification.key) in wanted
                ]
                if len(page) < _PAGE_SIZE:
                    break
                version = page[-1].originator_version
        return found

    async def reach_of_recordings(self, stream_id: str, region: Stretch) -> Stretch | None:
        """From the first to the last moment of the recordings that touch a region."""
        sql = (
            "SELECT min(t.at_ms), max(t.until_ms) FROM timeline AS t"
            " WHERE t.stream_id = %(stream_id)s AND t.kind = 'recording'"
            " AND t.until_ms >= %(from_ms)s AND t.at_ms <= %(until_ms)s"
        )
        facts = self._facts(stream_id) | {"from_ms": region.from_ms, "until_ms": region.until_ms}
        from_ms, until_ms = (await self.fetch(sql, facts))[0]
        return None if from_ms is None else Stretch(from_ms, until_ms)

    async def media_in(
        self,
        stream_id: str,
        stretches: Sequence[Stretch],
        region: Stretch | None,
        sequences: Sequence[str],
    ) -> list[TimelineRow]:
        """Media that the moment holds, that touch one of these stretches and the region: those of the named
        sessions and of none, and recordings; of each notification one row. Without those that have rivals."""
        if region is None or not stretches:
            return []
        facts = self._facts(stream_id) | {
            "sequences": ["", *sequences],
            "from_ms": [each.from_ms for each in stretches],
            "until_ms": [each.until_ms for each in stretches],
            "region_from_ms": region.from_ms,
            "region_until_ms": region.until_ms,
        }
        held = (
            "t.until_ms >= %(region_from_ms)s AND t.at_ms <= %(region_until_ms)s"
            " AND t.rivals IS NULL AND t.position <= %(position)s AND t.until_ms <= %(as_of_ms)s"
        )
        stretch = "unnest(%(from_ms)s::int8[], %(until_ms)s::int8[]) AS w(from_ms, until_ms)"
        columns = columns_of("timeline", "t")
        moments = (
            f"SELECT {columns} FROM {stretch} CROSS JOIN unnest(%(sequences)s::text[]) AS named(sequence)"  # noqa: S608  # constant names
            " JOIN timeline AS t ON t.stream_id = %(stream_id)s AND t.sequence = named.sequence"
            " AND t.at_ms BETWEEN w.from_ms AND w.until_ms AND t.at_ms >= %(region_from_ms)s"
            f" WHERE t.kind IN ({_MOMENTS}) AND {held}"
        )
        recordings = (
            f"SELECT {columns} FROM {stretch} JOIN timeline AS t ON t.stream_id = %(stream_id)s"  # noqa: S608  # constant names
            " AND t.until_ms >= w.from_ms AND t.at_ms <= w.until_ms"
            f" WHERE t.kind = 'recording' AND {held}"
        )
        rows: dict[tuple[str, str], TimelineRow] = {}
        for sql in (moments, recordings):
            found = [timeline_row(values) for values in await self.fetch(sql, facts)]
            rows |= {(row.kind, row.key): row for row in found}
        return list(rows.values())

    async def media_with_rivals(self, stream_id: str) -> list[TimelineRow]:
        """The rows of the stream's media that were delivered with several contents."""
        sql = (
            f"SELECT {columns_of('timeline')} FROM timeline WHERE stream_id = %(stream_id)s"  # noqa: S608  # constant names
            f" AND rivals IS NOT NULL AND kind IN ({_ATTRIBUTED})"
        )
        return [timeline_row(values) for values in await self.fetch(sql, self._facts(stream_id))]

    async def kept_sums(self, key: SessionKey, judged: Sequence[Stretch]) -> dict[str, Counted]:
        """By kind, the session's recordings and screenshots that the moment holds, outside of the stretches.

        Those with rivals are counted too, as they are known now: the caller has them apart.
        """
        facts = self._of_session(key, judged)
        screenshots = await self.fetch(
            "SELECT count(*) FROM timeline AS t WHERE t.stream_id = %(stream_id)s"  # noqa: S608  # constant conditions
            " AND t.sequence = %(sequence)s AND t.kind = 'screenshot'"
            f" AND t.position <= %(position)s{self._until('at_ms')}{_outside(judged, moments=True)}",
            facts,
        )
        recordings = await self.fetch(
            "SELECT count(*), coalesce(sum(t.duration_s), 0)::int8, coalesce(sum(t.bytes), 0)::int8"  # noqa: S608  # constant conditions
            " FROM timeline AS t WHERE t.stream_id = %(stream_id)s"
            " AND t.sequence = %(sequence)s AND t.kind = 'recording'"
            f" AND t.position <= %(position)s{self._until('until_ms')}{_outside(judged, moments=False)}",
            facts,
        )
        return {
            Kind.SCREENSHOT.value: Counted(count=screenshots[0][0]),
            Kind.RECORDING.value: Counted(*recordings[0]),
        }

    async def kept_latest(self, key: SessionKey, judged: Sequence[Stretch], kind: Kind) -> list[TimelineRow]:
        """The session's latest of a rare kind of media, among those that stand as they did; none or one."""
        sql = (
            f"SELECT {columns_of('timeline', 't')} FROM timeline AS t"  # noqa: S608  # constant names
            " WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s"
            f" AND t.kind = '{kind.value}' AND t.rivals IS NULL AND t.position <= %(position)s"
            f"{self._until('until_ms')}{_outside(judged, moments=False)}"
            # The sum keeps the planner from walking back through all screenshots in search of another kind.
            f" ORDER BY t.at_ms{' + 0' if kind is Kind.RECORDING_EXCEPTION else ''} DESC, t.key DESC LIMIT 1"
        )
        return [timeline_row(values) for values in await self.fetch(sql, self._of_session(key, judged))]

    async def kept_picture(
        self, key: SessionKey, judged: Sequence[Stretch], with_rivals: int
    ) -> TimelineRow | None:
        """The session's latest screenshot among those that stand as they did, of which `with_rivals` do not.

        The inner query reads the index alone: behind it may lie all that came after the moment.
        """
        sql = (
            f"SELECT {columns_of('timeline', 'r')} FROM ("  # noqa: S608  # constant names
            "SELECT t.stream_id, t.kind, t.key, t.sequence, t.at_ms FROM timeline AS t"
            " WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s AND t.kind = 'screenshot'"
            f" AND t.position <= %(position)s{self._until('at_ms')}{_outside(judged, moments=True)}"
            " ORDER BY t.at_ms DESC, t.kind DESC, t.key DESC LIMIT %(limit)s"
            ") AS named JOIN timeline AS r USING (stream_id, kind, key, sequence, at_ms)"
            " WHERE r.rivals IS NULL ORDER BY r.at_ms DESC, r.key DESC LIMIT 1"
        )
        rows = await self.fetch(sql, self._of_session(key, judged) | {"limit": 1 + with_rivals})
        return timeline_row(rows[0]) if rows else None

    async def kept_page(
        self,
        key: SessionKey,
        judged: Sequence[Stretch],
        kind: Kind | None,
        after: tuple[int, str, str] | None,
        limit: int,
    ) -> list[TimelineRow]:
        """The session's media in order, after a key, among those that stand as they did."""
        facts = self._of_session(key, judged) | {"limit": limit}
        condition = f"t.kind IN ({_ATTRIBUTED})"
        if kind is not None:
            condition = f"t.kind = '{kind.value}'"  # a constant, so that the partial index fits
        if after is not None:
            facts |= {"after_ms": after[0], "after_kind": after[1], "after_key": after[2]}
            condition += (
                " AND (t.at_ms, t.kind, t.key)"
                " > (%(after_ms)s::int8, %(after_kind)s::text, %(after_key)s::text)"
            )
        sql = (
            f"SELECT {columns_of('timeline', 't')} FROM timeline AS t"  # noqa: S608  # constant names
            f" WHERE t.stream_id = %(stream_id)s AND t.sequence = %(sequence)s AND {condition}"
            " AND t.rivals IS NULL AND t.position <= %(position)s"
            f"{self._until('at_ms')}{self._until('until_ms')}{_outside(judged, moments=False)}"
            " ORDER BY t.at_ms, t.kind, t.key LIMIT %(limit)s"
        )
        return [timeline_row(values) for values in await self.fetch(sql, facts)]

    def _facts(self, stream_id: str) -> dict[str, Any]:
        return {
            "stream_id": stream_id,
            "position": self.moment.position,
            "as_of_ms": self.moment.as_of_ms,
        }

    def _of_session(self, key: SessionKey, judged: Sequence[Stretch]) -> dict[str, Any]:
        facts = self._facts(key[0]) | {"sequence": key[1]}
        if len(judged) <= _WINDOWS_INLINE_MAX:
            for number, stretch in enumerate(judged):
                facts |= {f"from_{number}": stretch.from_ms, f"until_{number}": stretch.until_ms}
            return facts
        return facts | {
            "judged_from": [each.from_ms for each in judged],
            "judged_until": [each.until_ms for each in judged],
        }

    def _until(self, column: str) -> str:
        return "" if self.moment.as_of_ms == NO_TIME_MS else f" AND t.{column} <= %(as_of_ms)s"

    async def fetch(self, sql: str, facts: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement. Raises ParameterInvalid for what PostgreSQL cannot hold."""
        return await fetch(self._connection, sql, facts)


def _outside(judged: Sequence[Stretch], *, moments: bool) -> str:
    """The condition that a row touches none of the stretches; moments lie where they begin."""
    until = "at_ms" if moments else "until_ms"
    if len(judged) > _WINDOWS_INLINE_MAX:
        return (
            " AND NOT EXISTS (SELECT FROM unnest(%(judged_from)s::int8[], %(judged_until)s::int8[])"
            f" AS w(from_ms, until_ms) WHERE t.{until} >= w.from_ms AND t.at_ms <= w.until_ms)"
        )
    return "".join(
        f" AND NOT (t.{until} >= %(from_{number})s AND t.at_ms <= %(until_{number})s)"
        for number in range(len(judged))
    )


def _is_cut(row: TimelineRow, copies: bool) -> bool:
    """Whether a row does not remember every content, or every copy, of its notification."""
    return len(row.rivals or ()) >= RIVALS_MAX or (copies and len(row.copies or ()) >= COPIES_MAX)
