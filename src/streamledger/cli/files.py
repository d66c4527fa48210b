"""Files of lines that grow: plain or gzip by their name, and gone on with after a crash."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final

MEMBER_BYTES: Final = 4 * 1024 * 1024
"""Of lines in one gzip member: what a crash loses at most, and then is written again."""
READ_BYTES: Final = 1024 * 1024


class LineFile:
    """A file that lines are appended to; "-" is the standard output."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._is_gzip = path.suffix == ".gz"
        self._buffer = io.BytesIO()
        self.last_line = b""
        """Of what was there already, the last whole line."""
        if str(path) == "-":
            self._file: IO[bytes] = sys.stdout.buffer
            return
        self._file = path.open("r+b" if resume and path.exists() else "wb")
        if resume:
            end, self.last_line = _whole(self._file, is_gzip=self._is_gzip)
            self._file.seek(end)
            self._file.truncate()

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        self._buffer.write(lines)
        if self._buffer.tell() >= MEMBER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._buffer.tell():
            lines = self._buffer.getvalue()
            self._file.write(gzip.compress(lines, 6, mtime=0) if self._is_gzip else lines)
            self._buffer = io.BytesIO()

    def __enter__(self) -> "LineFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._file.flush()
        if self._file is not sys.stdout.buffer:
            os.fsync(self._file.fileno())
            self._file.close()


def _whole(file: IO[bytes], *, is_gzip: bool) -> tuple[int, bytes]:
    """How far a file is whole: to the end of its last line, or of its last gzip member; and its last line."""
    if not is_gzip:
        end, last = 0, b""
        for line in file:
            if line.endswith(b"\n"):
                end, last = end + len(line), line
        return end, last
    end = place = 0
    last = tail = b""
    member = zlib.decompressobj(wbits=31)
    while chunk := file.read(READ_BYTES):
        while chunk:
            try:
                tail = (tail + member.decompress(chunk))[-READ_BYTES:]
            except zlib.error:
                return end, last
            if not member.eof:
                place += len(chunk)
                break
            place += len(chunk) - len(member.unused_data)
            chunk = member.unused_data
            end, last, tail = place, tail.splitlines(keepends=True)[-1] if tail else last, b""
            member = zlib.decompressobj(wbits=31)
    return end, last


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a plain or gzip file, told apart by its content; "-" is the standard input, plain."""
    if str(path) == "-":
        yield from sys.stdin.buffer
        return
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if is_gzip:
            with gzip.open(file) as unpacked:
                yield from unpacked
        else:
            yield from file
