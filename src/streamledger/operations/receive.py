"""Receive one delivery: read it, judge it, keep it, and say what became of it."""

from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec

from streamledger.domain.errors import MalformedBody
from streamledger.domain.events import Delivery, event_name, originator_of
from streamledger.ledger import mapper
from streamledger.ledger.append import SIGNED_REASONS, NewEvent, NewQuarantined
from streamledger.ledger.appender import Appender, DeliveryUnstorable
from streamledger.ledger.delivery_id import new_delivery_id
from streamledger.operations.refusal_limit import RefusalLimit
from streamledger.tencent.envelope import Envelope, read_envelope
from streamledger.tencent.judgement import Judgement, Verdict, judge
from streamledger.tencent.signature import CallbackKey

MALFORMED = "malformed"


class Outcome(StrEnum):
    """What became of a delivery; the HTTP edge has one status for each."""

    STORED = "stored"  # in the ledger, on disk
    SET_ASIDE = "set_aside"  # signed but not believed: in the quarantine, on disk; a retry would not help
    REFUSED = "refused"  # not signed, or wrongly
    UNREADABLE = "unreadable"
    NO_ROOM = "no_room"  # signed, but the quarantine is full: not acknowledged
    TOO_MANY = "too_many"  # refused, and its address was refused too often: counted only


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one delivery."""

    outcome: Outcome
    position: int | None = None
    """In the ledger, when stored there."""
    reason: str | None = None
    """Of the quarantine."""
    detail: str | None = None
    """Which field, what was expected, what came."""


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether a delivery is believed."""

    keys: Sequence[CallbackKey]
    grace_s: int
    ahead_s_max: int
    path_token_configured: bool = False


class Receiver:
    """Receives deliveries; `clock_us` gives microseconds since 1970 UTC."""

    def __init__(
        self,
        appender: Appender,
        trust: Trust,
        clock_us: Callable[[], int],
        refusals: RefusalLimit | None = None,
    ) -> None:
        self._appender = appender
        self._trust = trust
        self._clock_us = clock_us
        self._refusals = refusals or RefusalLimit(0)

    def use_keys(self, keys: Sequence[CallbackKey]) -> None:
        """Judge by these keys from the next delivery on."""
        self._trust = msgspec.structs.replace(self._trust, keys=keys)

    def count(self, outcome: str) -> None:
        """Count a request that was refused before its body was read."""
        self._appender.count(f"refused:{outcome}")

    @property
    def queue_length(self) -> int:
        """Deliveries that wait for the store in this process."""
        return self._appender.queue_length

    @property
    def retry_after_s(self) -> int:
        """When an address that was refused too often may expect to be looked at again."""
        return self._refusals.retry_after_s

    def may_be_refused_again(self, source_ip: str) -> bool:
        """Whether one more refusal of this address is looked after; when not, it is counted here and now."""
        allowed = self._refusals.allows(source_ip, self._clock_us())
        if not allowed:
            self.count("rate_limited")
        return allowed

    async def receive(self, body: bytes, source_ip: str, *, path_token_matched: bool = False) -> Receipt:
        """Keep one delivery; returns once it is on disk.

        Raises QueueFull or StoreUnavailable when it cannot be kept anywhere now.
        """
        now_us = self._clock_us()
        try:
            envelope = read_envelope(body)
        except MalformedBody as error:
            if not self.may_be_refused_again(source_ip):
                return Receipt(outcome=Outcome.TOO_MANY)
            return await self._set_aside(MALFORMED, body, source_ip, now_us, detail=str(error))
        trust = self._trust
        judgement = judge(
            envelope,
            trust.keys,
            now_us / 1e6,
            trust.grace_s,
            trust.ahead_s_max,
            path_token_matched,
            trust.path_token_configured,
        )
        if judgement.verdict is not Verdict.BELIEVED:
            if judgement.verdict not in SIGNED_REASONS and not self.may_be_refused_again(source_ip):
                return Receipt(outcome=Outcome.TOO_MANY)
            return await self._set_aside(
                judgement.verdict.value, body, source_ip, now_us, envelope=envelope, judgement=judgement
            )
        state = mapper.encode(
            Delivery(
                body=body,
                received_at_us=now_us,
                source_ip=source_ip,
                key=judgement.key,
                t_passed=judgement.t_passed,
                mended=envelope.mended,
            )
        )
        event = NewEvent(
            originator_of(envelope.stream_id, envelope.event_type),
            event_name(envelope.event_type),
            state,
            new_delivery_id(now_us),
        )
        try:
            position = await self._appender.append(event)
        except DeliveryUnstorable as error:
            return await self._set_aside(MALFORMED, body, source_ip, now_us, detail=str(error))
        return Receipt(outcome=Outcome.STORED, position=position)

    async def _set_aside(
        self,
        reason: str,
        body: bytes,
        source_ip: str,
        now_us: int,
        *,
        envelope: Envelope | None = None,
        judgement: Judgement | None = None,
        detail: str | None = None,
    ) -> Receipt:
        row = NewQuarantined(
            delivery_id=new_delivery_id(now_us),
            reason=reason,
            received_at_us=now_us,
            source_ip=source_ip,
            body=body,
            event_type=envelope.event_type if envelope else None,
            stream_id=envelope.stream_id if envelope else None,
            sequence=envelope.sequence if envelope else None,
            key=judgement.key if judgement else None,
            detail=detail.replace("\0", "\N{REPLACEMENT CHARACTER}") if detail else None,
        )
        kept = await self._appender.quarantine(row)
        if reason in SIGNED_REASONS:
            outcome = Outcome.SET_ASIDE if kept else Outcome.NO_ROOM
        else:
            outcome = Outcome.UNREADABLE if reason == MALFORMED else Outcome.REFUSED
        return Receipt(outcome=outcome, reason=reason, detail=detail)
