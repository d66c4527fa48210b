"""What of an imported line is believed: as much as at the intake, and never because the line says so."""

import ipaddress
import unicodedata
from collections.abc import Sequence
from typing import Final

import msgspec

from streamledger.domain.errors import MalformedBody, StreamledgerError
from streamledger.domain.events import (
    ADMIN_ACTED,
    ADMIN_ORIGINATOR,
    AdminAct,
    AdminActed,
    Belief,
    By,
    Delivery,
    DeliveryEvent,
    ForeignEvent,
    Late,
    NewEvent,
    Release,
    originator_of,
)
from streamledger.ledger import mapper, portable
from streamledger.ledger.mapper import event_class
from streamledger.ledger.portable import Line, LineInvalid
from streamledger.tencent.envelope import Envelope, read_envelope
from streamledger.tencent.signature import CallbackKey, verify

RECEIVED_US_MIN: Final = 1_262_304_000_000_000
"""2010-01-01: no receiver is older."""
RECEIVED_AHEAD_US_MAX: Final = 900_000_000
"""How far a receipt may lie ahead of this clock: those of two hosts differ."""
TEXT_CHARACTERS_MAX: Final = 500
"""Of a name or a reason in a line."""
NAME_CHARACTERS_MAX: Final = 100
MENDED_MAX: Final = 20
HEADERS_CHARACTERS_MAX: Final = 512
T_DIGITS_MAX: Final = 18


class ActsRefused(StreamledgerError):
    """a release or an act of another ledger's operators, or an event that this version cannot read"""


class ImportRules(msgspec.Struct, frozen=True, kw_only=True):
    """What decides how an imported delivery is believed, and whether it is taken at all."""

    keys: Sequence[CallbackKey] = ()
    body_bytes_max: int
    now_us: int
    with_acts: bool = False
    """Take releases and acts of the other ledger too, and events that this version cannot read."""


def event_of(read: Line, rules: ImportRules, import_position: int) -> NewEvent:
    """The event of a line, marked by the import. Raises LineInvalid, or ActsRefused."""
    state = portable.state_of(read)
    if state is None:
        return believed_anew(read.name, portable.delivery_of(read), rules, import_position, read)
    try:
        name, delivery = mapper.decode(read.name, state)
    except StreamledgerError as error:
        return _kept_to_the_byte(read, state, rules, error)
    return believed_anew(name, delivery, rules, import_position, read)


def believed_anew(
    name: str, said: Delivery, rules: ImportRules, import_position: int, read: Line
) -> DeliveryEvent:
    """The event of a delivery with this name that another ledger believed as it says."""
    check(said, rules)
    is_act = name == ADMIN_ACTED
    if (is_act or said.release is not None) and not rules.with_acts:
        raise ActsRefused
    if is_act:
        try:
            msgspec.json.decode(said.body, type=AdminAct)
        except msgspec.MsgspecError as error:
            raise LineInvalid(cause=error) from error
        believed = Belief("import", import_position=import_position)
        delivery = msgspec.structs.replace(said, believed=believed)
        return AdminActed(originator_id=ADMIN_ORIGINATOR, delivery_id=read.delivery_id, delivery=delivery)
    envelope = envelope_of(said.body)
    believed = belief_of(envelope, said.received_at_us, rules, import_position, said.believed)
    return event_class(envelope.event_type)(
        originator_id=originator_of(envelope.stream_id, envelope.event_type),
        delivery_id=read.delivery_id,
        delivery=msgspec.structs.replace(said, believed=believed),
    )


def envelope_of(body: bytes) -> Envelope:
    """The envelope of an imported body. Raises LineInvalid: what cannot be read was never believed."""
    try:
        return read_envelope(body)
    except MalformedBody as error:
        raise LineInvalid(cause=error) from error


def belief_of(
    envelope: Envelope, received_at_us: int, rules: ImportRules, import_position: int, said: Belief
) -> Belief:
    """By the key that verifies the signature here; else by the import, or by the release that it brings."""
    key = None
    if envelope.t is not None and envelope.sign is not None:
        key = verify(rules.keys, envelope.t, envelope.sign, received_at_us / 1e6)
    late: Late | None = said.late
    if key is not None and late is None and envelope.t is not None:
        digits = envelope.t.lstrip("0") or "0"
        passed = len(digits) <= T_DIGITS_MAX and int(digits) < received_at_us / 1e6
        late = "grace" if passed else None
    by: By = "release" if said.release is not None else "import" if key is None else "key"
    key_said = said.key or said.key_said
    return Belief(by, key, late, said.release, import_position, None if key_said == key else key_said)


def _kept_to_the_byte(read: Line, state: bytes, rules: ImportRules, error: StreamledgerError) -> ForeignEvent:
    if not rules.with_acts:
        raise ActsRefused from error
    if len(state) > rules.body_bytes_max + 10 * TEXT_CHARACTERS_MAX:
        raise LineInvalid(cause="the state is too large") from error
    _check_text("name", read.name, NAME_CHARACTERS_MAX)
    _check_text("originator", read.originator, TEXT_CHARACTERS_MAX)
    if not read.name or not read.originator:
        raise LineInvalid(cause="name and originator must not be empty") from error
    return ForeignEvent(
        originator_id=read.originator, delivery_id=read.delivery_id, name=read.name, state=state
    )


def check(said: Delivery, rules: ImportRules) -> None:
    """The intake's limits. Raises LineInvalid."""
    if len(said.body) > rules.body_bytes_max:
        raise LineInvalid(cause=f"the body has more than {rules.body_bytes_max} bytes")
    if not RECEIVED_US_MIN <= said.received_at_us <= rules.now_us + RECEIVED_AHEAD_US_MAX:
        raise LineInvalid(cause="received_at_us is no time at which a delivery can have been received")
    if said.source_ip:
        try:
            ipaddress.ip_address(said.source_ip)
        except ValueError as error:
            raise LineInvalid(cause="source_ip is no address") from error
    for name in (said.believed.key, said.believed.key_said):
        _check_text("key", name or "", NAME_CHARACTERS_MAX)
    if len(said.mended) > MENDED_MAX:
        raise LineInvalid(cause="mended is too long")
    for each in said.mended:
        _check_text("mended", each, NAME_CHARACTERS_MAX)
    headers = said.headers
    if len(headers.user_agent + headers.forwarded + headers.x_forwarded_for) > HEADERS_CHARACTERS_MAX:
        raise LineInvalid(cause=f"the headers have more than {HEADERS_CHARACTERS_MAX} characters")
    if said.release is not None:
        _check_release(said.release, rules)


def _check_release(release: Release, rules: ImportRules) -> None:
    for name in ("quarantine_id", "quarantine_reason", "by", "reason"):
        _check_text(name, getattr(release, name), TEXT_CHARACTERS_MAX)
    if not RECEIVED_US_MIN <= release.released_at_us <= rules.now_us + RECEIVED_AHEAD_US_MAX:
        raise LineInvalid(cause="released_at_us is no time at which a delivery can have been released")


def _check_text(name: str, text: str, characters_max: int) -> None:
    """No control characters, nothing that turns the direction of a line, no half of a pair."""
    if len(text) > characters_max or any(
        unicodedata.category(character).startswith("C") and character not in "\n\t" for character in text
    ):
        raise LineInvalid(cause=f"{name}: expected at most {characters_max} characters, none of control")
