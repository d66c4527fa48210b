"""Command: makes the corpus anew: draws its histories, has this version project them, records its answers.

python -m tests.corpus.record [--histories N] [--seed N]: of use at the commit whose behaviour is to be kept.
--answers keeps the deliveries and the questions: for rules that were changed on purpose, once each difference
that `compare` shows has been looked at.
"""

import argparse
import base64
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from tests.corpus import comparing, kept, program
from tests.corpus.delivering import Drawn, Sent
from tests.corpus.kept import About, Asked, History
from tests.corpus.plots import WEIGHTS, draw
from tests.corpus.program import Question, Read

NOW_S = 1_764_043_200
"""2025-11-25T04:00:00Z: when everything is asked; what would have come later has not come yet."""
MOMENTS_EVERY = 10
"""Of every so many histories the past is asked about too."""
MOMENTS_SESSIONS_MAX = 4
"""Of each of them so many sessions."""
EXPLAINED_MAX = 8
"""Of a history so many sessions, or a few more, are explained."""
DETAILS_MAX = 3
"""Of a history so many repeated, and so many mended, deliveries are asked about one by one."""

_encode = msgspec.json.Encoder().encode


@dataclass
class Filed:
    """A history as it came into the ledger."""

    drawn: Drawn
    positions: list[int] = field(default_factory=list)
    streams: dict[str, None] = field(default_factory=dict)
    sessions: dict[tuple[str, str], None] = field(default_factory=dict)
    streamless: list[int] = field(default_factory=list)
    mended: list[int] = field(default_factory=list)


def drawn(seed: int, count: int) -> list[Drawn]:
    """The histories: many of the last hour, others of five, those that reach over half a day of two days."""
    random = Random(seed)
    begins = []
    for plot in random.choices([*WEIGHTS], weights=[*WEIGHTS.values()], k=count):
        if plot == "half a day":
            age_s = random.randint(26 * 3600, 48 * 3600)
        elif random.random() < 0.5:
            age_s = random.randint(120, 3600)
        else:
            age_s = random.randint(3600, 5 * 3600)
        begins.append((NOW_S - age_s, plot))
    begins.sort()
    ranks: Counter[str] = Counter()
    found = []
    for number, (begin_s, plot) in enumerate(begins):
        found.append(draw(number, begin_s, plot, ranks[plot], Random(f"{seed}:{number}")))
        ranks[plot] += 1
    return found


def filed(histories: Iterable[Drawn]) -> tuple[list[bytes], list[Filed]]:
    """The lines of the ledger in the order of arrival, and of each history where its deliveries are."""
    found = [Filed(each) for each in histories]
    arrivals = sorted(
        (
            (sent.arrived_us, number, place, sent)
            for number, history in enumerate(found)
            for place, sent in enumerate(history.drawn.sent)
            if sent.arrived_us <= NOW_S * 1_000_000
        ),
        key=lambda arrival: arrival[:3],
    )
    lines = [b'{"format":"streamledger-events","version":1,"redacted":false}']
    position = 0
    for arrived_us, number, place, sent in arrivals:
        reading = None if sent.act or sent.unknown else program.read(sent.body)
        if reading is None and not (sent.act or sent.unknown):
            continue  # the receiver would have set it aside
        position += 1
        lines.append(_encode(_line(position, _id(arrived_us, number, place), sent, reading)))
        if reading is not None:
            _file(found[number], position, reading)
    return lines, found


