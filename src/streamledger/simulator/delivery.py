"""How facts travel: the calls planned on the virtual time line, their signatures, retries and faults."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from random import Random

import msgspec
from msgspec.structs import replace

from streamledger.domain.notification import Kind
from streamledger.simulator.truth import Fact


class Era(StrEnum):
    """Which of the documented retry schedules is played."""

    TODAY = "today"  # 267/38080
    SEED = "seed"  # the first published document: 3 more, 60 s apart
    EARLY = "2016"  # the page of 2016: 3 more, 3 s apart


class RetrySchedule(msgspec.Struct, frozen=True):
    """How often a call that was not acknowledged is tried again, and how long after the last try failed."""

    retries: int
    apart_s: int


def retry_schedule(event_type: int, era: Era = Era.TODAY) -> RetrySchedule:
    """The schedule of an event type. Types whose schedule is not stated are retried like a push."""
    if era is Era.SEED:
        return RetrySchedule(3, 60)
    if era is Era.EARLY:
        return RetrySchedule(3, 3)
    return RetrySchedule(5, 120) if event_type == 200 else RetrySchedule(12, 60)


class Manner(StrEnum):
    """What a call is. Only GENUINE ones and TWINs are retried, and only the former must be acknowledged."""

    GENUINE = "genuine"
    TWIN = "twin"  # a genuine one of a second callback template, under its own key; retried likewise
    DUPLICATE = "duplicate"  # a genuine call sent again although it may have been acknowledged
    EXPIRED = "expired"  # a genuine fact, rightly signed, whose t has passed
    ALTERED = "altered"  # the right key over a body that is not true: signatures do not cover the body
    FORGED = "forged"  # an invented fact under a wrong signature
    UNSIGNED = "unsigned"  # an invented fact without t and sign
    MALFORMED = "malformed"  # no JSON object, or one without event_type


class Malformation(StrEnum):
    """In which way a malformed body cannot be read."""

    CUT = "cut"
    ARRAY = "array"
    FORM = "form"
    EMPTY = "empty"
    NO_EVENT_TYPE = "no_event_type"


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities between 0 and 1, drawn once per fact; the suspicious kinds come in addition to it."""

    duplicates: float = 0.0
    reorder: float = 0.0
    """First call 1 to 90 s later than it would be, so that others overtake it."""
    lost_acknowledgements: float = 0.0
    """The first try is sent whole, the connection is closed before the answer is read, a retry follows."""
    expired: float = 0.0
    forged: float = 0.0
    unsigned: float = 0.0
    malformed: float = 0.0
    altered: float = 0.0
    """A receiver cannot tell these from the truth except as conflicts: leave 0 when comparing with it."""


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are signed: sign = MD5(key + t) in lower-case hex, t = signing time + validity_s."""

    key: str | None
    """None plays a template without a key: no call carries t and sign."""
    validity_s: int = 600
    renew_t: bool = False
    """Whether a retry is signed anew. Not documented; without it, late retries arrive expired."""
    second_key: str | None = None
    """That of a second callback template, which reports every fact too."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the provider with all its retries; `at_ms` is its first try on the virtual line."""

    number: int
    signed_as: int
    """The number of the call whose t it carries: its own, or for a duplicate that of the original."""
    fact: int
    """Index of the fact it reports, or from which it was invented."""
    manner: Manner
    kind: Kind
    event_type: int
    at_ms: int
    body: dict[str, object]
    acknowledgement_lost: bool = False
    expired_by_s: int = 0
    malformation: Malformation | None = None
    encoding: str = "utf-8"


