"""How a delivery was believed and with which headers it came, as that is shown and exported: with names."""

import msgspec

from streamledger.domain.events import Belief, By, Delivery, Late, Release, RequestHeaders


class ReleaseShown(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's decision to believe a quarantined delivery."""

    quarantine_id: str
    quarantine_reason: str
    by: str
    reason: str
    released_at_us: int


class BeliefShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a delivery was believed; what is null is left out."""

    by: By
    """key, path_token, unchecked (no key was configured), release or import (its file said so)"""
    key: str | None = None
    """Name of the callback key that verified the signature."""
    late: Late | None = None
    """Believed although `t` had passed: grace, away (the receiver had been away), expired (released)."""
    release: ReleaseShown | None = None
    import_position: int | None = None
    """Position of the act of the import that brought it."""
    key_said: str | None = None
    """The key that the imported file named, where no key known here verifies the signature."""


class HeadersShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The headers of the request that are kept; what was not sent is left out."""

    user_agent: str = ""
    forwarded: str = ""
    x_forwarded_for: str = ""


def belief_shown(delivery: Delivery) -> BeliefShown:
    """How a delivery was believed, with names."""
    believed = msgspec.structs.asdict(delivery.believed)
    if delivery.release is not None:
        believed["release"] = ReleaseShown(**msgspec.structs.asdict(delivery.release))
    return BeliefShown(**believed)


def belief_of(shown: BeliefShown) -> Belief:
    """The belief that is shown so."""
    believed = msgspec.structs.asdict(shown)
    if shown.release is not None:
        believed["release"] = Release(**msgspec.structs.asdict(shown.release))
    return Belief(**believed)


def headers_named(headers: RequestHeaders) -> HeadersShown:
    """Headers with their names, as they came."""
    return HeadersShown(**msgspec.structs.asdict(headers))