def _id(arrived_us: int, number: int, place: int) -> uuid.UUID:
    """A version 7 UUID, as every delivery gets at receipt, whose last bits say which delivery it is."""
    return uuid.UUID(int=(arrived_us // 1000) << 80 | 0x7 << 76 | 0x2 << 62 | number << 16 | place)


def _line(position: int, delivery_id: uuid.UUID, sent: Sent, reading: Read | None) -> dict[str, Any]:
    """A line of an export of version 1 (`ledger/portable.py`)."""
    line: dict[str, Any] = {"position": position, "delivery_id": str(delivery_id)}
    if sent.unknown:
        state = base64.b64encode(sent.body).decode()
        return line | {"name": "lens-cleaned.v1", "originator": sent.originator, "state_base64": state}
    line["name"] = "admin-acted.v1" if reading is None else reading.name
    line["originator"] = sent.originator or ("~admin" if reading is None else reading.originator)
    line |= {"received_at_us": sent.received_us}
    optional = {
        "source_ip": sent.source_ip,
        "key": sent.key,
        "t_passed": sent.t_passed,
        "mended": () if reading is None else reading.mended,
        "release": sent.release,
    }
    line |= {name: value for name, value in optional.items() if value}
    try:
        return line | {"body": sent.body.decode()}
    except UnicodeDecodeError:
        return line | {"body_base64": base64.b64encode(sent.body).decode()}


def _file(history: Filed, position: int, reading: Read) -> None:
    history.positions.append(position)
    if reading.stream_id is None:
        history.streamless.append(position)
    else:
        history.streams[reading.stream_id] = None
        if reading.sequence is not None:
            history.sessions[reading.stream_id, reading.sequence] = None
    if reading.mended_whole:
        history.mended.append(position)


def questions(number: int, history: Filed) -> Iterator[Question]:
    """What is asked about a history, but for single deliveries."""
    paged = {"limit": 3} if number % 7 == 0 else {}
    for stream_id in history.streams:
        named: Question = {"stream_id": stream_id}
        yield {"ask": "stream", **named}
        yield {"ask": "sessions", **named, "order": "asc" if number % 2 else "desc", **paged}
        yield {"ask": "broadcasts", **named, "window_s": (60, 5, 0)[number % 3], **paged}
        yield {"ask": "unattributed", **named, **paged}
        yield {"ask": "notifications", **named, **paged}
        yield {"ask": "deliveries", **named, **paged}
    counts: dict[str, int] = {}
    for _, sequence in history.sessions:
        counts[sequence] = counts.get(sequence, 0) + 1
    random = Random(f"moments:{number}")
    step = max(1, len(history.sessions) // EXPLAINED_MAX)
    for place, (stream_id, sequence) in enumerate(history.sessions):
        named = {"sequence": sequence}
        if counts[sequence] > 1 or not sequence.strip("0"):
            yield {"ask": "session", **named}
            named["stream_id"] = stream_id
        yield {"ask": "session", **named}
        yield {"ask": "timeline", **named, **paged}
        if place % step == 0:
            yield {"ask": "explain", **named}
        yield {"ask": "session-deliveries", **named, **paged}
        if number % 5 == 0:
            yield {"ask": "recordings", **named}
            yield {"ask": "screenshots", **named}
        if number % MOMENTS_EVERY == 0 and place < MOMENTS_SESSIONS_MAX:
            for moment in _moments(history, random):
                yield {"ask": "timeline", **named, **moment}
                yield {"ask": "explain", **named, **moment}


def _moments(history: Filed, random: Random) -> Iterator[dict[str, Any]]:
    """Three moments: what was known, what had happened, and another of both or a what-if."""
    at_s = history.drawn.begin_s + random.choice([10, 45, 90, 200, 1000])
    positions = history.positions[len(history.positions) // 3 :]
    known_at = str(random.choice(positions) + random.choice([-1, 0, 0]))
    yield {"known_at": known_at}
    yield {"as_of": str(at_s)}
    received = program.instant(at_s + random.choice([0, 30, 100, 700]))
    yield random.choice(
        [{"known_at": received}, {"known_at": received, "as_of": str(at_s)}, {"slack_s": 0}, {"slack_s": 45}]
    )


def of_whole() -> Iterator[Question]:
    """What is asked about the ledger as a whole."""
    keys = ["stream_id", "sequence"]
    yield {"ask": "streams", "presence": "live", "only": ["stream_id", "presence", "open_sessions"]}
    yield {"ask": "streams", "only": ["stream_id", "presence"], "limit": 200}
    for state in ("live", "suspect", "ended"):
        yield {"ask": "sessions", "state": state, "only": keys}
    yield {"ask": "sessions", "order": "asc", "only": keys, "limit": 200}
    yield {"ask": "unattributed", "only": ["stream_id", "position", "kind", "at"]}
    for judged_as in ("retry", "late_retry", "replay", "conflict", "released"):
        yield {"ask": "deliveries", "class": judged_as, "only": ["position", "try_"]}
    yield {"ask": "audit", "from": "2025-11-21T00:00:00Z", "to": "2025-11-25T04:00:00Z", "limit": 300}


def record(seed: int, count: int) -> None:
    """Draw, load, project, ask, and write both files."""
    began_s = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {text}", file=sys.stderr)

    lines, found = filed(drawn(seed, count))
    kept.write_lines(kept.DELIVERIES, lines)
    say(f"{len(lines) - 1} deliveries: {kept.DELIVERIES.stat().st_size / 1e6:.2f} MB")
    about = About(seed=seed, now_ms=NOW_S * 1000, deliveries=len(lines) - 1, histories=len(found))
    with program.store_in() as database:
        program.load(database, kept.read_lines(kept.DELIVERIES))
        program.project(database, comparing.batch_sizes())
        say(f"projected; {program.parked(database)} entries are parked")
        asked = [[*questions(number, history)] for number, history in enumerate(found)]
        details = comparing.answers(
            database,
            about.now_ms,
            [[each for each in questions if each["ask"] == "deliveries"] for questions in asked],
        )
        for number, (history, judged) in enumerate(zip(found, details, strict=True)):
            asked[number] += _details(history, judged)
        asked.append([*of_whole()])
        answers = comparing.answers(database, about.now_ms, asked)
        say(f"{sum(map(len, asked))} questions are answered")
    histories, faults = [], 0
    for number, (wanted, given) in enumerate(zip(asked, answers, strict=True)):
        drawing = found[number].drawn if number < len(found) else Drawn(comparing.WHOLE, 0, "")
        pairs = [pair for pair in zip(wanted, given, strict=True) if _is_kept(pair[1])]
        faults += len(wanted) - len(pairs)
        histories.append(
            History(
                name=drawing.name,
                plot=drawing.plot,
                troubles=dict(sorted(drawing.troubles.items())),
                asked=[Asked(question, msgspec.Raw(answer)) for question, answer in pairs],
            )
        )
    say(f"{faults} questions are left out: this version fails at them")
    kept.write_answers(about, histories)
    size = sum(len(each.answer) for history in histories for each in history.asked)
    say(f"{size / 1e6:.0f} MB of answers: {kept.ANSWERS.stat().st_size / 1e6:.2f} MB")


def record_answers() -> None:
    """Ask this version what is asked already, and write what it answers."""
    about, histories = kept.read_about(), list(kept.read_histories())
    with program.store_in() as database:
        program.load(database, kept.read_lines(kept.DELIVERIES))
        program.project(database, comparing.batch_sizes())
        asked = [[each.question for each in history.asked] for history in histories]
        answers = comparing.answers(database, about.now_ms, asked)
    for history, given in zip(histories, answers, strict=True):
        faults = [answer for answer in given if not _is_kept(answer)]
        assert not faults, (history.name, faults[0])
    kept.write_answers(
        about,
        [
            msgspec.structs.replace(
                history,
                asked=[
                    Asked(each.question, msgspec.Raw(answer))
                    for each, answer in zip(history.asked, given, strict=True)
                ],
            )
            for history, given in zip(histories, answers, strict=True)
        ],
    )


def _is_kept(answer: bytes) -> bool:
    """Whether an answer is worth keeping: not a fault of the program's own."""
    return not answer.startswith(b'{"status":500')


def _details(history: Filed, judged: list[bytes]) -> Iterator[Question]:
    """Single deliveries: of repeated notifications, of mended bodies, and of those without a stream."""
    repeated = [
        row["position"] for answer in judged for row in msgspec.json.decode(answer) if row["class"] != "first"
    ]
    wanted = sorted(repeated)[:: max(1, len(repeated) // DETAILS_MAX)][:DETAILS_MAX]
    wanted += history.mended[:DETAILS_MAX] + history.streamless
    for position in dict.fromkeys(wanted):
        yield {"ask": "delivery", "position": position}


def main() -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.record", description=__doc__)
    parser.add_argument("--histories", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=20251125)
    parser.add_argument("--answers", action="store_true", help="record the answers alone anew")
    given = parser.parse_args()
    if given.answers:
        record_answers()
    else:
        record(given.seed, given.histories)


if __name__ == "__main__":
    main()
