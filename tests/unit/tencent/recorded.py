"""Some thousand odd bodies and what was read from each, kept as data."""

import lzma
from pathlib import Path
from typing import Any, Final

import msgspec

from streamledger.domain.errors import MalformedBody
from streamledger.tencent.reader import read_with_t

RECORDED: Final = Path(__file__).parents[2] / "golden" / "bodies" / "read.msgpack.xz"


def recorded() -> list[tuple[bytes, Any]]:
    """The bodies, each with what `given` gave for it."""
    return msgspec.msgpack.decode(lzma.decompress(RECORDED.read_bytes()), type=list[tuple[bytes, Any]])


def given(body: bytes) -> Any:
    """What is read from a body: the notification and its t, or why it is malformed."""
    try:
        notification, t = read_with_t(body)
    except MalformedBody as error:
        return str(error)
    return msgspec.msgpack.decode(msgspec.msgpack.encode([notification, t]))


if __name__ == "__main__":
    rows = [(body, given(body)) for body, _ in recorded()]
    RECORDED.write_bytes(lzma.compress(msgspec.msgpack.encode(rows), preset=9 | lzma.PRESET_EXTREME))
