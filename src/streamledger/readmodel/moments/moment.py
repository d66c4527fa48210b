"""A moment on the two axes of time travel: what had happened, what was known; and a what-if beside them."""

import msgspec

from streamledger.domain.attributed import SLACK_MS
from streamledger.domain.events import Delivery
from streamledger.domain.instants import instant_ms, parse_instant_ms
from streamledger.domain.notification import Kind, Push
from streamledger.domain.session import begun_before_ms
from streamledger.domain.suspicion import Interval
from streamledger.readmodel.fold.facts import Fact
from streamledger.readmodel.fold.rows import SessionRow

POSITION_MAX = 2**63 - 1
NO_TIME_MS = 2**63 - 1
"""`as_of` when none is given: everything has happened."""


class KnownAt(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger knew: up to a position, or up to a time of receipt. Exactly one of both is set."""

    position: int | None = None
    received_us: int | None = None

    def __str__(self) -> str:
        # As it was asked for: the microseconds up to the end of that millisecond are ours.
        return (
            f"position {self.position}" if self.received_us is None else instant_ms(self.received_us // 1000)
        )


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A moment as it is asked for; nothing set means now, with all that is known."""

    as_of_ms: int | None = None
    known_at: KnownAt | None = None
    slack_ms: int | None = None
    """What if attribution granted another slack? None: that of the rules."""

    @classmethod
    def of(cls, as_of_ms: int | None, known_at: str | None, slack_s: int | None) -> "Asked | None":
        """The moment asked for; None when nothing is given. Raises ValueError or OverflowError."""
        if as_of_ms is None and known_at is None and slack_s is None:
            return None
        return cls(
            as_of_ms=as_of_ms,
            known_at=None if known_at is None else parse_known_at(known_at),
            slack_ms=None if slack_s is None else slack_s * 1000,
        )

    def __str__(self) -> str:
        parts = []
        if self.as_of_ms is not None:
            parts.append(f"as of {instant_ms(self.as_of_ms)}")
        if self.known_at is not None:
            parts.append(f"known at {self.known_at}")
        if self.slack_ms is not None:
            parts.append(f"with a slack of {self.slack_ms / 1000:g} s")
        return ", ".join(parts) or "now"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A moment with its position found: events up to there count, of facts up to `as_of_ms`."""

    position: int
    as_of_ms: int = NO_TIME_MS
    is_all_known: bool = False
    """Whether everything that the read model has taken in lies at or before `position`."""
    slack_ms: int = SLACK_MS
    absences: tuple[Interval, ...] = ()
    """Times in which nobody was there to hear, as far as they were known."""

    @property
    def margin_ms(self) -> int:
        """How far around the end of a span attribution looks, under this slack or that of the rules."""
        return 2 * max(self.slack_ms, SLACK_MS)

    def holds(self, fact: Fact) -> bool:
        """Whether the fact was known and had happened."""
        return fact.position <= self.position and happened_ms(fact) <= self.as_of_ms

    def is_begun_by(self, fact: Fact) -> bool:
        """Whether it is a stop that was still to come, of a push that its duration says had begun."""
        at_ms, detail = fact.notification.at_ms, fact.notification.detail
        if fact.notification.kind is not Kind.PUSH_STOPPED or fact.position > self.position or at_ms is None:
            return False
        began_ms = begun_before_ms(at_ms, detail) if isinstance(detail, Push) else None
        return began_ms is not None and began_ms <= self.as_of_ms < at_ms

    def is_settled(self, row: SessionRow) -> bool:
        """Whether a session's start and end, as they are known now, were so at this moment."""
        if row.position > self.position:
            return False
        if self.as_of_ms == NO_TIME_MS:
            return True
        claims = (*row.fold.starts, *row.fold.stops)
        return max(row.span_from_ms, row.span_until_ms) <= self.as_of_ms and all(
            claim.at_ms is not None for claim in claims
        )


def happened_ms(fact: Fact) -> int:
    """When the fact had happened: a recording at its content's end; without a readable time, at receipt."""
    notification = fact.notification
    at_ms = notification.at_ms if notification.at_ms is not None else notification.until_ms
    if at_ms is None:
        at_ms = fact.delivery.received_at_us // 1000
    return max(at_ms, notification.until_ms or 0)


def known_us(delivery: Delivery) -> int:
    """When the ledger learned of a delivery: at its receipt, or at its release from the quarantine."""
    return delivery.release.released_at_us if delivery.release is not None else delivery.received_at_us


def parse_known_at(text: str) -> KnownAt:
    """A position in digits, or a time of receipt in RFC 3339 with an offset. Raises ValueError."""
    if text.isascii() and text.isdigit():
        position = int(text[:20])
        if position > POSITION_MAX:
            raise ValueError("past every position")
        return KnownAt(position=position)
    # Up to the end of the millisecond: a time that an answer shows includes what was received at it.
    return KnownAt(received_us=parse_instant_ms(text) * 1000 + 999)
