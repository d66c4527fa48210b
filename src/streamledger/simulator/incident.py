"""An incident file: one stream's deliveries as they arrived, exported from a ledger, to be played again.

The file is lines of JSON, each with the body and the time of receipt; nothing of the ledger's code is used.
"""

from collections.abc import Iterable

import msgspec

from streamledger.domain.errors import MalformedBody, StreamledgerError
from streamledger.domain.kinds import kind_of
from streamledger.simulator.delivery import Call, Manner
from streamledger.simulator.truth import Fact, History
from streamledger.tencent.tolerant import parse_object


class IncidentInvalid(StreamledgerError):
    """line {number}: expected an exported event with a body that can be read, got {cause}"""

    exit_code = 2


class IncidentEmpty(StreamledgerError):
    """no delivery is in the file"""

    exit_code = 2


class _Line(msgspec.Struct, frozen=True):
    """What is played of an event."""

    format: str | None = None
    received_at_us: int = 0
    body: str | None = None


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


def read_incident(lines: Iterable[bytes]) -> tuple[History, tuple[Call, ...]]:
    """The facts of an incident and its calls, in the order and at the distances of their receipts.

    Lines without a body as text are passed over. Raises IncidentInvalid or IncidentEmpty.
    """
    facts: list[Fact] = []
    calls: list[Call] = []
    first: dict[bytes, int] = {}
    for number, line in enumerate(lines, 1):
        try:
            read = _decode(line)
            if read.body is None:
                continue
            body = parse_object(read.body.encode())[0]  # as tolerant as a receiver must be
            event_type = int(str(body.get("event_type")))
        except (msgspec.MsgspecError, MalformedBody, ValueError) as error:
            raise IncidentInvalid(number=number, cause=error) from error
        at_ms = read.received_at_us // 1000
        told = _told(body)
        known = first.get(told)
        if known is None:
            facts.append(
                Fact(
                    kind=kind_of(event_type),
                    event_type=event_type,
                    stream_id=str(body.get("stream_id", "")),
                    sequence=str(body.get("sequence", "")),
                    key=_key_of(body) or told.decode(),
                    happened_at_ms=at_ms,
                    called_at_ms=at_ms,
                    body=body,
                )
            )
            first[told] = len(calls)
        calls.append(
            Call(
                number=len(calls),
                signed_as=len(calls) if known is None else known,
                fact=len(facts) - 1 if known is None else calls[known].fact,
                manner=Manner.GENUINE if known is None else Manner.DUPLICATE,
                kind=kind_of(event_type),
                event_type=event_type,
                at_ms=at_ms,
                body=body,
            )
        )
    if not calls:
        raise IncidentEmpty
    calls.sort(key=lambda call: (call.at_ms, call.number))
    history = History(
        starts_at_ms=calls[0].at_ms, ends_at_ms=calls[-1].at_ms, facts=tuple(facts), sessions=()
    )
    return history, tuple(calls)


def _told(body: dict[str, object]) -> bytes:
    """What a body tells: all of it but its signature."""
    return _encode({name: value for name, value in body.items() if name not in ("t", "sign")})


def _key_of(body: dict[str, object]) -> str | None:
    """By what the account of the play names a fact."""
    return next((str(body[name]) for name in ("sequence", "file_id", "pic_url") if body.get(name)), None)
