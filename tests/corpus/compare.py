"""Command: asks this version everything that the corpus holds, and prints what it answers otherwise.

python -m tests.corpus.compare [--history N ...] [--limit N] [--every N] [--rebuild] [--store DIRECTORY]
"""

import argparse
import sys
import time
from pathlib import Path

from tests.corpus import comparing, kept, program
from tests.corpus.comparing import Outcome


def main() -> int:
    """Exit code 0 when nothing differs that is not allowed to."""
    given = _arguments()
    began_s, used_s = time.monotonic(), time.process_time()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {text}", file=sys.stderr)

    with program.store_in(given.store) as database:
        if given.again and program.is_loaded(database):
            say("the store is as it was left")
        else:
            program.load(database, kept.read_lines(kept.DELIVERIES))
            say("loaded")
            program.project(database, comparing.batch_sizes(given.cuts))
            say("projected")
        if given.rebuild:
            equal = program.rebuild(database)
            say(f"rebuilt, the digests are {'equal' if equal else 'not equal'}")
        if parked := program.parked(database):
            say(f"{parked} entries are parked")
        choose = comparing.named(given.history) if given.history else comparing.every(given.every)
        outcome = comparing.compare(database, comparing.chosen(choose), comparing.read_allowed())
        say(f"asked; {time.process_time() - used_s:.1f} s of processor time without the database's")
    _print(outcome, given.limit, given.examples)
    return 1 if outcome.changed else 0


def _print(outcome: Outcome, limit: int | None, examples: int) -> None:
    changed = outcome.changed if limit is None else outcome.changed[:limit]
    if changed:
        print(comparing.summary(changed, examples))
    for entry, count in outcome.allowed.items():
        print(f"allowed {count}: {entry.reason}" + ("" if count else " (it covers nothing)"))
    histories = len({each.history for each in outcome.changed})
    print(
        f"{outcome.histories} histories, {outcome.questions} questions:"
        f" {len(outcome.changed)} differences in {histories} histories"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.compare", description=__doc__)
    parser.add_argument("--history", nargs="*", default=[], help="only these: numbers, or names as h0007")
    parser.add_argument("--every", type=int, default=1, help="only every n-th history")
    parser.add_argument("--limit", type=int, help="show so many differences, the first ones")
    parser.add_argument("--examples", type=int, default=3, help="of each kind of difference")
    parser.add_argument("--rebuild", action="store_true", help="rebuild the read model before asking")
    parser.add_argument("--store", type=Path, help="a directory that keeps the store for the next time")
    parser.add_argument("--again", action="store_true", help="ask the kept store as it is")
    parser.add_argument("--cuts", type=int, default=0, help="another seed of the sizes of batches")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
