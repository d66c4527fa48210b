"""The shapes in which the quarantine answers: the same over HTTP, on the command line and on the page."""

from typing import Any

import msgspec

from streamledger.domain.beliefs import HeadersShown


class ReleaseNote(msgspec.Struct, frozen=True, kw_only=True):
    """When, by whom and why a delivery was released, and its position in the ledger."""

    at: str
    by: str
    reason: str
    position: int


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a body cannot be read, in codes; `detail` says the same in English."""

    field: str
    """body, or the name of a field"""
    expected: str
    """json_object, strict_json or integer"""
    got: str
    """empty, cut, more, no_value_at, no_colon_at, no_comma_at, else_at, else, bytes, list, object or value"""
    at: int | None = None
    """The character, counted from 1, at which it goes wrong."""
    count: int | None = None
    """How many bytes there are, where they are too many."""
    least: int | None = None
    most: int | None = None
    value: str | None = None
    """What stands there instead, without secrets."""


class QuarantinedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was set aside; `reason` is one of the table in docs/security.md."""

    id: str
    reason: str
    received_at: str
    source_ip: str
    bytes: int
    event_type: int | None
    stream_id: str | None
    sequence: str | None
    key: str | None
    detail: str | None
    fault: Fault | None = None
    """Of a malformed one (in a list, of up to 2 KiB): where it goes wrong, by the reader of now."""
    released: ReleaseNote | None


class QuarantinedBody(QuarantinedDelivery, frozen=True, kw_only=True):
    """The same with its body."""

    headers: HeadersShown
    mended: list[str]
    """What the tolerant reader had to mend at receipt."""
    notification: dict[str, Any] | None
    """As it can be read, without its secrets; null when it cannot be read as a JSON object."""
    cut: bool = False
    """Whether fields were left out because it is large."""
    body: str | None
    """The exact body as text (bytes that are no UTF-8 replaced); null in read scope."""
    body_base64: str | None
    """The exact bytes; null in read scope."""
