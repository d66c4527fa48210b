"""True histories of live streams, drawn from a seeded source: who pushed when, what Tencent reports of it."""

from collections.abc import Iterator
from random import Random

from msgspec.structs import replace

from streamledger.domain.notification import Kind
from streamledger.simulator import bodies
from streamledger.simulator.bodies import Origin
from streamledger.simulator.truth import (
    Fact,
    History,
    Shape,
    TrueRecording,
    TrueScreenshot,
    TrueSession,
)

_SHORTEST_RECORDED_MS = 10_000  # pushes under 10 s may give no file (267/38082)

# errcode and errmsg of a stop; wording and language changed over the years, so both languages occur.
_STOPS = (
    (1, "The push client actively stopped the push"),
    (1, "推流端主动断流"),
    (2, "recv rtmp deleteStream"),
    (3, "recv() return 0"),
    (4, "client tcp connection broken"),
    (8, "主机无数据超时断开"),
    (12, "push link network abnormal"),
)
_REPLACED = (21, "replaced by a newer push of the same name")
_SIZES = ((1280, 720), (1920, 1080), (640, 352), (720, 1280))


def randomness(seed: int, starts_at_ms: int, purpose: str) -> Random:
    """The source for one purpose ("history", "faults") of one play.

    The anchor is part of the seed: the same seed played at another time is another history, so
    its sequences never collide with those that an earlier play left in the same ledger.
    """
    return Random(f"{seed}:{starts_at_ms}:{purpose}")  # noqa: S311 - repeatable play, nothing secret


def generate(shape: Shape, *, starts_at_ms: int, random: Random) -> History:
    """A history of `shape` that begins at starts_at_ms; the same source gives the same bytes."""
    return _Writing(shape, starts_at_ms, random).history()


