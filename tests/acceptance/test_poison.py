"""Bodies that nobody should send, beside good ones: the good are all kept, and nothing is ever a 5xx."""

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from tests.acceptance.conftest import TOKEN
from tests.acceptance.serving import CALLBACKS, Service, signed_now
from tests.deliveries import push_started, push_stopped

NOW_S = int(time.time())


def text(**fields: object) -> bytes:
    """A signed push in ASCII, where a lone surrogate is an escape, as a broken sender writes it."""
    return json.dumps(msgspec.json.decode(signed_now(push_started("poison", "1", NOW_S))) | fields).encode()


def raw(**fields: bytes) -> bytes:
    """A signed push with raw JSON spliced in."""
    body = signed_now(
        {name: value for name, value in push_started("poison", "1", NOW_S).items() if name not in fields}
    )
    spliced = b",".join(b'"' + name.encode() + b'":' + value for name, value in fields.items())
    return body[:-1] + b"," + spliced + b"}"


def poison() -> dict[str, bytes]:
    """Bodies by what is wrong with them; signed now, for the tests may last longer than a signature."""
    return {
        "NUL in the stream": text(stream_id="poi\0son"),
        "NUL in the sequence": text(sequence="1\0"),
        "NUL in a text": text(user_ip="\0", node="\0\0"),
        "NUL as a byte": raw(node=b'"a\x00b"'),
        "lone surrogate in the stream": text(stream_id="poi\ud800son"),
        "lone surrogate in a text": text(errmsg="\udfff", sequence="11"),
        "300 characters of stream": text(stream_id="x" * 300),
        "256 characters of four bytes": text(stream_id="\U0001f600" * 256),
        "1000 characters of sequence": text(sequence="1" * 1000),
        "event_time of 10^30": raw(event_time=b"1" + b"0" * 30),
        "event_time below zero": text(event_time=-(10**30)),
        "event_type of 10^30": raw(event_type=b"1" + b"0" * 30),
        "event_type as a list": text(event_type=[1]),
        "event_type below zero": text(event_type=-1),
        "push_duration of 5000 digits": raw(push_duration=b"9" * 5000),
        "sequence of 5000 digits": raw(sequence=b"9" * 5000),
        "t of 5000 digits": raw(t=b"9" * 5000),
        "number of 1e999": raw(width=b"1e999"),
        "NaN": raw(width=b"NaN"),
        "Infinity": raw(event_time=b"-Infinity"),
        "200 levels of nesting": raw(x=b"[" * 200 + b"]" * 200),
        "200 levels of objects": raw(x=b'{"x":' * 200 + b"1" + b"}" * 200),
        "100000 brackets": b"[" * 100_000,
        "100000 braces": b'{"x":' * 40_000,
        "unclosed string": b'{"event_type":1,"x":"' + b"\\" * 100_000,
        "comment without end": b'{"event_type":1 /*' + b"*" * 100_000,
        "duplicate keys": raw(event_type=b"0", stream_id=b'"other"').replace(
            b'{"app"', b'{"event_type":1,"app"'
        ),
        "invalid UTF-8": raw(errmsg=b'"\xff\xfe\xc3"', sequence=b'"12"'),
        "invalid UTF-8 in the stream": raw(stream_id=b'"\xff\xfe\xc3"'),
        "UTF-16": "{}".encode("utf-16"),
        "empty": b"",
        "blank": b" \r\n\t ",
        "list": b"[]",
        "text": b'"x"',
        "number": b"5",
        "null": b"null",
        "empty object": b"{}",
        "form": b"event_type=1&stream_id=a",
        "xml": b'<?xml version="1.0"?><a/>',
        "bytes": bytes(range(256)),
        "key with NUL": raw(**{"a\\u0000b": b"1"}),
        "key with a lone surrogate": raw(**{"\\udc00": b"1"}),
        "wrong types everywhere": text(
            app=[],
            appname={},
            event_time=[],
            sequence={},
            node=1.5,
            width="wide",
            height=True,
            errcode=[],
            errmsg={},
        ),
    }


@pytest.mark.parametrize("name", poison())
def test_a_poisonous_body_is_never_the_servers_fault(service: Service, name: str) -> None:
    body = poison()[name]
    for path in (CALLBACKS, f"{CALLBACKS}/{TOKEN}"):
        answer = service.post(body, path)
        assert answer.status in (200, 400, 403), (name, answer)
        if answer.status != 200:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status


def test_good_deliveries_among_poison_are_all_kept(service: Service, new_sequence: Callable[[], str]) -> None:
    sequences = [new_sequence() for _ in range(60)]
    good = [
        signed_now(make("neighbours", sequence, NOW_S + number % 50))
        for number, sequence in enumerate(sequences)
        for make in (push_started, push_stopped)
    ]
    bad = list(poison().values())
    bodies = [*good, *bad, *bad]
    random.Random(7).shuffle(bodies)
    with ThreadPoolExecutor(24) as pool:
        answers = dict(zip(bodies, pool.map(service.post, bodies), strict=True))
    assert {answers[body].status for body in good} == {200}
    assert len({answers[body].position for body in good}) == len(good)
    assert {answer.status for answer in answers.values()} <= {200, 400, 403}
    for sequence in sequences:
        assert service.read(f"/v1/sessions/{sequence}", stream_id="neighbours")["state"] == "ended"


def test_whatever_of_the_poison_was_kept_can_be_read_back(service: Service) -> None:
    kept = [
        answer.position for body in poison().values() if (answer := service.post(body)).position is not None
    ]
    assert len(kept) > 10
    assert [
        event["position"]
        for event in service.read("/v1/events", after=min(kept) - 1, limit=500)["items"]
        if event["position"] in kept
    ] == kept
    for path in (
        "/v1/sessions?limit=500",
        "/v1/streams?limit=500",
        "/v1/streams/poison",
        "/v1/streams/other",
    ):
        assert service.get(path).status in (200, 404)
    for page in service.pages("/v1/streams", limit=500):
        for stream in page:
            for session in service.read("/v1/sessions", stream_id=stream["stream_id"])["items"]:
                assert service.read(
                    f"/v1/sessions/{session['sequence']}/timeline", stream_id=stream["stream_id"]
                )
    (sessions, *_) = service.read("/v1/projections")["items"]
    assert (sessions["lag_events"], sessions["parked"]) == (0, 0)
