"""`python -m benchmarks [NAME...]`: runs the named benchmarks, or all."""

import sys

from benchmarks import importing, ingest, rebuild

BENCHMARKS = {"ingest": ingest.main, "rebuild": rebuild.main, "import": importing.main}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHMARKS:
        print(f"## {name}\n")
        BENCHMARKS[name]()
        print()