class _Writing:
    """One history while it is drawn."""

    def __init__(self, shape: Shape, starts_at_ms: int, random: Random) -> None:
        self._shape = shape
        self._starts_at_ms = starts_at_ms
        self._ends_at_ms = starts_at_ms + shape.duration_s * 1000
        self._random = random
        self._taken: set[int] = set()
        self._facts: list[Fact] = []
        self._sessions: list[TrueSession] = []

    def history(self) -> History:
        prefix = self._shape.stream_prefix or f"{self._random.getrandbits(24):06x}"
        for number in range(1, self._shape.streams + 1):
            names = self._shape.names
            self._stream(names[number - 1] if names else f"{prefix}_{number:03d}")
        return History(
            starts_at_ms=self._starts_at_ms,
            ends_at_ms=self._ends_at_ms,
            facts=tuple(sorted(self._facts, key=lambda fact: fact.called_at_ms)),
            sessions=tuple(self._sessions),
        )

    def _stream(self, stream_id: str) -> None:
        """Lays the sessions of one stream out in slots of equal length, so that mains never overlap."""
        random, shape = self._random, self._shape
        slot_ms = (self._ends_at_ms - self._starts_at_ms) // shape.sessions_per_stream
        previous_end_ms: int | None = None
        replaced = False
        for number in range(shape.sessions_per_stream):
            slot_starts_ms = self._starts_at_ms + number * slot_ms
            if previous_end_ms is not None and (replaced or random.random() < shape.reconnected):
                started_ms = previous_end_ms + random.randint(200, 15_000)
            else:
                # Half a slot at most is given away, so a short line still has sessions of some length.
                started_ms = slot_starts_ms + random.randint(0, min(slot_ms // 4, 120_000))
            started_ms = min(started_ms, slot_starts_ms + slot_ms // 2)
            latest_end_ms = slot_starts_ms + slot_ms - random.randint(0, slot_ms // 4)
            last = number == shape.sessions_per_stream - 1
            live = last and random.random() < shape.still_live
            replaced = not last and random.random() < 0.1
            main = self._push(stream_id, started_ms, None if live else latest_end_ms, replaced=replaced)
            previous_end_ms = main.ended_at_ms
            if random.random() < shape.backed_up:
                self._backup(main)

    def _push(
        self, stream_id: str, started_ms: int, ended_ms: int | None, *, replaced: bool = False
    ) -> TrueSession:
        random, shape = self._random, self._shape
        origin = self._origin(stream_id, started_ms)
        chance = random.random()
        session = TrueSession(
            stream_id=stream_id,
            sequence=origin.sequence,
            role="main",
            started_at_ms=started_ms,
            ended_at_ms=ended_ms,
            # Never both missing: a push of which nothing is told is no session that anyone could know.
            start_reported=ended_ms is None or chance >= shape.start_unreported,
            stop_reported=ended_ms is not None and chance < 1 - shape.stop_unreported,
        )
        session = self._report_push(origin, session, replaced=replaced)
        seen_until_ms = self._ends_at_ms if ended_ms is None else ended_ms
        session = replace(
            session,
            recordings=tuple(self._recordings(origin, session, seen_until_ms)),
            screenshots=tuple(self._screenshots(origin, started_ms, seen_until_ms)),
        )
        if random.random() < shape.troubled:
            self._trouble(origin, started_ms, seen_until_ms)
        self._sessions.append(session)
        return session

    def _backup(self, main: TrueSession) -> None:
        """A second push under the same name, about as long; only the main one is recorded and pictured."""
        random = self._random
        started_ms = main.started_at_ms + random.randint(100, 5_000)
        ended_ms = main.ended_at_ms
        if ended_ms is not None:
            # It may outlive the main push: the stop of one is not the end of the stream (267/90746).
            ended_ms = min(max(ended_ms + random.randint(-5_000, 5_000), started_ms + 500), self._ends_at_ms)
        session = TrueSession(
            stream_id=main.stream_id,
            sequence=self._number(),
            role="backup",
            started_at_ms=started_ms,
            ended_at_ms=ended_ms,
            start_reported=True,
            stop_reported=ended_ms is not None,
        )
        origin = self._origin(main.stream_id, started_ms, sequence=session.sequence)
        self._sessions.append(self._report_push(origin, session, replaced=False))

    def _report_push(self, origin: Origin, session: TrueSession, *, replaced: bool) -> TrueSession:
        """Adds the start and the stop; returns the session with its errcode."""
        random = self._random
        errcode, errmsg = _REPLACED if replaced else random.choice(_STOPS)
        if session.start_reported:
            at_ms = session.started_at_ms
            body = bodies.push_started(origin, at_ms=at_ms)
            self._fact(
                Kind.PUSH_STARTED,
                origin,
                body,
                key=origin.sequence,
                at_ms=at_ms,
                delay_ms=random.randint(0, 1_000),
            )
        if session.ended_at_ms is None:
            return session
        if session.stop_reported:
            at_ms = session.ended_at_ms
            body = bodies.push_stopped(
                origin,
                at_ms=at_ms,
                duration_ms=at_ms - session.started_at_ms,
                errcode=errcode,
                errmsg=errmsg,
            )
            self._fact(
                Kind.PUSH_STOPPED,
                origin,
                body,
                key=origin.sequence,
                at_ms=at_ms,
                delay_ms=random.randint(0, 1_000),
            )
        return replace(session, errcode=errcode)

    def _recordings(self, origin: Origin, session: TrueSession, until_ms: int) -> Iterator[TrueRecording]:
        """A file per interval and format. The file being written at the end of the line is not told of."""
        random, shape = self._random, self._shape
        started_ms = session.started_at_ms
        if not shape.recording_interval_s or not shape.recording_formats:
            return
        if until_ms - started_ms < _SHORTEST_RECORDED_MS:
            return
        task_id, session_id = self._number(), self._number()
        self._recorder(origin, started_ms, "record_start_succeeded", session_id, task_id)
        interval_ms = shape.recording_interval_s * 1000
        for cut_ms in range(started_ms, until_ms, interval_ms):
            ended_ms = min(cut_ms + interval_ms, until_ms)
            if session.ended_at_ms is None and ended_ms == until_ms:
                return
            for file_format in shape.recording_formats:
                duration_s = (ended_ms - cut_ms) // 1000
                if random.random() < 0.1:  # observed: 183 of 254, 434 of 436
                    duration_s -= random.randint(0, duration_s // 4)
                if duration_s < 1:
                    continue
                yield self._file(
                    origin,
                    file_format=file_format,
                    cut_ms=cut_ms,
                    ended_ms=ended_ms,
                    duration_s=duration_s,
                    push_started_ms=started_ms,
                    task_id=task_id,
                )
        self._recorder(origin, until_ms, "record_ended", session_id, task_id)

    def _file(
        self,
        origin: Origin,
        *,
        file_format: str,
        cut_ms: int,
        ended_ms: int,
        duration_s: int,
        push_started_ms: int,
        task_id: str,
    ) -> TrueRecording:
        random = self._random
        file_id = self._number()
        file_bytes = duration_s * random.randint(90_000, 150_000)
        body = bodies.recording(
            origin,
            file_id=file_id,
            file_format=file_format,
            file_bytes=file_bytes,
            started_at_ms=cut_ms,
            ended_at_ms=ended_ms,
            duration_s=duration_s,
            media_start_time=cut_ms - push_started_ms,
            task_id=task_id,
        )
        late = random.random() < 0.02  # documented: up to 5 min after the end; observed: 2 to 34 s
        delay_ms = random.randint(34_000, 300_000) if late else random.randint(2_000, 34_000)
        self._fact(Kind.RECORDING, origin, body, key=file_id, at_ms=ended_ms, delay_ms=delay_ms)
        return TrueRecording(
            file_id=file_id,
            file_format=file_format,
            content_starts_at_ms=ended_ms - duration_s * 1000,
            content_ends_at_ms=ended_ms,
            duration_s=duration_s,
            file_bytes=file_bytes,
        )

    def _recorder(self, origin: Origin, at_ms: int, record_event: str, session_id: str, task_id: str) -> None:
        seq = self._number()
        body = bodies.recording_status(
            origin, at_ms=at_ms, record_event=record_event, seq=seq, session_id=session_id, task_id=task_id
        )
        delay_ms = self._random.randint(0, 2_000)
        self._fact(Kind.RECORDING_STATUS, origin, body, key=seq, at_ms=at_ms, delay_ms=delay_ms)

    def _screenshots(self, origin: Origin, started_ms: int, until_ms: int) -> Iterator[TrueScreenshot]:
        random, interval_ms = self._random, self._shape.screenshot_interval_s * 1000
        if not interval_ms:
            return
        # Not before the first second: so no two pushes of one stream share the second, hence the pic_url.
        first_ms = started_ms + random.randint(1_000, max(1_000, interval_ms))
        for at_ms in range(first_ms, until_ms, interval_ms):
            pic_url = bodies.picture_path(origin, at_ms)
            file_bytes = random.randint(6_000, 60_000)
            body = bodies.screenshot(
                origin, at_ms=at_ms, pic_url=pic_url, file_bytes=file_bytes, images=self._shape.images
            )
            self._fact(
                Kind.SCREENSHOT, origin, body, key=pic_url, at_ms=at_ms, delay_ms=random.randint(0, 4_000)
            )
            yield TrueScreenshot(pic_url=pic_url, at_ms=at_ms)

    def _trouble(self, origin: Origin, started_ms: int, until_ms: int) -> None:
        random = self._random
        at_ms = random.randint(min(started_ms + 6_000, until_ms), until_ms)
        waits_ms = tuple(random.randint(1_001, 4_000) for _ in range(random.randint(1, 4)))
        body = bodies.push_error(origin, at_ms=at_ms, waits_ms=waits_ms)
        key = f"{origin.sequence}@{at_ms}"
        self._fact(Kind.PUSH_ERROR, origin, body, key=key, at_ms=at_ms, delay_ms=random.randint(0, 1_000))

    def _origin(self, stream_id: str, started_ms: int, sequence: str | None = None) -> Origin:
        random = self._random
        width, height = random.choice(_SIZES)
        secret, expires_s = (
            f"{random.getrandbits(128):032x}",
            started_ms // 1000 + random.randint(86_400, 172_800),
        )
        return Origin(
            stream_id=stream_id,
            sequence=sequence or self._number(),
            node=f"198.51.100.{random.randint(1, 254)}",
            user_ip=f"203.0.113.{random.randint(1, 254)}",
            stream_param=f"txSecret={secret}&txTime={expires_s:X}",
            width=width,
            height=height,
            set_id=random.randint(1, 9),
            idc_id=random.randint(1, 60),
        )

    def _number(self) -> str:
        """A number of 18 or 19 digits, used once: sequences and file ids. It orders nothing."""
        while (number := self._random.randint(10**17, 2**63 - 1)) in self._taken:
            pass
        self._taken.add(number)
        return str(number)

    def _fact(
        self, kind: Kind, origin: Origin, body: dict[str, object], *, key: str, at_ms: int, delay_ms: int
    ) -> None:
        event_type = body["event_type"]
        if not isinstance(event_type, int):
            raise TypeError(event_type)
        self._facts.append(
            Fact(
                kind=kind,
                event_type=event_type,
                stream_id=origin.stream_id,
                sequence=origin.sequence,
                key=key,
                happened_at_ms=at_ms,
                called_at_ms=at_ms + delay_ms,
                body=body,
            )
        )
