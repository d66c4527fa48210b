"""What the demo shows: a working day of named streams, some of them in trouble, before and after now."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import msgspec
from msgspec.structs import replace

from streamledger.domain.notification import Kind
from streamledger.simulator import bodies
from streamledger.simulator.bodies import Origin
from streamledger.simulator.delivery import Call, Faults, Manner, Signing, body_of, plan, t_of
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.truth import Fact, Shape

PAST_S: Final = 90 * 60
FUTURE_S: Final = 3 * 3600
STEADY: Final = (
    "main-stage",
    "keynote",
    "court-1",
    "harbour-cam",
    "chess-final",
    "news-desk",
    "studio-a",
    "concert-hall",
    "court-2",
    "studio-b",
    "tower-cam",
    "late-show",
)
RESTLESS: Final = ("field-unit", "old-encoder")
"""Streams that break off and come back."""
SENDER: Final = "127.0.0.1"
STRANGER: Final = "203.0.113.66"
_FAULTS: Final = Faults(
    duplicates=0.02,
    reorder=0.02,
    lost_acknowledgements=0.01,
    expired=0.002,
    forged=0.003,
    unsigned=0.002,
    malformed=0.002,
    altered=0.002,
)
_EACH: Final = Faults(expired=1, forged=1, unsigned=1, malformed=1, altered=1)
_EACH_AGO_MS: Final = 20 * 60_000
_FILE_MS: Final = 300_000
_RETRIED_MS: Final = 61_000
_REPLAYED_MS: Final = 217_000
_REPLAYED_EVERY: Final = 700


class Received(msgspec.Struct, frozen=True):
    """One delivery of the past: when and from where it came."""

    at_ms: int
    body: bytes
    source_ip: str


def story(now_ms: int, *, streams: int, seed: int, images: str) -> tuple[Call, ...]:
    """All calls from 90 minutes before now until three hours after it, in order. `images` is the base of the
    screenshots' addresses."""
    starts_at_ms, duration_s = now_ms - PAST_S * 1000, PAST_S + FUTURE_S
    steady = Shape(
        names=tuple(f"{name}-{lap}" if lap else name for lap in range(9) for name in STEADY)[:streams],
        streams=min(streams, 9 * len(STEADY)),
        sessions_per_stream=5,
        duration_s=duration_s,
        screenshot_interval_s=20,
        recording_formats=("hls", "mp4"),
        troubled=0.12,
        images=images,
    )
    restless = replace(
        steady,
        names=RESTLESS,
        streams=len(RESTLESS),
        sessions_per_stream=duration_s // 1500,
        reconnected=0.5,
        backed_up=0.15,
        stop_unreported=0.06,
        troubled=0.5,
    )
    facts = list(_incidents(now_ms, randomness(seed, starts_at_ms, "incidents"), images))
    for shape in (steady, restless):
        random = randomness(seed, starts_at_ms, f"history of {shape.names[0]}")
        facts += generate(shape, starts_at_ms=starts_at_ms, random=random).facts
    facts.sort(key=lambda fact: fact.called_at_ms)
    calls = list(plan(facts, _FAULTS, random=randomness(seed, starts_at_ms, "faults")))
    calls += _one_of_each(facts, now_ms, randomness(seed, starts_at_ms, "one of each"), len(calls))
    calls.sort(key=lambda call: (call.at_ms, call.number))
    return tuple(calls)


def _one_of_each(facts: Sequence[Fact], now_ms: int, random: Random, number: int) -> Iterator[Call]:
    """A call of each kind that is set aside, so that a day of few streams has them too: chance gives none of
    a kind to one such day in twenty. Numbered from `number` on."""
    known = next(place for place, fact in enumerate(facts) if fact.called_at_ms >= now_ms - _EACH_AGO_MS)
    planned = plan(facts[known : known + 1], _EACH, random=random)
    aside = [call for call in planned if call.manner is not Manner.GENUINE]
    # One was signed for a time far ahead, as by a clock that is wrong.
    aside += [replace(call, expired_by_s=-4000) for call in aside if call.manner is Manner.EXPIRED]
    for place, call in enumerate(aside, number):
        yield replace(call, number=place, signed_as=place, fact=known)


