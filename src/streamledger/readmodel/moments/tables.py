"""What time travel reads: the read model's rows as an index into the ledger, and the ledger's events.

Every statement here runs in one transaction with one snapshot, so rows and events agree.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from streamledger.domain.attribution import considered_ms
from streamledger.domain.by_time import LAST_OPEN_MAX
from streamledger.domain.events import LedgerEvent, originator_of
from streamledger.domain.session import BEGAN_TOGETHER_MS, OPEN_END_MS, OPEN_LATER_MAX
from streamledger.readmodel.fold.columns import columns_of, session_row, timeline_row
from streamledger.readmodel.fold.facts import Fact
from streamledger.readmodel.fold.rows import COPIES_MAX, RIVALS_MAX, SessionKey, SessionRow, TimelineRow
from streamledger.readmodel.moments.moment import NO_TIME_MS, Moment
from streamledger.readmodel.projections.reading import read_facts
from streamledger.readmodel.queries.fetching import fetch
from streamledger.readmodel.queries.kinds import ATTRIBUTED, MOMENTS
from streamledger.readmodel.queries.pacing import off_loop
from streamledger.readmodel.queries.shown_events import Shown, bounded_sql, shown_of, size_of

_PAGE_SIZE: Final = 2000
_AT_SQL: Final = bounded_sql("notification_id = ANY(%(positions)s) AND notification_id > %(after)s")
_OF_SQL: Final = bounded_sql(
    "originator_id = %(originator)s AND originator_version > %(version)s AND notification_id <= %(position)s"
)
"""In order of position, which is that of the stream's versions."""
WINDOWS_INLINE_MAX: Final = 8


class Interval(msgspec.Struct, frozen=True):
    """An interval of one stream's time axis, both ends included."""

    from_ms: int
    until_ms: int


