"""What real senders and their customers do to a history, drawn into one that is true without it.

Kinds that nobody configured, names and times as they come, rivals that are refused, tasks of somebody's own.
"""

from collections.abc import Callable
from random import Random

import msgspec
from msgspec.structs import replace

from streamledger.domain.notification import Kind
from streamledger.simulator.truth import Fact, History, TrueRecording, TrueSession


class Oddities(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities between 0 and 1: of streams the first seven, of their sessions or files the others."""

    partly_configured: float = 0.0
    """Only pushes are called back, or pushes and recordings, or all but what carries a sequence besides."""
    named_in_gb18030: float = 0.0
    """A Chinese name, in bodies that are no UTF-8."""
    named_by_channel: float = 0.0
    """channel_id without stream_id."""
    spelt_otherwise: float = 0.0
    """The push domain in another case or with its port, in some of the bodies."""
    pushed_to_an_address: float = 0.0
    """Starts and stops name an address for the push domain, media the domain."""
    constant_file_names: float = 0.0
    """Every screenshot of the stream has the same pic_url."""
    spelt_in_milliseconds: float = 0.0
    """event_time of 13 digits."""
    rivals_refused: float = 0.0
    """A push under the same name that is refused within a second."""
    recorded_by_task: float = 0.0
    """A file of CreateRecordTask beside the others, without stream_param."""
    fractional_durations: float = 0.0
    zero_durations: float = 0.0
    impossible_starts: float = 0.0
    """A second start with an event_time of 0."""


def of_all(share: float) -> Oddities:
    """Every oddity with this probability."""
    return Oddities(**dict.fromkeys(Oddities.__struct_fields__, share))


def with_oddities(history: History, oddities: Oddities, random: Random) -> History:
    """The same history with these oddities; its truth says what truly was all the same."""
    by_stream: dict[str, list[Fact]] = {}
    for fact in history.facts:
        by_stream.setdefault(fact.stream_id, []).append(fact)
    sessions: dict[str, list[TrueSession]] = {}
    for session in history.sessions:
        sessions.setdefault(session.stream_id, []).append(session)
    facts: list[Fact] = []
    found: list[TrueSession] = []
    for number, (stream_id, own) in enumerate(by_stream.items()):
        odd = _Stream(number, own, sessions.get(stream_id, []), oddities, random)
        odd.draw()
        facts += odd.facts
        found += odd.sessions
    return replace(
        history,
        facts=tuple(sorted(facts, key=lambda fact: fact.called_at_ms)),
        sessions=tuple(found),
    )


class _Stream(msgspec.Struct):
    """One stream's facts and sessions while oddities are drawn into them."""

    number: int
    facts: list[Fact]
    sessions: list[TrueSession]
    oddities: Oddities
    random: Random

    def draw(self) -> None:
        random, odd = self.random, self.oddities
        self._add_rivals()
        self._add_tasks()
        self._add_impossible_starts()
        self._each(Kind.RECORDING, odd.fractional_durations, _fractional)
        self._each(Kind.RECORDING, odd.zero_durations, lambda body: body | {"duration": 0})
        if random.random() < odd.constant_file_names:
            self._change(lambda body: body | {"pic_url": "/constant.jpg"} if "pic_url" in body else body)
        if random.random() < odd.spelt_otherwise:
            self._change(self._spelt)
        if random.random() < odd.pushed_to_an_address:
            self._change(lambda body: body | {"app": "192.0.2.9"} if body["event_type"] in (0, 1) else body)
        if random.random() < odd.spelt_in_milliseconds:
            self._change(_in_milliseconds)
        if random.random() < odd.named_by_channel:
            self._change(lambda body: {name: value for name, value in body.items() if name != "stream_id"})
        if random.random() < odd.named_in_gb18030:
            self._rename(f"直播{chr(0x4E00 + self.number % 2000)}_{self.facts[0].stream_id}")
        if random.random() < odd.partly_configured:
            kinds = random.choice((_PUSHES, _PUSHES | {Kind.RECORDING}, _PUSHES | {Kind.SCREENSHOT}))
            self.facts = [fact for fact in self.facts if fact.kind in kinds]

    def _change(self, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
        self.facts = [replace(fact, body=change(fact.body)) for fact in self.facts]

    def _each(
        self, kind: Kind, share: float, change: Callable[[dict[str, object]], dict[str, object]]
    ) -> None:
        self.facts = [
            replace(fact, body=change(fact.body))
            if fact.kind is kind and self.random.random() < share
            else fact
            for fact in self.facts
        ]

    def _spelt(self, body: dict[str, object]) -> dict[str, object]:
        host = self.random.choice(("push.example.com", "Push.Example.com", "push.example.com:1935"))
        return {name: host if name in ("app", "domain") else value for name, value in body.items()}

    def _rename(self, stream_id: str) -> None:
        names = {"stream_id": stream_id, "channel_id": stream_id}
        self.facts = [
            replace(
                fact,
                stream_id=stream_id,
                encoding="gb18030",
                body={name: names.get(name, value) for name, value in fact.body.items()},
            )
            for fact in self.facts
        ]
        self.sessions = [replace(session, stream_id=stream_id) for session in self.sessions]

    def _add_rivals(self) -> None:
        for session in [each for each in self.sessions if each.role == "main"]:
            start = self._fact_of(session, Kind.PUSH_STARTED)
            if start is None or self.random.random() >= self.oddities.rivals_refused:
                continue
            lasts_until_ms = session.ended_at_ms or session.started_at_ms + 60_000
            at_ms = self.random.randint(session.started_at_ms, lasts_until_ms)
            rival = replace(
                session,
                sequence=self._sequence(),
                role="refused",
                started_at_ms=at_ms,
                ended_at_ms=at_ms + 400,
                start_reported=True,
                stop_reported=True,
                errcode=18,
                recordings=(),
                screenshots=(),
            )
            named = start.body | {"sequence": rival.sequence, "event_time": at_ms // 1000}
            named |= {"stream_param": f"txSecret={self.random.getrandbits(64):016x}"}
            for event_type, kind in ((1, Kind.PUSH_STARTED), (0, Kind.PUSH_STOPPED)):
                body = named | {"event_type": event_type, "errcode": 0 if event_type else 18}
                self._put(start, kind, body, rival.sequence, at_ms)
            self.sessions.append(rival)

    def _add_tasks(self) -> None:
        for place, session in enumerate(self.sessions):
            files = [
                fact
                for fact in self.facts
                if fact.kind is Kind.RECORDING and fact.sequence == session.sequence
            ]
            if not files or self.random.random() >= self.oddities.recorded_by_task:
                continue
            pattern, file_id = self.random.choice(files), self._sequence()
            truth = next(each for each in session.recordings if each.file_id == pattern.key)
            body = {name: value for name, value in pattern.body.items() if name != "stream_param"}
            body |= {"file_id": file_id, "record_file_id": file_id, "task_id": self._sequence()}
            fact = replace(pattern, key=file_id, body=body)
            self.facts.append(fact)
            more: TrueRecording = replace(truth, file_id=file_id)
            self.sessions[place] = replace(session, recordings=(*session.recordings, more))

    def _add_impossible_starts(self) -> None:
        for session in self.sessions:
            start = self._fact_of(session, Kind.PUSH_STARTED)
            if start is not None and self.random.random() < self.oddities.impossible_starts:
                body = start.body | {"event_time": 0}
                self._put(start, Kind.PUSH_STARTED, body, f"{session.sequence}@0", start.happened_at_ms)

    def _fact_of(self, session: TrueSession, kind: Kind) -> Fact | None:
        own = (fact for fact in self.facts if fact.kind is kind and fact.sequence == session.sequence)
        return next(own, None)

    def _put(self, pattern: Fact, kind: Kind, body: dict[str, object], key: str, at_ms: int) -> None:
        event_type = body["event_type"]
        self.facts.append(
            replace(
                pattern,
                kind=kind,
                event_type=event_type if isinstance(event_type, int) else pattern.event_type,
                sequence=str(body["sequence"]),
                key=key,
                happened_at_ms=at_ms,
                called_at_ms=at_ms + self.random.randint(400, 1_400),
                body=body,
            )
        )

    def _sequence(self) -> str:
        return str(self.random.randint(10**17, 2**63 - 1))


_PUSHES = frozenset({Kind.PUSH_STARTED, Kind.PUSH_STOPPED})


def _fractional(body: dict[str, object]) -> dict[str, object]:
    lasted_s = body["duration"]
    return body | {"duration": lasted_s - 0.597} if isinstance(lasted_s, int) and lasted_s > 1 else body


def _in_milliseconds(body: dict[str, object]) -> dict[str, object]:
    at_s = body.get("event_time")
    return body | {"event_time": at_s * 1000} if isinstance(at_s, int) and at_s else body
