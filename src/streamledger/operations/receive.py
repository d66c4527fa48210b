"""Receive one delivery: read it, judge it, keep it, and say what became of it."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from streamledger.domain.errors import MalformedBody, StoreUnavailable
from streamledger.domain.events import (
    NO_HEADERS,
    UNCHECKED,
    Belief,
    Delivery,
    RequestHeaders,
    originator_of,
)
from streamledger.ledger.appender import Appender, DeliveryUnstorable, QueueFull
from streamledger.ledger.delivery_id import new_delivery_id
from streamledger.ledger.mapper import event_class
from streamledger.ledger.quarantining import SIGNED_REASONS, NewQuarantined
from streamledger.operations.absences import Absences
from streamledger.operations.refusal_limit import RefusalLimit, weight_of
from streamledger.operations.second_budget import SecondBudget
from streamledger.tencent.envelope import Envelope, read_envelope, read_strict_envelope, read_usual_envelope
from streamledger.tencent.judgement import Judgement, Verdict, judge
from streamledger.tencent.signature import CallbackKey
from streamledger.tencent.tolerant import TOLERANT_BODY_BYTES_MAX, nests_too_deep

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
    delivery_id: uuid.UUID | None = None
    """Of what was kept, in the ledger or the quarantine; None where it was only counted."""
    is_late: bool = False
    """Whether the answer is to be held back: too many such came from everywhere."""


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether a delivery is believed."""

    keys: Sequence[CallbackKey]
    grace_s: int
    ahead_s_max: int
    path_token_configured: bool = False
    path_token_required: bool = False


class ReceiverLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What is spent on deliveries that prove nothing: the settings of the same names."""

    refused_per_minute_max: int = 0
    tolerant_bytes_max: int = 16 * 1024
    tolerant_bytes_per_s_max: int = 512 * 1024
    refused_kept_per_s_max: int = 200
    refused_waiting_bytes_max: int = 4 * 1024 * 1024


class TooManyRefused(Exception):
    """A delivery is not looked into: its address, or all of them together, were refused too often."""


class _AtReceipt(msgspec.Struct, frozen=True):
    """What came, from where, and when."""

    body: bytes
    source_ip: str
    headers: RequestHeaders
    now_us: int


class Begun(msgspec.Struct, frozen=True):
    """A delivery that is believed, and waits to be on disk."""

    position: "asyncio.Future[int]"
    receipt: _AtReceipt
    delivery_id: uuid.UUID


def belief_of(judgement: Judgement, *, path_token_matched: bool) -> Belief:
    """How a delivery was believed that this judgement believes."""
    if judgement.key is not None:
        return Belief("key", judgement.key, "grace" if judgement.t_passed else None)
    return _BY_PATH_TOKEN if path_token_matched else UNCHECKED


_BY_PATH_TOKEN: Final = Belief("path_token")


class Receiver:
    """Receives deliveries; `clock_us` gives microseconds since 1970 UTC."""

    def __init__(
        self,
        appender: Appender,
        trust: Trust,
        clock_us: Callable[[], int],
        limits: ReceiverLimits | None = None,
        note_limit: Callable[[str, str], None] = lambda _name, _address: None,
        absences: Absences | None = None,
    ) -> None:
        """`note_limit` is told the name of a limit that was reached, and by whom; with `absences` a delivery
        that had to wait while nobody was there is believed."""
        limits = limits or ReceiverLimits()
        self._appender = appender
        self._trust = trust
        self._clock_us = clock_us
        self._note_limit = note_limit
        self._refusals = RefusalLimit(limits.refused_per_minute_max)
        self._limits = limits
        self._absences = absences
        self._tolerance = SecondBudget(limits.tolerant_bytes_per_s_max)
        self._keeping = SecondBudget(limits.refused_kept_per_s_max)
        self._refused_waiting_bytes = 0

    def use_keys(self, keys: Sequence[CallbackKey]) -> None:
        """Judge by these keys from the next delivery on."""
        self._trust = msgspec.structs.replace(self._trust, keys=keys)

    def count(self, outcome: str) -> None:
        """Count a request that was refused before its body was read."""
        self._appender.count(f"refused:{outcome}")

    def count_apart(self, counter: str) -> None:
        """Count what is no delivery."""
        self._appender.count(counter)

    @property
    def queue_length(self) -> int:
        """Deliveries that wait for the store in this process."""
        return self._appender.queue_length

    @property
    def retry_after_s(self) -> int:
        """When an address that was refused too often may expect to be looked at again."""
        return self._refusals.retry_after_s

    def may_be_refused_again(self, source_ip: str, size: int = 0) -> bool:
        """Whether one more refusal of this address is looked after; when not, it is counted here and now."""
        allowed = self._refusals.allows(source_ip, self._clock_us(), size)
        if not allowed:
            self._count_rate_limited("refused_per_minute_max", source_ip)
        return allowed

    def _count_rate_limited(self, limit: str, source_ip: str) -> None:
        self.count("rate_limited")
        self._note_limit(limit, source_ip)

    def _read(self, body: bytes, source_ip: str, now_us: int) -> tuple[Envelope, bool]:
        """What judging a body needs, and whether it is strict JSON.

        What is not shows its signature to the tolerant reader alone, whose time strangers must not have.
        Raises MalformedBody or TooManyRefused.
        """
        used_up = self._refusals.is_used_up(source_ip, now_us)
        large = len(body) > self._limits.tolerant_bytes_max
        envelope = (read_usual_envelope if used_up and large else read_strict_envelope)(body)
        if envelope is not None:
            return envelope, True
        if used_up:
            self._count_rate_limited("refused_per_minute_max", source_ip)
            raise TooManyRefused
        if large:
            self._note_limit("tolerant_bytes_max", source_ip)
            raise MalformedBody(
                field="body",
                expected=f"strict JSON, or at most {self._limits.tolerant_bytes_max} bytes of what is nearly",
                got=f"{len(body)} bytes",
                fault={"expected": "strict_json", "got": "bytes", "count": len(body)},
            )
        if not self._tolerance.allows(now_us):
            self._count_rate_limited("tolerant_bytes_per_s_max", source_ip)
            raise TooManyRefused
        try:
            return read_envelope(body), False
        except MalformedBody:
            self._tolerance.charge(len(body))
            raise

    async def receive(
        self,
        body: bytes,
        source_ip: str,
        *,
        path_token_matched: bool = False,
        headers: RequestHeaders = NO_HEADERS,
    ) -> Receipt:
        """Keep one delivery; returns once it is on disk.

        Raises QueueFull or StoreUnavailable when it cannot be kept anywhere now.
        """
        now_us = self._clock_us()
        receipt = _AtReceipt(body, source_ip, headers, now_us)
        try:
            envelope, is_strict = self._read(body, source_ip, now_us)
        except TooManyRefused:
            return Receipt(outcome=Outcome.TOO_MANY)
        except MalformedBody as error:
            return await self._refuse_malformed(receipt, error)
        judgement = self._judged(envelope, now_us, path_token_matched=path_token_matched)
        signed = judgement.verdict is Verdict.BELIEVED or judgement.verdict in SIGNED_REASONS
        if signed and is_strict and (len(body) > TOLERANT_BODY_BYTES_MAX or nests_too_deep(body)):
            try:
                read_envelope(body)  # reads all of it: that takes long, so it comes after the signature
            except MalformedBody as error:
                return await self._refuse_malformed(receipt, error)
        was_away = judgement.verdict is Verdict.EXPIRED and await self._was_away(envelope, now_us)
        if judgement.verdict is not Verdict.BELIEVED and not was_away:
            if not signed:
                if not is_strict:
                    self._tolerance.charge(len(body))
                if not self.may_be_refused_again(source_ip, len(body)):
                    return Receipt(outcome=Outcome.TOO_MANY)
            return await self._set_aside(
                judgement.verdict.value, receipt, envelope=envelope, judgement=judgement
            )
        belief = (
            Belief("key", judgement.key, "away")
            if was_away
            else belief_of(judgement, path_token_matched=path_token_matched)
        )
        delivery_id = new_delivery_id(now_us)
        position = self._append(receipt, envelope, belief, delivery_id)
        return await self.end(Begun(position, receipt, delivery_id))

    def begin(
        self, body: bytes, source_ip: str, *, path_token_matched: bool, headers: RequestHeaders
    ) -> Begun | None:
        """The same up to the wait, of what nearly every delivery is: small, usual and believed.

        None where that cannot be told by one look: `receive` is to be asked then, as if this had not been.
        """
        now_us = self._clock_us()
        if len(body) > TOLERANT_BODY_BYTES_MAX:
            return None
        envelope = read_usual_envelope(body)
        if envelope is None or nests_too_deep(body):
            return None
        judgement = self._judged(envelope, now_us, path_token_matched=path_token_matched)
        if judgement.verdict is not Verdict.BELIEVED:
            return None
        receipt = _AtReceipt(body, source_ip, headers, now_us)
        belief = belief_of(judgement, path_token_matched=path_token_matched)
        delivery_id = new_delivery_id(now_us)
        try:
            position = self._append(receipt, envelope, belief, delivery_id)
        except (QueueFull, StoreUnavailable) as error:
            position = asyncio.get_running_loop().create_future()
            position.set_exception(error)
        return Begun(position, receipt, delivery_id)

    async def end(self, begun: Begun) -> Receipt:
        """What became of it. Raises as `receive` does."""
        try:
            position = await begun.position
        except DeliveryUnstorable as error:
            return await self._set_aside(MALFORMED, begun.receipt, detail=str(error))
        return Receipt(outcome=Outcome.STORED, position=position, delivery_id=begun.delivery_id)

    def _judged(self, envelope: Envelope, now_us: int, *, path_token_matched: bool) -> Judgement:
        trust = self._trust
        return judge(
            envelope,
            trust.keys,
            now_us / 1e6,
            trust.grace_s,
            trust.ahead_s_max,
            path_token_matched,
            trust.path_token_configured,
            trust.path_token_required,
        )

    def _append(
        self, receipt: _AtReceipt, envelope: Envelope, belief: Belief, delivery_id: uuid.UUID
    ) -> "asyncio.Future[int]":
        return self._appender.append(
            event_class(envelope.event_type)(
                originator_id=originator_of(envelope.stream_id, envelope.event_type),
                delivery_id=delivery_id,
                delivery=Delivery(
                    body=receipt.body,
                    received_at_us=receipt.now_us,
                    source_ip=receipt.source_ip,
                    believed=belief,
                    mended=envelope.mended,
                    headers=receipt.headers,
                ),
            )
        )

    async def _was_away(self, envelope: Envelope, now_us: int) -> bool:
        if self._absences is None or envelope.t is None:
            return False
        self._appender.expect_store()  # to look would take its time, and find nothing
        try:
            return await self._absences.excuse(envelope.event_type, envelope.t, now_us)
        except StoreUnavailable:
            self.count("store_unavailable")
            raise

    async def _refuse_malformed(self, receipt: _AtReceipt, error: MalformedBody) -> Receipt:
        if not self.may_be_refused_again(receipt.source_ip, len(receipt.body)):
            return Receipt(outcome=Outcome.TOO_MANY)
        return await self._set_aside(MALFORMED, receipt, detail=str(error))

    async def _set_aside(
        self,
        reason: str,
        receipt: "_AtReceipt",
        *,
        envelope: Envelope | None = None,
        judgement: Judgement | None = None,
        detail: str | None = None,
    ) -> Receipt:
        row = NewQuarantined(
            delivery_id=new_delivery_id(receipt.now_us),
            reason=reason,
            received_at_us=receipt.now_us,
            source_ip=receipt.source_ip,
            headers=receipt.headers,
            body=receipt.body,
            event_type=envelope.event_type if envelope else None,
            stream_id=envelope.stream_id if envelope else None,
            sequence=envelope.sequence if envelope else None,
            key=judgement.key if judgement else None,
            mended=envelope.mended if envelope else (),
            detail=detail.replace("\0", "\N{REPLACEMENT CHARACTER}") if detail else None,
        )
        if reason not in SIGNED_REASONS:
            limit = self._limit_of_keeping(len(receipt.body), receipt.now_us)
            if limit is not None:
                self.count(reason)
                self._note_limit(limit, receipt.source_ip)
                outcome = Outcome.UNREADABLE if reason == MALFORMED else Outcome.REFUSED
                return Receipt(outcome=outcome, reason=reason, detail=detail, is_late=True)
        kept = await self._keep(row)
        if reason in SIGNED_REASONS:
            outcome = Outcome.SET_ASIDE if kept else Outcome.NO_ROOM
        else:
            outcome = Outcome.UNREADABLE if reason == MALFORMED else Outcome.REFUSED
        delivery_id = row.delivery_id if kept else None
        return Receipt(outcome=outcome, reason=reason, detail=detail, delivery_id=delivery_id)

    def _limit_of_keeping(self, size: int, now_us: int) -> str | None:
        """The limit that keeps a refused delivery from being kept, as all of them together leave no room."""
        if not self._keeping.allows(now_us):
            return "refused_kept_per_s_max"
        if self._refused_waiting_bytes + size > self._limits.refused_waiting_bytes_max:
            return "refused_waiting_bytes_max"
        self._keeping.charge(weight_of(size))
        return None

    async def _keep(self, row: NewQuarantined) -> bool:
        """Whether it was kept, once that is on disk."""
        size = len(row.body) if row.budget == "refused" else 0
        self._refused_waiting_bytes += size
        try:
            return await self._appender.quarantine(row)
        finally:
            self._refused_waiting_bytes -= size
