"""Files of lines that grow: plain or gzip by their name, and gone on with after a crash."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from streamledger.domain.errors import StreamledgerError
from streamledger.operations.private_files import open_private

MEMBER_BYTES: Final = 4 * 1024 * 1024
"""Of lines in one gzip member: what a crash loses at most, and then is written again."""
READ_BYTES: Final = 1024 * 1024
UNPACKED_BYTES: Final = 8 * 1024 * 1024
"""Unpacked at once: a small file that unpacks to a huge one does not fill the memory."""
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Far above any line of an export, whose longest body has 256 KiB."""
GZIP_MAGIC: Final = b"\x1f\x8b"
OTHER_MAGIC: Final = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "unzip -p",
}
"""How files begin that other programs have compressed, and which of them unpacks them."""


class FileDamaged(StreamledgerError):
    """{name} cannot be read to its end: {cause}; what came before was read"""


class FileUnpackable(StreamledgerError):
    """{name} is not compressed by gzip, the only form that is unpacked here: give what {program} unpacks
    to the standard input (`-`)"""

    exit_code = 2


class LineFile:
    """A file that lines are appended to; "-" is the standard output."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        self._is_gzip = path.suffix == ".gz"
        self._buffer = io.BytesIO()
        self._end: int | None = None
        self.first_line = self.last_line = b""
        """Of what was there already, the first and the last whole line."""
        if str(path) == "-":
            self._file: IO[bytes] = sys.stdout.buffer
            return
        self._file = open_private(path, "r+b" if resume and path.exists() else "wb")
        if resume:
            self._end, self.first_line, self.last_line = _whole(self._file, is_gzip=self._is_gzip)

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        self._buffer.write(lines)
        if self._buffer.tell() >= MEMBER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._buffer.tell():
            lines = self._buffer.getvalue()
            self._buffer = io.BytesIO()
            self._file.write(gzip.compress(lines, 6, mtime=0) if self._is_gzip else lines)

    def __enter__(self) -> "LineFile":
        if self._end is not None:  # what a crash cut short is written again
            self._file.seek(self._end)
            self._file.truncate()
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.flush()
        if self._file is not sys.stdout.buffer:
            os.fsync(self._file.fileno()) if self._file.seekable() else None
            self._file.close()


def _whole(file: IO[bytes], *, is_gzip: bool) -> tuple[int, bytes, bytes]:
    """How far a file is whole, to the end of its last line or gzip member; its first and its last line."""
    if not is_gzip:
        end, first, last = 0, b"", b""
        for line in file:
            if line.endswith(b"\n"):
                end, first, last = end + len(line), first or line, line
        return end, first, last
    end = place = 0
    first = last = head = tail = b""
    member = zlib.decompressobj(wbits=31)
    while chunk := file.read(READ_BYTES):
        while chunk:
            try:
                unpacked = member.decompress(chunk)
            except zlib.error:
                return end, first, last
            head = head or unpacked.partition(b"\n")[0]
            tail = (tail + unpacked)[-READ_BYTES:]
            if not member.eof:
                place += len(chunk)
                break
            place += len(chunk) - len(member.unused_data)
            chunk = member.unused_data
            first = first or head
            end, last, tail = place, tail.splitlines(keepends=True)[-1] if tail else last, b""
            member = zlib.decompressobj(wbits=31)
    return end, first, last


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a plain or gzip file, told apart by its content; "-" is the standard input.

    Raises FileDamaged behind the last line that is whole.
    """
    if str(path) == "-":
        yield from _lines(sys.stdin.buffer, "the standard input")
        return
    with path.open("rb") as file:
        yield from _lines(file, str(path))


def _lines(file: IO[bytes], name: str) -> Iterator[bytes]:
    begin = file.read(READ_BYTES)
    for magic, program in OTHER_MAGIC.items():
        if begin.startswith(magic):
            raise FileUnpackable(name=name, program=program)
    pieces = _unpacked(file, begin, name) if begin.startswith(GZIP_MAGIC) else _plain(file, begin)
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n"
        if len(rest) > LINE_BYTES_MAX:
            raise FileDamaged(name=name, cause=f"a line is longer than {LINE_BYTES_MAX} bytes")
    if rest:
        yield rest


def _plain(file: IO[bytes], begin: bytes) -> Iterator[bytes]:
    yield begin
    while chunk := file.read(READ_BYTES):
        yield chunk


def _unpacked(file: IO[bytes], begin: bytes, name: str) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=31)
    has_begun = False
    chunk = begin
    while chunk:
        while chunk:
            try:
                piece = member.decompress(chunk, UNPACKED_BYTES)
            except zlib.error as error:
                raise FileDamaged(name=name, cause=error) from error
            has_begun = True
            yield piece
            chunk = member.unconsumed_tail
            if member.eof:
                chunk = member.unused_data.lstrip(b"\0")  # some programs fill a file up with zeros
                member, has_begun = zlib.decompressobj(wbits=31), False
        chunk = file.read(READ_BYTES)
    if has_begun:
        raise FileDamaged(name=name, cause="it ends in the middle of compressed lines")