def plan(
    facts: Sequence[Fact],
    faults: Faults,
    *,
    random: Random,
    era: Era = Era.TODAY,
    signed: bool = True,
    twins: bool = False,
) -> tuple[Call, ...]:
    """The calls in the order of their first tries. Every fact has just one genuine call, and perhaps a twin.

    Forged and unsigned calls report things that never happened, so a receiver that believes one
    shows a session, file or picture that the truth does not have. Without a key nothing can be
    forged, expired or altered, and nothing is told from the unsigned: these are then left out.
    """
    calls: list[Call] = []
    for index, fact in enumerate(facts):
        # Each chance is drawn whatever its probability: one fault turned on leaves the others as they were.
        late, lost, copied, expired, altered, forged, unsigned, malformed = (
            random.random() for _ in range(8)
        )
        at_ms = fact.called_at_ms
        extra_ms = random.randint(1_000, 90_000)
        if late < faults.reorder:
            at_ms += extra_ms
        genuine = Call(
            number=len(calls),
            signed_as=len(calls),
            fact=index,
            manner=Manner.GENUINE,
            kind=fact.kind,
            event_type=fact.event_type,
            at_ms=at_ms,
            body=fact.body,
            acknowledgement_lost=lost < faults.lost_acknowledgements,
            encoding=fact.encoding,
        )
        calls.append(genuine)
        if twins:
            number = len(calls)
            at_both_ms = fact.called_at_ms + random.randint(0, 900)
            calls.append(
                replace(genuine, number=number, signed_as=number, manner=Manner.TWIN, at_ms=at_both_ms)
            )
        bare = replace(genuine, acknowledgement_lost=False)
        if copied < faults.duplicates:
            apart_ms = retry_schedule(fact.event_type, era).apart_s * 1000
            copy = replace(bare, number=len(calls), manner=Manner.DUPLICATE, at_ms=at_ms + apart_ms)
            calls.append(copy)
        others = [
            (signed and expired < faults.expired, Manner.EXPIRED, fact.body),
            (signed and altered < faults.altered, Manner.ALTERED, _altered(fact)),
            (signed and forged < faults.forged, Manner.FORGED, _invented(fact, "forged")),
            (signed and unsigned < faults.unsigned, Manner.UNSIGNED, _invented(fact, "unsigned")),
            (malformed < faults.malformed, Manner.MALFORMED, fact.body),
        ]
        expired_by_s = random.randint(60, 3_600)
        malformation = random.choice(list(Malformation))
        for wanted, manner, body in others:
            if wanted:
                other = replace(
                    bare,
                    number=len(calls),
                    signed_as=len(calls),
                    manner=manner,
                    at_ms=at_ms + extra_ms,
                    body=body,
                    expired_by_s=expired_by_s if manner is Manner.EXPIRED else 0,
                    malformation=malformation if manner is Manner.MALFORMED else None,
                )
                calls.append(other)
    return tuple(sorted(calls, key=lambda call: (call.at_ms, call.number)))


def sign(key: str, t: int) -> str:
    """Lower-case hex MD5 of key + t, t in decimal (267/38080)."""
    return hashlib.md5(f"{key}{t}".encode(), usedforsecurity=False).hexdigest()


def t_of(call: Call, signing: Signing, now_s: int) -> int:
    """The `t` of a call signed at `now_s`: passed already when the call is an expired one."""
    return now_s - call.expired_by_s if call.expired_by_s else now_s + signing.validity_s


def body_of(call: Call, signing: Signing, t: int) -> bytes:
    """The bytes of a call under this `t`, compact JSON in UTF-8 (a malformed one: none)."""
    if signing.key is None or call.manner is Manner.UNSIGNED:
        content = {name: value for name, value in call.body.items() if name not in ("sign", "t")}
    else:
        # A forger knows the algorithm but not the key.
        key = signing.key + "?" if call.manner is Manner.FORGED else signing.key
        if call.manner is Manner.TWIN and signing.second_key is not None:
            key = signing.second_key
        content = call.body | {"sign": sign(key, t), "t": t}
    if call.malformation is Malformation.NO_EVENT_TYPE:
        content = {name: value for name, value in content.items() if name != "event_type"}
    encoded = msgspec.json.encode(content)
    if call.encoding != "utf-8":
        encoded = encoded.decode().encode(call.encoding)
    match call.malformation:
        case None | Malformation.NO_EVENT_TYPE:
            return encoded
        case Malformation.CUT:
            return encoded[: len(encoded) * 3 // 5]
        case Malformation.ARRAY:
            return b"[" + encoded + b"]"
        case Malformation.FORM:
            return b"event_type=" + str(call.event_type).encode() + b"&t=" + str(t).encode()
        case Malformation.EMPTY:
            return b""


def _altered(fact: Fact) -> dict[str, object]:
    """The fact's identity with another content: its time moved by 7 s."""
    moved = {"event_time", "create_time", "data_time", "end_time"}
    return {
        name: value + 7 * (1000 if name == "data_time" else 1)
        if name in moved and isinstance(value, int)
        else value
        for name, value in fact.body.items()
    }


def _invented(fact: Fact, purpose: str) -> dict[str, object]:
    """Something like the fact that never happened: the same stream, another identity."""
    digest = hashlib.sha256(f"{purpose}:{fact.stream_id}:{fact.kind}:{fact.key}".encode()).hexdigest()
    number = str(10**18 + int(digest, 16) % (8 * 10**18))
    invented = {"sequence": number, "file_id": number, "record_file_id": number, "seq": number}
    body = {name: invented.get(name, value) for name, value in fact.body.items()}
    for name in ("pic_url", "pic_full_url", "video_url"):
        if isinstance(value := body.get(name), str):
            head, slash, tail = value.rpartition("/")
            body[name] = f"{head}{slash}{purpose}-{digest[:8]}-{tail}"
    return body
