"""The golden sample bodies, as bytes, by name."""

import json
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).parents[2] / "golden" / "samples"
EXPECTED: Final = ".expected.json"
NAMES: Final = tuple(
    sorted(path.stem for path in DIRECTORY.glob("*.json") if not path.name.endswith(EXPECTED))
)
TEST_KEY: Final = "streamledger-test-key"


def body_of(name: str) -> bytes:
    """The bytes of a sample."""
    return (DIRECTORY / f"{name}.json").read_bytes()


def expected_of(name: str) -> dict[str, Any]:
    """What reading a sample must give."""
    expected: dict[str, Any] = json.loads((DIRECTORY / f"{name}{EXPECTED}").read_text(encoding="utf-8"))
    return expected
