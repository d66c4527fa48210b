"""From the bytes that Tencent sends to the session over HTTP, through the installed command."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamledger.tencent.signature import signature_of
from tests.acceptance.serving import Service, signed_now
from tests.deliveries import KEY, push_started, push_stopped, recording, screenshot

SAMPLES = Path(__file__).resolve().parents[1] / "golden" / "samples"
NOW_S = int(time.time())
NewSequence = Callable[[], str]


def seed(name: str) -> bytes:
    """A body of the early document, byte for byte but for t and sign."""
    t = str(int(time.time()) + 600)
    body = (SAMPLES / f"seed_{name}.json").read_bytes()
    body, times = re.subn(rb'("t":\s*)\d+', rb"\g<1>" + t.encode(), body)
    body, signs = re.subn(rb'("sign":\s*")[0-9a-f]+', rb"\g<1>" + signature_of(KEY, t).encode(), body)
    assert (times, signs) == (1, 1)
    return body


def test_the_three_seed_bodies_are_accepted_and_make_their_session(service: Service) -> None:
    for name in ("stop_0", "record_100", "screenshot_200"):
        answer = service.post(seed(name))
        assert (answer.status, answer.body) == (200, b'{"code":0}')
        assert answer.position is not None
    assert "\u3000" in seed("record_100").decode()
    assert "//" in seed("screenshot_200").decode()
    session = service.read("/v1/sessions/5911795891871911817")
    assert session["stream_id"] == "3954_ea88f7495ba711e6a2cba4dcbef5e35a"
    assert session["state"] == "ended"
    assert session["ended_at"] == "2016-08-15T10:16:40Z"
    assert (session["started_at"], session["duration_ms"]) == (None, None)
    assert session["stop"]["errcode"] == 0
    assert [anomaly["code"] for anomaly in session["anomalies"]] == ["start_missing"]
    (entry,) = service.read("/v1/sessions/5911795891871911817/timeline")["items"]
    assert (entry["kind"], entry["at"]) == ("push_stopped", "2016-08-15T10:16:40Z")
    recorded = service.read("/v1/streams/2519_2500647")
    assert (recorded["recordings"], recorded["unattributed"], recorded["presence"]) == (1, 1, "offline")
    pictured = service.read("/v1/streams/2016090090936")
    assert (pictured["screenshots"], pictured["unattributed"]) == (1, 1)


def test_the_seeds_are_believed_into_the_session_that_they_fall_in(
    service: Service, new_sequence: NewSequence
) -> None:
    sequence = new_sequence()
    assert service.post(seed("record_100")).status == 200
    service.deliver(push_started("2519_2500647", sequence, 1496220615))
    service.deliver(push_stopped("2519_2500647", sequence, 1496220900, push_duration="285000"))
    session = service.read(f"/v1/sessions/{sequence}")
    assert session["recordings"] == {
        "count": 1,
        "recorded_ms": 272_000,
        "files_ms": 272_000,
        "bytes": 30045521,
    }
    kinds = [entry["kind"] for entry in service.read(f"/v1/sessions/{sequence}/timeline")["items"]]
    assert kinds == ["push_started", "recording", "push_stopped"]
    (entry,) = service.read(f"/v1/sessions/{sequence}/recordings")["items"]
    assert (entry["at"], entry["until"]) == ("2017-05-31T08:50:22Z", "2017-05-31T08:54:54Z")
    assert entry["attribution"]["confidence"] == "certain"
    assert entry["detail"]["file_format"] == "flv"
    assert "d5569fb19d1e858bf683b30c10dec908" not in str(entry)


def test_a_push_whose_channel_differs_is_one_session_of_its_stream(
    service: Service, new_sequence: NewSequence
) -> None:
    sequence = new_sequence()
    service.deliver(push_started("by-stream", sequence, NOW_S - 60, channel_id="by-channel"))
    service.deliver(push_stopped("by-stream", sequence, NOW_S, channel_id="another-channel"))
    assert service.read(f"/v1/sessions/{sequence}")["stream_id"] == "by-stream"
    assert service.get("/v1/streams/by-channel").status == 404


def test_a_stop_that_arrives_first_still_closes_its_session(
    service: Service, new_sequence: NewSequence
) -> None:
    sequence = new_sequence()
    service.deliver(push_stopped("late-start", sequence, NOW_S, push_duration="128581"))
    inferred = service.read(f"/v1/sessions/{sequence}")
    assert (inferred["state"], inferred["start_source"]) == ("ended", "inferred")
    service.deliver(push_started("late-start", sequence, NOW_S - 128))
    session = service.read(f"/v1/sessions/{sequence}")
    assert (session["state"], session["start_source"]) == ("ended", "reported")
    assert (session["duration_ms"], session["duration_source"]) == (128581, "reported")
    assert session["anomalies"] == []


@pytest.mark.parametrize("sequence", ["9007199254740993", "18446744073709551617", "007", "0"])
def test_a_sequence_stays_the_text_that_it_was(service: Service, sequence: str) -> None:
    answer = service.deliver(push_started(f"text-{sequence}", sequence, NOW_S))
    assert answer.status == 200
    assert (
        f'"sequence":"{sequence}"'.encode()
        in service.get(f"/v1/sessions/{sequence}", min_position=answer.position).body
    )


def test_a_sequence_sent_as_a_number_is_the_same_session(service: Service, new_sequence: NewSequence) -> None:
    sequence = new_sequence()
    service.deliver(push_started("numeric", sequence, NOW_S - 5))
    body = msgspec.json.encode(push_stopped("numeric", "SEQUENCE", NOW_S)).replace(
        b'"SEQUENCE"', sequence.encode()
    )
    service.post(signed_now({"x": msgspec.Raw(b"0")}).replace(b'{"x":0,', body[:-1] + b","))
    session = service.read(f"/v1/sessions/{sequence}")
    assert (session["sequence"], session["state"]) == (sequence, "ended")


@pytest.mark.parametrize(
    ("sent", "duration_ms", "source"),
    [
        ({"push_duration": "123"}, 123, "reported"),
        ({"push_duration": 123}, 123, "reported"),
        ({"push_duration": ""}, 7000, "measured"),
        ({"push_duration": None}, 7000, "measured"),
        ({}, 7000, "measured"),
        ({"push_duration": "two"}, 7000, "measured"),
    ],
)
def test_push_duration_is_read_in_every_form_that_is_sent(
    service: Service, new_sequence: NewSequence, sent: dict[str, Any], duration_ms: int, source: str
) -> None:
    sequence = new_sequence()
    service.deliver(push_started("durations", sequence, NOW_S - 7))
    assert service.deliver(push_stopped("durations", sequence, NOW_S) | sent).status == 200
    session = service.read(f"/v1/sessions/{sequence}")
    assert (session["duration_ms"], session["duration_source"]) == (duration_ms, source)


def test_file_size_is_read_as_text_and_as_a_number(service: Service, new_sequence: NewSequence) -> None:
    sequence = new_sequence()
    service.deliver(push_started("sizes", sequence, NOW_S - 300))
    service.deliver(push_stopped("sizes", sequence, NOW_S))
    for number, size in enumerate(["30045521", 30045521, "", None, "much"]):
        file = recording("sizes", f"{sequence}-{number}", NOW_S - 100, 60, file_size=size)
        assert service.deliver(file).status == 200
    assert service.read(f"/v1/sessions/{sequence}")["recordings"] == {
        "count": 5,
        "recorded_ms": 60_000,
        "files_ms": 300_000,
        "bytes": 2 * 30045521,
    }


@pytest.mark.parametrize("form", [int, str])
def test_t_is_accepted_as_a_number_and_as_text_and_signed_as_it_was_sent(
    service: Service, new_sequence: NewSequence, form: Callable[[int], Any]
) -> None:
    t = form(int(time.time()) + 600)
    body = push_started("t-forms", new_sequence(), NOW_S) | {"t": t, "sign": signature_of(KEY, str(t))}
    answer = service.post(msgspec.json.encode(body))
    assert (answer.status, answer.position is not None) == (200, True)


def test_an_unknown_event_type_and_one_without_a_stream_are_kept_whole(service: Service) -> None:
    known = service.deliver({"event_type": 777, "stream_id": "future", "colour": "blue"})
    homeless = service.deliver({"event_type": 314, "callback_event": "TaskExit"})
    assert (known.status, homeless.status) == (200, 200)
    assert known.position is not None
    first, second = service.read("/v1/events", after=known.position - 1)["items"][:2]
    assert (first["name"], first["stream_id"]) == ("notification-received.v1", "future")
    assert first["notification"]["colour"] == "blue"
    assert (second["position"], second["stream_id"]) == (homeless.position, None)
    assert second["notification"]["callback_event"] == "TaskExit"


def test_one_reads_ones_own_write(service: Service, new_sequence: NewSequence) -> None:
    for number in range(20):
        sequence = new_sequence()
        answer = service.deliver(push_started("own-write", sequence, NOW_S - number))
        found = service.get(f"/v1/sessions/{sequence}", min_position=answer.position)
        assert (found.status, found.json()["sequence"]) == (200, sequence)


def test_copies_are_one_notification_and_counted(service: Service, new_sequence: NewSequence) -> None:
    sequence = new_sequence()
    for ahead_s in (600, 601, 602):
        assert service.post(signed_now(push_started("copies", sequence, NOW_S), ahead_s)).status == 200
    picture = screenshot("copies", NOW_S + 1)
    assert [service.deliver(picture).status for _ in range(2)] == [200, 200]
    session = service.read(f"/v1/sessions/{sequence}")
    assert session["deliveries"] == {"count": 3, "repeated": 2}
    assert session["screenshots"]["count"] == 1
    entries = service.read(f"/v1/sessions/{sequence}/timeline")["items"]
    assert [(entry["kind"], entry["deliveries"]) for entry in entries] == [
        ("push_started", 3),
        ("screenshot", 2),
    ]


def test_a_secret_in_stream_param_does_not_leave(service: Service, new_sequence: NewSequence) -> None:
    sequence, secret = new_sequence(), "0123456789abcdef0123456789abcdef"
    param = f"txSecret={secret}&txTime=6A5B4C3D"
    answer = service.deliver(push_started("secrets", sequence, NOW_S, stream_param=param))
    service.read(f"/v1/sessions/{sequence}")
    paths = [
        f"/v1/sessions/{sequence}",
        f"/v1/sessions/{sequence}/timeline",
        f"/v1/events?after={(answer.position or 0) - 1}",
        "/v1/sessions?stream_id=secrets",
    ]
    for path in paths:
        found = service.get(path)
        assert found.status == 200
        assert secret.encode() not in found.body
        assert b"txTime=6A5B4C3D" in found.body


def test_a_sequence_under_two_streams_is_two_sessions_told_apart_by_the_stream(
    service: Service, new_sequence: NewSequence
) -> None:
    sequence = new_sequence()
    for stream_id in ("twin-a", "twin-b"):
        service.deliver(push_started(stream_id, sequence, NOW_S))
    ambiguous = service.get(f"/v1/sessions/{sequence}", min_position=service.last_position)
    assert ambiguous.status == 409
    assert "twin-a, twin-b" in ambiguous.json()["detail"]
    session = service.read(f"/v1/sessions/{sequence}", stream_id="twin-b")
    assert session["stream_id"] == "twin-b"
    assert [anomaly["code"] for anomaly in session["anomalies"]] == ["sequence_shared"]