def received(calls: Sequence[Call], signing: Signing) -> list[Received]:
    """The calls as a receiver would have got them that answered all: with retries of lost answers, and with
    copies that a stranger sends again."""
    t_by_call: dict[int, int] = {}
    found: list[Received] = []
    for call in calls:
        t = t_by_call.setdefault(call.signed_as, t_of(call, signing, call.at_ms // 1000))
        body = body_of(call, signing, t_of(call, signing, call.at_ms // 1000) if call.expired_by_s else t)
        genuine = call.manner in (Manner.GENUINE, Manner.DUPLICATE, Manner.EXPIRED)
        found.append(Received(call.at_ms, body, SENDER if genuine else STRANGER))
        if call.acknowledgement_lost:
            found.append(Received(call.at_ms + _RETRIED_MS, body, SENDER))
        if call.manner is Manner.GENUINE and call.number % _REPLAYED_EVERY == _REPLAYED_EVERY // 2:
            found.append(Received(call.at_ms + _REPLAYED_MS, body, STRANGER))
    return sorted(found, key=lambda each: each.at_ms)


def _incidents(now_ms: int, random: Random, images: str) -> Iterator[Fact]:
    """What a duty engineer should see first: a push that broke off, a silent one, one with errors."""
    minute_ms = 60_000
    yield from _push("street-west", random, images, now_ms - 47 * minute_ms, now_ms - 6 * minute_ms, 12)
    yield from _push("gallery", random, images, now_ms - 88 * minute_ms, now_ms - 64 * minute_ms, None)
    for fact in _push("rooftop", random, images, now_ms - 25 * minute_ms, now_ms + 3 * 60 * minute_ms, None):
        yield fact
        if fact.kind is Kind.PUSH_STARTED:
            for ago in (11, 7, 4, 2, 1):
                at_ms = now_ms - ago * minute_ms
                body = bodies.push_error(_origin_of(fact, random), at_ms=at_ms, waits_ms=(1800, 2400, 3100))
                yield _fact(fact, Kind.PUSH_ERROR, body, f"{fact.sequence}@{at_ms}", at_ms)


def _push(
    stream_id: str, random: Random, images: str, from_ms: int, until_ms: int, errcode: int | None
) -> Iterator[Fact]:
    """A push with its screenshots and files; without an errcode its stop never comes."""
    origin = _origin(stream_id, str(random.randint(10**17, 2**63 - 1)), random)
    start = Fact(
        kind=Kind.PUSH_STARTED,
        event_type=1,
        stream_id=stream_id,
        sequence=origin.sequence,
        key=origin.sequence,
        happened_at_ms=from_ms,
        called_at_ms=from_ms + 400,
        body=bodies.push_started(origin, at_ms=from_ms),
    )
    yield start
    for at_ms in range(from_ms + 7_000, until_ms, 20_000):
        path = bodies.picture_path(origin, at_ms)
        shot = bodies.screenshot(origin, at_ms=at_ms, pic_url=path, file_bytes=30_000, images=images)
        yield _fact(start, Kind.SCREENSHOT, shot, path, at_ms)
    for cut_ms in range(from_ms, until_ms - _FILE_MS, _FILE_MS):
        for file_format in ("hls", "mp4"):
            file_id = str(random.randint(10**17, 2**63 - 1))
            file = bodies.recording(
                origin,
                file_id=file_id,
                file_format=file_format,
                file_bytes=_FILE_MS * 120,
                started_at_ms=cut_ms,
                ended_at_ms=cut_ms + _FILE_MS,
                duration_s=_FILE_MS // 1000,
                media_start_time=cut_ms - from_ms,
                task_id=f"{origin.sequence}{file_format}",
            )
            yield _fact(start, Kind.RECORDING, file, file_id, cut_ms + _FILE_MS)
    if errcode is not None:
        body = bodies.push_stopped(
            origin,
            at_ms=until_ms,
            duration_ms=until_ms - from_ms,
            errcode=errcode,
            errmsg="push link network abnormal",
        )
        yield _fact(start, Kind.PUSH_STOPPED, body, origin.sequence, until_ms)


def _fact(pattern: Fact, kind: Kind, body: dict[str, object], key: str, at_ms: int) -> Fact:
    event_type = body["event_type"]
    return replace(
        pattern,
        kind=kind,
        event_type=event_type if isinstance(event_type, int) else pattern.event_type,
        key=key,
        happened_at_ms=at_ms,
        called_at_ms=at_ms + 900,
        body=body,
    )


def _origin(stream_id: str, sequence: str, random: Random) -> Origin:
    return Origin(
        stream_id=stream_id,
        sequence=sequence,
        node=f"198.51.100.{random.randint(1, 254)}",
        user_ip=f"203.0.113.{random.randint(1, 254)}",
        stream_param=f"txSecret={random.getrandbits(128):032x}&txTime=6B06FF0C",
        width=1920,
        height=1080,
        set_id=2,
        idc_id=31,
    )


def _origin_of(start: Fact, random: Random) -> Origin:
    origin = _origin(start.stream_id, start.sequence, random)
    return replace(origin, stream_param=str(start.body["stream_param"]))
