"""The shapes in which the quarantine answers: the same over HTTP, on the command line and on the page."""

from typing import Any

import msgspec


class ReleaseNote(msgspec.Struct, frozen=True, kw_only=True):
    """When, by whom and why a delivery was released, and its position in the ledger."""

    at: str
    by: str
    reason: str
    position: int


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
    released: ReleaseNote | None


class QuarantinedBody(QuarantinedDelivery, frozen=True, kw_only=True):
    """The same with its body."""

    notification: dict[str, Any] | None
    """As it can be read, without its secrets; null when it cannot be read as a JSON object."""
    body: str | None
    """The exact body as text (bytes that are no UTF-8 replaced); null in read scope."""
    body_base64: str | None
    """The exact bytes; null in read scope."""
