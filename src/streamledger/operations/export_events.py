"""Export the ledger as lines of JSON, whole or by stream and time, and go on where a file ends."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import originator_of
from streamledger.ledger import mapper, portable, reader
from streamledger.ledger.portable import Head
from streamledger.ledger.reader import Row

PAGE_EVENTS: Final = 4000


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to export."""

    after: int = 0
    """Position after which to begin."""
    stream_id: str | None = None
    from_us: int | None = None
    """Received at or after, microseconds since 1970."""
    to_us: int | None = None
    """Received before."""
    redacted: bool = False

    @property
    def head(self) -> Head:
        """The first line of a file of these events."""
        return Head(redacted=self.redacted, stream_id=self.stream_id, from_us=self.from_us, to_us=self.to_us)


class ResumeMismatch(StreamledgerError):
    """{name} cannot be gone on with: {cause}"""

    exit_code = 2


def resumed(wanted: Wanted, name: str, first_line: bytes, last_line: bytes) -> Wanted:
    """What is still wanted for a file with these first and last lines. Raises ResumeMismatch.

    A file that holds other events than are wanted now is left as it is.
    """
    try:
        head = portable.head_of(first_line)
        if head is None:
            raise ResumeMismatch(name=name, cause="it is no export of a ledger")
        if head != wanted.head:
            raise ResumeMismatch(
                name=name, cause="it was exported with another --stream, --from, --to or --redact"
            )
        reached = 0 if portable.head_of(last_line) else portable.position_of(last_line)
    except (portable.LineInvalid, portable.FormatUnknown) as error:
        raise ResumeMismatch(name=name, cause=error) from error
    return msgspec.structs.replace(wanted, after=max(wanted.after, reached))


class Exported(msgspec.Struct, kw_only=True):
    """How far an export has come."""

    events: int = 0
    position: int = 0
    """Of the last event looked at: `--after` this goes on."""


def export_events(
    connection: psycopg.Connection[Any],
    wanted: Wanted,
    write: Callable[[bytes], object],
    on_page: Callable[[Exported], None] = lambda _: None,
) -> Exported:
    """Write the events that are there now, in order; `on_page` is called after each page of lines."""
    done = Exported(position=wanted.after)
    head = reader.head(connection)
    for page in _pages(connection, wanted, head):
        lines = [portable.line_of(row, redacted=wanted.redacted) for row in page if _is_in_time(row, wanted)]
        if lines:
            write(b"".join(lines))
        done.events += len(lines)
        done.position = page[-1][0]
        on_page(done)
    done.position = max(done.position, head)
    return done


def _pages(connection: psycopg.Connection[Any], wanted: Wanted, head: int) -> Iterator[list[Row]]:
    after = wanted.after
    if wanted.stream_id is None:
        while page := reader.read_rows_after(connection, after, PAGE_EVENTS, head):
            yield page
            after = page[-1][0]
        return
    version = 0
    originator = originator_of(wanted.stream_id, 0)
    while page := reader.read_rows_of(connection, originator, version, head, PAGE_EVENTS):
        version = page[-1][2]
        later = [row for row in page if row[0] > after]
        if later:
            yield later


def _is_in_time(row: Row, wanted: Wanted) -> bool:
    if wanted.from_us is None and wanted.to_us is None:
        return True
    received_us = mapper.decode(row[3], bytes(row[4]))[1].received_at_us
    return (wanted.from_us is None or received_us >= wanted.from_us) and (
        wanted.to_us is None or received_us < wanted.to_us
    )
