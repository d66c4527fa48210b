"""Import events: from an export of a ledger, or from plain bodies of another receiver's log."""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

import msgspec
import psycopg

from streamledger.domain.errors import MalformedBody, StreamledgerError
from streamledger.domain.events import Belief, Delivery, ForeignEvent, NewEvent, originator_of
from streamledger.domain.instants import parse_instant_ms
from streamledger.ledger import portable, reader
from streamledger.ledger.acts import Actor
from streamledger.ledger.application import Ledger
from streamledger.ledger.mapper import event_class
from streamledger.ledger.portable import LineInvalid, RedactedImport
from streamledger.operations.imported_delivery import ActsRefused, ImportRules, belief_of, event_of
from streamledger.operations.imported_delivery import check as check_limits
from streamledger.tencent.envelope import read_envelope

CHUNK_EVENTS: Final = 5000
"""Stored in one transaction: live deliveries wait for the lock as long, some 100 ms."""
FAULTS_SHOWN_MAX: Final = 10
COUNTS: Final = ("lines", "stored", "known", "differing", "left_out", "invalid")
"""What the act at the end says."""


class Imported(msgspec.Struct, kw_only=True):
    """How far an import has come."""

    lines: int = 0
    stored: int = 0
    known: int = 0
    """Deliveries that were in the ledger already."""
    differing: int = 0
    """Likewise, but with another body than the line's: the ledger's stays."""
    left_out: int = 0
    """Releases, acts and unreadable events of another ledger, which were not asked for."""
    invalid: int = 0
    faults: list[str] = []
    """The first lines that are invalid, each with its number and what is wrong, or that differ."""


