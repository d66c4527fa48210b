"""The ledger as lines of JSON: an event a line, with the bytes as received and the verdict of then."""

import base64
import binascii
import uuid
from typing import Any, Final

import msgspec

from streamledger.domain.beliefs import (
    BeliefShown,
    HeadersShown,
    ReleaseShown,
    belief_of,
    belief_shown,
    headers_named,
)
from streamledger.domain.errors import MalformedBody, StreamledgerError
from streamledger.domain.events import Delivery, RequestHeaders
from streamledger.ledger import mapper
from streamledger.ledger.reader import Row
from streamledger.tencent.redaction import redact
from streamledger.tencent.shown_body import headers_shown
from streamledger.tencent.tolerant import parse_object

FORMAT: Final = "streamledger-events"
FORMAT_VERSION: Final = 2
READABLE_VERSIONS: Final = (1, 2)
"""Version 1 had key, t_passed and release of a line where 2 has believed, and no headers."""


class LineInvalid(StreamledgerError):
    """expected a line of an export of events: {cause}"""


class RedactedImport(StreamledgerError):
    """line {number}: this export is redacted: it is for playing (simulate --from) and reading, it is not the
    truth"""

    exit_code = 2


class FormatUnknown(StreamledgerError):
    """line {number}: the file is of the format {format} {version}, and this version reads {expected}
    {expected_version}"""

    exit_code = 2


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of an export; it may stand in between too, where exports were joined."""

    format: str = FORMAT
    version: int = FORMAT_VERSION
    redacted: bool = False
    """Whether secrets were taken out: such lines can be played and read, never imported as the truth."""
    stream_id: str | None = None
    """The one stream whose events these are; None for all."""
    from_us: int | None = None
    to_us: int | None = None
    """Received at or after, and before, microseconds since 1970; None for any time."""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event. Of body, body_base64 and state_base64 there is exactly one."""

    position: int
    """In the ledger it was exported from; another ledger gives it another one."""
    delivery_id: uuid.UUID
    name: str
    originator: str
    received_at_us: int = 0
    source_ip: str = ""
    believed: BeliefShown | None = None
    mended: tuple[str, ...] = ()
    headers: HeadersShown = HeadersShown()
    key: str | None = None
    """This, `t_passed` and `release` are of version 1, read and never written."""
    t_passed: bool = False
    release: ReleaseShown | None = None
    body: str | None = None
    """As received, where that is UTF-8."""
    body_base64: str | None = None
    state_base64: str | None = None
    """The state as stored, of an event that this version does not know."""
    redacted: bool = False
    """As in the head, which may be lost where lines are picked from a file."""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line, strict=False).decode
_decode_head = msgspec.json.Decoder(Head).decode


def head_line(head: Head) -> bytes:
    """The first line of an export."""
    given = {name: value for name, value in msgspec.structs.asdict(head).items() if value is not None}
    return _encode(given) + b"\n"


def head_of(line: bytes, number: int = 1) -> Head | None:
    """The head that a line is; None when it is an event. Raises LineInvalid, or FormatUnknown."""
    if not line.startswith(b'{"format"'):
        return None
    try:
        head = _decode_head(line)
    except msgspec.MsgspecError as error:
        raise LineInvalid(cause=error) from error
    if head.format != FORMAT or head.version not in READABLE_VERSIONS:
        raise FormatUnknown(
            number=number,
            format=head.format,
            version=head.version,
            expected=FORMAT,
            expected_version=" and ".join(map(str, READABLE_VERSIONS)),
        )
    return head


def line_of(row: Row, *, redacted: bool = False) -> bytes:
    """The line of a ledger row (of `reader.COLUMNS`). Redacted, secrets and the signature are taken out."""
    position, originator, _, name, state, delivery_id = row
    given: dict[str, Any] = {
        "position": position,
        "delivery_id": delivery_id,
        "originator": originator,
        "redacted": redacted,
    }
    try:
        current, delivery = mapper.decode(name, bytes(state))
    except StreamledgerError:
        current, delivery = name, None
    # Only what comes back to the same bytes is shown field by field: an export loses nothing.
    if delivery is None or current != name or mapper.encode(delivery) != state:
        # What cannot be read cannot be redacted either.
        encoded = None if redacted else base64.b64encode(state).decode()
        return _encode(Line(**given, name=name, state_base64=encoded)) + b"\n"
    body = delivery.body
    if redacted:
        try:
            body = _redacted(body)
        except MalformedBody:  # what cannot be read cannot be redacted: the line goes without it
            return _encode(Line(**given, name=name, received_at_us=delivery.received_at_us)) + b"\n"
    try:
        given["body"] = body.decode()
    except UnicodeDecodeError:
        given["body_base64"] = base64.b64encode(body).decode()
    return (
        _encode(
            Line(
                **given,
                name=name,
                received_at_us=delivery.received_at_us,
                source_ip=delivery.source_ip,
                believed=belief_shown(delivery),
                mended=delivery.mended,
                headers=headers_shown(delivery.headers) if redacted else headers_named(delivery.headers),
            )
        )
        + b"\n"
    )


def _redacted(body: bytes) -> bytes:
    shown: bytes = _encode(redact(parse_object(body)[0]))
    return shown


def position_of(line: bytes) -> int:
    """The position that a line of an event says. Raises LineInvalid."""
    try:
        return _decode(line).position
    except msgspec.MsgspecError as error:
        raise LineInvalid(cause=error) from error


def read_line(line: bytes, number: int = 1) -> Line:
    """The event that a line holds, as it says. Raises LineInvalid, or RedactedImport."""
    try:
        read = _decode(line)
    except msgspec.MsgspecError as error:
        raise LineInvalid(cause=error) from error
    if read.redacted:
        raise RedactedImport(number=number)
    return read


def state_of(read: Line) -> bytes | None:
    """The state as stored, of a line that holds nothing else. Raises LineInvalid."""
    if read.state_base64 is None:
        return None
    return _from_base64(read.state_base64)


def delivery_of(read: Line) -> Delivery:
    """The delivery of a line, believed as the line says: it proves nothing of that. Raises LineInvalid."""
    try:
        body = _body_of(read)
    except UnicodeEncodeError as error:
        raise LineInvalid(cause=error) from error
    return Delivery(
        body=body,
        received_at_us=read.received_at_us,
        source_ip=read.source_ip,
        believed=belief_of(read.believed or _belief_of_version_1(read)),
        mended=read.mended,
        headers=RequestHeaders(**msgspec.structs.asdict(read.headers)),
    )


def _belief_of_version_1(read: Line) -> BeliefShown:
    if read.release is not None:
        return BeliefShown(
            by="release", key=read.key, late="expired" if read.t_passed else None, release=read.release
        )
    if read.key is not None:
        return BeliefShown(by="key", key=read.key, late="grace" if read.t_passed else None)
    return BeliefShown(by="unchecked")


def _body_of(read: Line) -> bytes:
    if read.body is not None and read.body_base64 is None:
        return read.body.encode()
    if read.body_base64 is not None and read.body is None:
        return _from_base64(read.body_base64)
    raise LineInvalid(cause="body or body_base64 is missing, or both are there")


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise LineInvalid(cause=error) from error
