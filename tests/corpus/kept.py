"""The corpus on disk: the deliveries as an export of the first version, the answers as a line a history."""

import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parent
DELIVERIES = HERE / "deliveries.jsonl.xz"
ANSWERS = HERE / "answers.jsonl.xz"

_PACKED = {"preset": 9 | lzma.PRESET_EXTREME, "format": lzma.FORMAT_XZ}


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of the answers."""

    seed: int
    now_ms: int
    """When everything is asked."""
    deliveries: int
    histories: int


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A question and its answer as it was recorded."""

    question: dict[str, Any]
    answer: msgspec.Raw


class History(msgspec.Struct, frozen=True, kw_only=True):
    """One history: what is in it, and what was answered about it."""

    name: str
    plot: str
    troubles: dict[str, int]
    """How often each trouble was drawn; some of it is lost, or had not come yet."""
    asked: list[Asked]


_encode = msgspec.json.Encoder().encode
_decode_history = msgspec.json.Decoder(History).decode
_decode_about = msgspec.json.Decoder(About).decode


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Lines, without their ends, into a compressed file."""
    with lzma.open(path, "wb", **_PACKED) as file:
        for line in lines:
            file.write(line + b"\n")


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a compressed file, with their ends."""
    with lzma.open(path, "rb") as file:
        yield from file


def write_answers(about: About, histories: Iterable[History]) -> None:
    """All answers."""

    def lines() -> Iterator[bytes]:
        yield _encode(about)
        for history in histories:
            yield _encode(history)

    write_lines(ANSWERS, lines())


def read_about() -> About:
    """When and about how much the answers were recorded."""
    return _decode_about(next(read_lines(ANSWERS)))


def read_histories() -> Iterator[History]:
    """The histories in their order; the one named `all` is of questions about the ledger as a whole."""
    lines = read_lines(ANSWERS)
    next(lines)
    for line in lines:
        yield _decode_history(line)