class _PlainLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body with its time, where it does not stand alone on its line. A body has other fields too."""

    body: msgspec.Raw
    received_at: str | int | None = None
    source_ip: str = ""


_decode_plain: Final = msgspec.json.Decoder(_PlainLine).decode


def import_events(
    connection: psycopg.Connection[Any],
    ledger: Ledger,
    lines: Iterable[bytes],
    *,
    plain: bool,
    rules: ImportRules,
    actor: Actor,
    source: str = "",
    on_progress: Callable[[Imported], None] = lambda _: None,
) -> Imported:
    """Append the events of these lines in their order; those whose delivery id is known are passed over.

    It is an act of the ledger, at its begin (`source` says of what) and at its end, which has the counts and
    the SHA-256 of the lines; each event names the position of the first. What is stored stays when this ends
    early; importing the same again goes on. Raises RedactedImport or FormatUnknown.
    """
    done = Imported()
    begun = ledger.act(
        connection, "import-begun", actor, {"source": source, "plain": plain, "with_acts": rules.with_acts}
    )
    digest = hashlib.sha256()
    read = (_plain_events if plain else _exported_events)(_digested(lines, digest), rules, begun, done)
    # While PostgreSQL takes one chunk in, the next is read.
    with ThreadPoolExecutor(1, "import") as pool:
        under_way: Future[None] | None = None
        while chunk := list(islice(read, CHUNK_EVENTS)):
            if under_way is not None:
                under_way.result()
                on_progress(done)
            under_way = pool.submit(_store, connection, ledger, chunk, done)
        if under_way is not None:
            under_way.result()
    counts = {name: getattr(done, name) for name in COUNTS}
    ledger.act(
        connection, "import-ended", actor, {"import_position": begun, "sha256": digest.hexdigest(), **counts}
    )
    on_progress(done)
    return done


def _digested(lines: Iterable[bytes], digest: "hashlib._Hash") -> Iterator[bytes]:
    for line in lines:
        digest.update(line)
        yield line


def _id_of(digest: bytes) -> uuid.UUID:
    """A version 8 UUID (RFC 9562: of the application's own making) of a 16-byte digest."""
    octets = bytearray(digest)
    octets[6] = octets[6] & 0x0F | 0x80
    octets[8] = octets[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(octets))


def _store(
    connection: psycopg.Connection[Any], ledger: Ledger, chunk: list[NewEvent], done: Imported
) -> None:
    try:
        stored = ledger.take_over(connection, chunk)
    except (psycopg.DataError, psycopg.ProgrammingError, UnicodeEncodeError) as error:
        if len(chunk) == 1:  # text that PostgreSQL cannot hold
            _fault(done, f"delivery {chunk[0].delivery_id}: {str(error).partition(chr(10))[0]}")
            return
        half = len(chunk) // 2
        _store(connection, ledger, chunk[:half], done)
        _store(connection, ledger, chunk[half:], done)
        return
    done.stored += stored
    differing = list(_differing(connection, chunk)) if stored < len(chunk) else []
    for sentence in differing:
        _tell(done, sentence)
    done.differing += len(differing)
    done.known += len(chunk) - stored - len(differing)


def _differing(connection: psycopg.Connection[Any], chunk: list[NewEvent]) -> Iterator[str]:
    """A sentence for each event whose delivery is in the ledger with another content."""
    stored = {
        row[-1]: row
        for row in reader.read_rows_of_deliveries(connection, [event.delivery_id for event in chunk])
    }
    for event in chunk:
        if (row := stored.get(str(event.delivery_id))) is not None and not _is_the_same(event, row):
            what = "state" if isinstance(event, ForeignEvent) else "body"
            yield (
                f"delivery {event.delivery_id}: expected the {what} of the event at position {row[0]},"
                " got another"
            )


def _is_the_same(event: NewEvent, row: reader.Row) -> bool:
    if isinstance(event, ForeignEvent):
        return bool(event.state == row[4])
    try:
        return event.delivery.body == reader.event_of(row).delivery.body
    except StreamledgerError:
        return False  # an event that this version cannot read


def _fault(done: Imported, sentence: str) -> None:
    done.invalid += 1
    _tell(done, sentence)


def _tell(done: Imported, sentence: str) -> None:
    if len(done.faults) < FAULTS_SHOWN_MAX:
        done.faults.append(sentence)


def _exported_events(
    lines: Iterable[bytes], rules: ImportRules, begun: int, done: Imported
) -> Iterator[NewEvent]:
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            head = portable.head_of(line, number)
            if head is not None:
                if head.redacted:
                    raise RedactedImport(number=number)
                continue
            done.lines += 1
            event = event_of(portable.read_line(line, number), rules, begun)
        except ActsRefused:
            done.left_out += 1
            continue
        except LineInvalid as error:
            _fault(done, f"line {number}: {error}")
            continue
        yield event


def _plain_events(
    lines: Iterable[bytes], rules: ImportRules, begun: int, done: Imported
) -> Iterator[NewEvent]:
    """A line is a body, or `{"body": ..., "received_at": ..., "source_ip": ...}`, body as text or object."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not text:
            continue
        done.lines += 1
        try:
            yield _plain_event(text, number, rules, begun)
        except (LineInvalid, MalformedBody, ValueError, OverflowError) as error:
            _fault(done, f"line {number}: {error}")


def _plain_event(text: bytes, number: int, rules: ImportRules, begun: int) -> NewEvent:
    body, received_us, source_ip = text, rules.now_us, ""
    try:
        given = _decode_plain(text)
    except msgspec.MsgspecError:
        pass  # a bare body
    else:
        body = bytes(given.body)
        if body.startswith(b'"'):
            body = msgspec.json.decode(body, type=str).encode()
        source_ip = given.source_ip
        if given.received_at is not None:
            received_us = parse_instant_ms(str(given.received_at)) * 1000
    envelope = read_envelope(body)
    # The same file twice gives the same ids: stored once. A body that came twice stands on two lines.
    digest = hashlib.blake2b(b"%d\n%s" % (number, text), digest_size=16, person=b"plain-import").digest()
    delivery = Delivery(
        body=body,
        received_at_us=received_us,
        source_ip=source_ip,
        believed=belief_of(envelope, received_us, rules, begun, Belief("import")),
        mended=envelope.mended,
    )
    check_limits(delivery, rules)
    return event_class(envelope.event_type)(
        originator_id=originator_of(envelope.stream_id, envelope.event_type),
        delivery_id=_id_of(digest),
        delivery=delivery,
    )
