"""`python -m benchmarks [NAME...]`: runs the named benchmarks, or all."""

import sys

from benchmarks import flood, importing, ingest, pages, query, rebuild

BENCHMARKS = {
    "ingest": ingest.main,
    "query": query.main,
    "pages": pages.main,
    "rebuild": rebuild.main,
    "import": importing.main,
    "flood": flood.main,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"## {name}\n")
        BENCHMARKS[name]()
        print()