class PastTables:
    """Reads for one moment, over one connection."""

    def __init__(self, connection: AsyncConnection, moment: Moment) -> None:
        self.connection = connection
        self.moment = moment

    async def sessions_named(self, sequence: str) -> list[SessionRow]:
        """The sessions with this sequence, one a stream, as they are known now."""
        sql = (
            f"SELECT {columns_of('sessions')} FROM sessions WHERE sequence = %(sequence)s"  # noqa: S608  # constant names
            " ORDER BY stream_id LIMIT 10"
        )
        return [session_row(values) for values in await self.fetch(sql, {"sequence": sequence})]

    async def sessions_near(self, stream_id: str, near: Interval | None) -> list[SessionRow]:
        """The stream's sessions, as they are known now, that bear on media in an interval, now or then.

        Those whose spans come near, the latest open ones before it, and those that were others then.
        """
        facts = self.facts(stream_id)
        conditions = [
            f"{unsettled} AND EXISTS (SELECT FROM timeline AS t WHERE t.stream_id = s.stream_id"
            f" AND t.sequence = s.sequence AND t.kind NOT IN ({ATTRIBUTED})"
            " AND ((t.position <= %(position)s AND t.until_ms <= %(as_of_ms)s) OR t.rivals IS NOT NULL))"
            for unsettled in self._unsettled()
        ]
        if conditions:  # open ones of which others decided otherwise then, by pushes that were others
            unsettled = " OR ".join(self._unsettled("n"))
            conditions += [
                f"NOT s.ended AND s.{bound} < {OPEN_END_MS} AND EXISTS (SELECT FROM sessions AS n"
                " WHERE n.stream_id = s.stream_id AND n.sort_ms > s.sort_ms"
                f" AND n.sort_ms <= s.{bound}{same} AND ({unsettled}))"
                for bound, same in (
                    ("newer_ms", ""),
                    ("rival_ms", ""),
                    ("reach_ms", ""),
                    ("witness_until_ms", " AND n.witness = s.witness"),
                )
            ]
        if near is not None:
            # As far as an explanation names pushes, or it would name others by what has come since.
            beside_ms = considered_ms(self.moment.slack_ms)
            facts |= {
                "from_ms": max(0, near.from_ms - beside_ms),
                "until_ms": min(near.until_ms + beside_ms, OPEN_END_MS),
            }
            conditions += [
                "s.reach_ms >= %(from_ms)s AND s.span_from_ms <= %(until_ms)s",
                "NOT s.ended AND s.witness_until_ms >= %(from_ms)s AND s.sort_ms <= %(until_ms)s",
            ]
            latest = f"ORDER BY s.sort_ms DESC, s.sequence DESC LIMIT {LAST_OPEN_MAX}"
            before = "NOT s.ended AND s.sort_ms < %(from_ms)s"
            conditions += [f"{before} {latest}", f"{before} AND {self._settled()} {latest}"]
        if not conditions:
            return []
        sql = " UNION ALL ".join(  # each branch by an index of its own, in one question
            f"(SELECT {columns_of('sessions', 's')} FROM sessions AS s"  # noqa: S608  # constant names
            f" WHERE s.stream_id = %(stream_id)s AND {condition})"
            for condition in conditions
        )
        rows = [session_row(values) for values in await self.fetch(sql, facts)]
        return list({row.sequence: row for row in rows}.values())

    async def followers(self, pushes: Iterable[SessionRow]) -> list[SessionRow]:
        """The next pushes at the places of these, among the sessions that stand as they did then.

        Of each the very next, and the next that did not begin with it.
        """
        after = [(push, push.span_from_ms + later) for push in pushes for later in (0, BEGAN_TOGETHER_MS)]
        sql = (
            f"SELECT {columns_of('sessions', 's')} FROM unnest(%(streams)s::text[], %(sequences)s::text[],"  # noqa: S608  # constant names
            " %(from_ms)s::int8[], %(apps)s::text[], %(appnames)s::text[])"
            " AS p(stream_id, sequence, from_ms, app, appname) CROSS JOIN LATERAL"
            " (SELECT * FROM sessions AS s WHERE s.stream_id = p.stream_id AND s.sort_ms > p.from_ms"
            "  AND s.start_known AND NOT s.refused AND s.sequence <> p.sequence"
            "  AND coalesce(s.app = p.app, true) AND coalesce(s.appname = p.appname, true)"
            f"  AND {self._settled()} ORDER BY s.sort_ms LIMIT 1) AS s"
        )
        facts = self.facts("") | {
            "streams": [push.stream_id for push, _ in after],
            "sequences": [push.sequence for push, _ in after],
            "from_ms": [from_ms for _, from_ms in after],
            "apps": [push.app for push, _ in after],
            "appnames": [push.appname for push, _ in after],
        }
        return [session_row(values) for values in await self.fetch(sql, facts)] if after else []

    async def bounding(self, stream_id: str, pushes: Sequence[SessionRow], until_ms: int) -> list[SessionRow]:
        """What else bounds these pushes from afar, among the sessions that stand as they did then.

        The next open ones at their places that began after a time, those with their stream_params too, and
        what had ended before an unknown start.
        """
        opened = [push for push in pushes if push.is_open]
        after = {(push.app, push.appname, "", max(until_ms, push.last_sign_ms)) for push in opened}
        after |= {(push.app, push.appname, push.witness, until_ms) for push in opened if push.witness}
        unknown = [push for push in pushes if push.ended and not push.start_known]
        if not after and not unknown:
            return []
        columns = columns_of("sessions", "s")
        of_stream = f"SELECT * FROM sessions AS s WHERE s.stream_id = %(stream_id)s AND {self._settled()}"  # noqa: S608  # constant names
        later = [
            f"SELECT {columns} FROM unnest(%(apps)s::text[], %(appnames)s::text[], %(witnesses)s::text[],"  # noqa: S608  # constant names
            f" %(after_ms)s::int8[]) AS p(app, appname, witness, after_ms) CROSS JOIN LATERAL ({of_stream}"
            "  AND NOT s.ended AND NOT s.refused AND s.start_known AND s.sort_ms > p.after_ms"
            "  AND s.app IS NOT DISTINCT FROM p.app AND s.appname IS NOT DISTINCT FROM p.appname"
            f" {same} ORDER BY s.sort_ms LIMIT {OPEN_LATER_MAX}) AS s WHERE {asked}"
            for asked, same in (("p.witness = ''", ""), ("p.witness <> ''", "AND s.witness = p.witness"))
        ]
        ended = (
            f"SELECT {columns} FROM unnest(%(from_ms)s::int8[], %(first_ms)s::int8[], %(over_ms)s::int8[],"  # noqa: S608  # constant names
            "  %(ended_apps)s::text[], %(ended_appnames)s::text[])"
            f" AS p(from_ms, first_ms, over_ms, app, appname) CROSS JOIN LATERAL ({of_stream}"
            "  AND s.ended AND NOT s.refused AND s.reach_ms > p.from_ms AND s.reach_ms <= p.first_ms"
            "  AND s.reach_ms < p.over_ms AND coalesce(s.app = p.app, true)"
            "  AND coalesce(s.appname = p.appname, true) ORDER BY s.reach_ms DESC LIMIT 1) AS s"
        )
        facts = self.facts(stream_id) | {
            "apps": [app for app, _, _, _ in after],
            "appnames": [appname for _, appname, _, _ in after],
            "witnesses": [witness for _, _, witness, _ in after],
            "after_ms": [after_ms for _, _, _, after_ms in after],
            "from_ms": [push.span_from_ms for push in unknown],
            "first_ms": [push.sure_from_ms for push in unknown],
            "over_ms": [push.span_until_ms for push in unknown],
            "ended_apps": [push.app for push in unknown],
            "ended_appnames": [push.appname for push in unknown],
        }
        rows = await self.fetch(" UNION ALL ".join([*later, ended]), facts)
        return [session_row(values) for values in rows]

    def _settled(self) -> str:
        return " AND ".join(f"NOT ({unsettled})" for unsettled in self._unsettled()) or "true"

    def _unsettled(self, alias: str = "s") -> list[str]:
        """Conditions under which a session may have been another at the moment than it is now."""
        conditions = [] if self.moment.is_all_known else [f"{alias}.position > %(position)s"]
        if self.moment.as_of_ms != NO_TIME_MS:
            conditions += [f"{alias}.span_until_ms > %(as_of_ms)s", f"{alias}.span_from_ms > %(as_of_ms)s"]
        return conditions

    async def defining_facts(self, keys: Iterable[SessionKey]) -> list[Fact]:
        """What was known and had happened of these sessions themselves, each delivery of it, in order."""
        keys = list(keys)
        sql = (
            f"SELECT {columns_of('timeline', 't')} FROM unnest(%(streams)s::text[], %(sequences)s::text[])"  # noqa: S608  # constant names
            " AS named(stream_id, sequence) JOIN timeline AS t USING (stream_id, sequence)"
            f" WHERE t.kind NOT IN ({ATTRIBUTED})"
        )
        facts = {"streams": [key[0] for key in keys], "sequences": [key[1] for key in keys]}
        rows = [timeline_row(values) for values in await self.fetch(sql, facts)] if keys else []
        return await self.facts_of(rows)

    async def stops_ahead(self, keys: Iterable[SessionKey]) -> list[Fact]:
        """What was known of stops that had not happened, of pushes that had begun: their durations say so."""
        moment = self.moment
        if moment.as_of_ms == NO_TIME_MS:
            return []
        later = PastTables(self.connection, msgspec.structs.replace(moment, as_of_ms=NO_TIME_MS))
        return [fact for fact in await later.defining_facts(keys) if moment.is_begun_by(fact)]

    async def facts_of(self, rows: Sequence[TimelineRow], *, copies: bool = True) -> list[Fact]:
        """The deliveries of these rows' notifications that the moment holds, in order; copies when wanted."""
        whole = [row for row in rows if not _is_cut(row, copies)]
        positions = {row.position for row in whole}
        positions |= {position for row in whole for _, position in row.rivals or ()}
        if copies:
            positions |= {position for row in whole for position in row.copies or ()}
        known = sorted(position for position in positions if position <= self.moment.position)
        facts: list[Fact] = []
        after = -1
        while known and after < known[-1]:
            wanted = {"positions": known, "after": after, "limit": _PAGE_SIZE}
            events = shown_of(await self.fetch(_AT_SQL, wanted))
            if not events:
                break
            facts += await _read(events)
            after = events[-1].position
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
                rows_read = await self.fetch(
                    _OF_SQL,
                    {
                        "originator": originator_of(stream_id, 0),
                        "version": version,
                        "position": self.moment.position,
                        "limit": _PAGE_SIZE,
                    },
                )
                if not rows_read:
                    break
                found += [
                    fact
                    for fact in await _read(shown_of(rows_read))
                    if (fact.notification.kind.value, fact.notification.key) in wanted
                ]
                version = rows_read[-1][2]
        return found

    async def reach_of_recordings(self, stream_id: str, region: Interval) -> Interval | None:
        """From the first to the last moment of the recordings that touch a region."""
        sql = (
            "SELECT min(least(t.at_ms, t.began_ms)), max(t.until_ms) FROM timeline AS t"
            " WHERE t.stream_id = %(stream_id)s AND t.kind = 'recording'"
            " AND t.until_ms >= %(from_ms)s AND least(t.at_ms, t.began_ms) <= %(until_ms)s"
        )
        facts = self.facts(stream_id) | {"from_ms": region.from_ms, "until_ms": region.until_ms}
        from_ms, until_ms = (await self.fetch(sql, facts))[0]
        return None if from_ms is None else Interval(from_ms, until_ms)

    async def media_in(
        self,
        stream_id: str,
        intervals: Sequence[Interval],
        region: Interval | None,
        sequences: Sequence[str],
    ) -> list[TimelineRow]:
        """Media that the moment holds, that touch one of these intervals and the region: those of the named
        sessions and of none, and recordings; of each notification one row. Without those that have rivals."""
        if region is None or not intervals:
            return []
        facts = self.facts(stream_id) | {
            "sequences": ["", *sequences],
            "from_ms": [each.from_ms for each in intervals],
            "until_ms": [each.until_ms for each in intervals],
            "region_from_ms": region.from_ms,
            "region_until_ms": region.until_ms,
        }
        held = (
            "t.until_ms >= %(region_from_ms)s AND least(t.at_ms, t.began_ms) <= %(region_until_ms)s"
            " AND t.rivals IS NULL AND t.position <= %(position)s AND t.until_ms <= %(as_of_ms)s"
        )
        interval = "unnest(%(from_ms)s::int8[], %(until_ms)s::int8[]) AS w(from_ms, until_ms)"
        columns = columns_of("timeline", "t")
        moments = (
            # Each interval by itself (OFFSET 0): the planner takes all sessions for short ones, and would
            # read one through.
            f"SELECT {columns} FROM {interval} CROSS JOIN unnest(%(sequences)s::text[]) AS named(sequence)"  # noqa: S608  # constant names
            " CROSS JOIN LATERAL (SELECT * FROM timeline AS o"
            " WHERE o.stream_id = %(stream_id)s AND o.sequence = named.sequence"
            " AND o.at_ms >= greatest(w.from_ms, %(region_from_ms)s)"
            " AND o.at_ms <= least(w.until_ms, %(region_until_ms)s, %(as_of_ms)s)"
            f" AND o.kind IN ({MOMENTS}) AND o.position <= %(position)s OFFSET 0) AS t WHERE {held}"
        )
        recordings = (
            f"SELECT {columns} FROM {interval} JOIN timeline AS t ON t.stream_id = %(stream_id)s"  # noqa: S608  # constant names
            " AND t.until_ms >= w.from_ms AND least(t.at_ms, t.began_ms) <= w.until_ms"
            f" WHERE t.kind = 'recording' AND {held}"
        )
        found = [
            timeline_row(values) for values in await self.fetch(f"{moments} UNION ALL {recordings}", facts)
        ]
        return list({(row.kind, row.key): row for row in found}.values())

    async def media_with_rivals(self, stream_id: str) -> list[TimelineRow]:
        """The rows of the stream's media that were delivered with several contents."""
        sql = (
            f"SELECT {columns_of('timeline')} FROM timeline WHERE stream_id = %(stream_id)s"  # noqa: S608  # constant names
            f" AND rivals IS NOT NULL AND kind IN ({ATTRIBUTED})"
        )
        return [timeline_row(values) for values in await self.fetch(sql, self.facts(stream_id))]

    def facts(self, stream_id: str) -> dict[str, Any]:
        """The parameters of a statement about a stream at the moment."""
        return {
            "stream_id": stream_id,
            "position": self.moment.position,
            "as_of_ms": self.moment.as_of_ms,
        }

    async def fetch(self, sql: str, facts: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement. Raises ParameterInvalid for what PostgreSQL cannot hold."""
        return await fetch(self.connection, sql, facts)


async def _read(events: Sequence[Shown]) -> list[Fact]:
    """The facts of events, those that can be read; of many bytes on another thread."""
    readable = [event for event in events if isinstance(event, LedgerEvent)]
    return await off_loop(sum(map(size_of, readable)), lambda those: list(read_facts(those)), readable)


def _is_cut(row: TimelineRow, copies: bool) -> bool:
    """Whether a row does not remember every content, or every copy, of its notification."""
    return len(row.rivals or ()) >= RIVALS_MAX or (copies and len(row.copies or ()) >= COPIES_MAX)
