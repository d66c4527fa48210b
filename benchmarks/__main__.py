"""`python -m benchmarks [NAME...] [--write FILE] [...]`: runs those named, or all; the rest is theirs."""

import argparse
import os
from pathlib import Path

from benchmarks import flood, importing, ingest, pages, query, rebuild, truth
from benchmarks.table import note_condition, summary, write_summary

BENCHMARKS = {
    "ingest": ingest.main,
    "query": query.main,
    "pages": pages.main,
    "rebuild": rebuild.main,
    "import": importing.main,
    "flood": flood.main,
    "truth": truth.main,
}


def main() -> None:
    """Each prints its own table as it ends; in the end there is one of all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the table of all into FILE, between its marks"
    )
    given, rest = parser.parse_known_args()
    for name in given.names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark is called {name}: {', '.join(BENCHMARKS)}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    note_condition("load before", f"{load:.1f}")
    for name in given.names or BENCHMARKS:
        print(f"## {name}\n", flush=True)
        BENCHMARKS[name](rest)
        print(flush=True)
    print(f"## All\n\n{summary()}")
    if given.write is not None:
        write_summary(given.write)


if __name__ == "__main__":
    main()
