"""Asks the program again what the corpus holds, and tells which answers differ without being allowed to."""

import asyncio
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec

from streamledger.postgres.connection import Database
from tests.corpus import kept, program
from tests.corpus.differing import Difference, differences
from tests.corpus.kept import History
from tests.corpus.program import Question

Item = TypeVar("Item")

ALLOWED = Path(__file__).parent / "allowed.toml"
WHOLE = "all"
"""The name of the questions about the ledger as a whole."""
SIZES = (1, 7, 40, 150, 400, 900, 1500, 2500)
"""How many events a batch of the projections may take."""


@dataclass(frozen=True)
class Changed:
    """One place of one answer that is not as it was."""

    history: str
    question: Question
    difference: Difference

    @property
    def asked(self) -> str:
        """The question on one line."""
        return label(self.question)


@dataclass(frozen=True)
class Allowed:
    """Differences that are meant; in a pattern `*` stands for anything."""

    reason: str
    history: str = "*"
    question: str = "*"
    path: str = "*"
    old: str = "*"
    new: str = "*"

    def fits(self, changed: Changed) -> bool:
        """Whether it covers a difference; old and new are looked at as JSON."""
        found = changed.difference
        pairs = (
            (self.history, changed.history),
            (self.question, changed.asked),
            (self.path, found.path),
            (self.old, shown(found.old)),
            (self.new, shown(found.new)),
        )
        return all(pattern == "*" or _pattern(pattern).fullmatch(text) for pattern, text in pairs)


@dataclass
class Outcome:
    """What came of a comparison."""

    histories: int
    questions: int
    changed: list[Changed]
    allowed: Counter[Allowed]
    """How many differences each entry of the list of allowed ones has covered."""


def label(question: Question) -> str:
    """`timeline sequence=7001 known_at=12`."""
    facts = (f"{name}={value}" for name, value in question.items() if name != "ask")
    return " ".join([str(question["ask"]), *facts])


def shown(value: Any) -> str:
    """A value as JSON, or `(absent)`."""
    try:
        return msgspec.json.encode(value).decode()
    except TypeError:
        return repr(value)


def read_allowed(path: Path = ALLOWED) -> list[Allowed]:
    """The differences that are meant."""
    return [Allowed(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("allowed", [])]


def batch_sizes(seed: int = 0) -> Iterator[int]:
    """Sizes of batches without end, so that batches cut through the histories anywhere."""
    random = Random(seed)
    while True:
        yield random.choice(SIZES)


def every(step: int) -> Callable[[int, History], bool]:
    """Chooses every n-th history, and the questions about the whole."""
    return lambda number, history: number % step == 0 or history.name == WHOLE


def named(names: Collection[str]) -> Callable[[int, History], bool]:
    """Chooses histories by name or number."""
    wanted = {f"h{int(name):04d}" if name.isdigit() else name for name in names}
    return lambda _, history: history.name in wanted


def chosen(choose: Callable[[int, History], bool]) -> Iterator[History]:
    """The recorded histories that are to be asked about."""
    return (history for number, history in enumerate(kept.read_histories()) if choose(number, history))


async def _ask(
    database: Database,
    now_ms: int,
    wanted: Iterable[tuple[Item, list[Question]]],
    note: Callable[[Item, list[bytes]], None],
) -> None:
    """Ask the questions of each item, a few items at a time."""
    left = iter(wanted)
    async with program.asking(database, now_ms) as asker:

        async def work() -> None:
            for item, questions in left:
                note(item, [await asker.ask(question) for question in questions])

        await asyncio.gather(*(work() for _ in range(program.POOL_SIZE)))


def answers(database: Database, now_ms: int, wanted: list[list[Question]]) -> list[list[bytes]]:
    """The answers to lists of questions, in their order."""
    found: list[list[bytes]] = [[]] * len(wanted)
    asyncio.run(_ask(database, now_ms, list(enumerate(wanted)), found.__setitem__))
    return found


def compare(
    database: Database,
    histories: Iterable[History],
    allowed: Iterable[Allowed] = (),
    note: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Ask again, and compare with what was recorded."""
    entries = list(allowed)
    outcome = Outcome(0, 0, [], Counter(dict.fromkeys(entries, 0)))

    def take(history: History, answers: list[bytes]) -> None:
        outcome.histories += 1
        outcome.questions += len(answers)
        for each, answer in zip(history.asked, answers, strict=True):
            if bytes(each.answer) == answer:
                continue
            old, new = msgspec.json.decode(each.answer), msgspec.json.decode(answer)
            for difference in differences(old, new):
                changed = Changed(history.name, each.question, difference)
                entry = next((entry for entry in entries if entry.fits(changed)), None)
                if entry is None:
                    outcome.changed.append(changed)
                else:
                    outcome.allowed[entry] += 1
        note(outcome.histories)

    wanted = ((history, [each.question for each in history.asked]) for history in histories)
    asyncio.run(_ask(database, kept.read_about().now_ms, wanted, take))
    outcome.changed.sort(key=lambda each: (each.history, each.asked))
    return outcome


def summary(changed: Iterable[Changed], examples: int = 3, width: int = 150) -> str:
    """Differences by question and path, the most frequent first: how many, where, and examples."""
    groups: dict[tuple[str, str], list[Changed]] = {}
    for each in changed:
        groups.setdefault((each.question["ask"], each.difference.path), []).append(each)
    lines = []
    for (ask, path), found in sorted(groups.items(), key=lambda group: -len(group[1])):
        count = len({each.history for each in found})
        lines.append(f"{ask}: {path or '(all of it)'}: {len(found)} in {count} histories")
        shown_of: dict[str, Changed] = {}
        for each in found:
            shown_of.setdefault(each.history, each)
        for each in [*shown_of.values()][:examples]:
            lines.append(f"    {each.history} {each.asked}")
            if each.difference.place != each.difference.path:
                lines.append(f"        at  {each.difference.place}")
            lines.append(f"        old {_cut(shown(each.difference.old), width)}")
            lines.append(f"        new {_cut(shown(each.difference.new), width)}")
    return "\n".join(lines)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)
