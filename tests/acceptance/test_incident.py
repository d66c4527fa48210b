"""An incident file from one server to another: a stream's deliveries again, without its secrets."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamledger.domain.events import Delivery, event_name, originator_of
from streamledger.ledger import mapper, portable
from streamledger.ledger.portable import Head
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.signature import signature_of
from tests.acceptance.serving import Service, data_directory, run, serving, signed_now
from tests.deliveries import KEY, push_started, push_stopped, recording, screenshot

NOW_S = int(time.time())
SPEED = 40


def told_of(path: Path) -> list[tuple[dict[str, Any], int]]:
    """What each delivery of an export tells, less its signature, and when it was received."""
    found = []
    for line in path.read_text().splitlines()[1:]:
        event = json.loads(line)
        body = json.loads(event["body"])
        told = {name: value for name, value in body.items() if name not in ("t", "sign")}
        found.append((told, event["received_at_us"]))
    return found


def sessions_of(service: Service, stream_id: str, position: int) -> list[dict[str, Any]]:
    answer = service.get("/v1/sessions", stream_id=stream_id, min_position=position)
    assert answer.status == 200, answer
    sessions: list[dict[str, Any]] = answer.json()["items"]
    return [{name: value for name, value in each.items() if name != "position"} for each in sessions]


def exported(data_dir: Path, path: Path, stream_id: str) -> list[tuple[dict[str, Any], int]]:
    done = run("export", "--stream", stream_id, "--redact", str(path), "--data-dir", str(data_dir))
    assert done.returncode == 0, done
    return told_of(path)


def test_a_stream_played_again_on_another_server_gives_the_same_sessions_in_the_same_order(
    new_sequence: Callable[[], str], tmp_path: Path
) -> None:
    first, second = new_sequence(), new_sequence()
    secret = "0123456789abcdef0123456789abcdef"
    bodies = [
        push_started("incident", first, NOW_S - 900, stream_param=f"txSecret={secret}&txTime=66"),
        *(screenshot("incident", NOW_S - 890 + 10 * number) for number in range(80)),
        push_started("incident", second, NOW_S - 500),  # before the stop of the push before it
        push_stopped("incident", first, NOW_S - 510, push_duration="390000"),
        recording("incident", "file-1", NOW_S - 520),
        push_stopped("incident", second, NOW_S - 100),
    ]
    path, again = tmp_path / "incident.ndjson", tmp_path / "again.ndjson"
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        for body in bodies:
            service.deliver(body)
        repeated = signed_now(bodies[0])
        service.post(repeated)
        service.post(repeated)
        service.deliver(push_started("another", new_sequence(), NOW_S - 800))
        sessions = sessions_of(service, "incident", service.last_position)
        told = exported(data_dir, path, "incident")
    assert len(told) == len(bodies) + 2
    assert secret not in path.read_text()
    # Two processes take them in, so that calls made at once would overtake each other.
    with data_directory(made=True) as data_dir, serving(data_dir, ["--workers", "2"]) as service:
        played = run(
            "simulate", "--from", str(path), "--url", service.url, "--key", KEY, "--speed", "max", "--json"
        )
        assert played.returncode == 0, played
        service.last_position = service.read("/v1/events", limit=500)["items"][-1]["position"]
        found = sessions_of(service, "incident", service.last_position)
        told_again = exported(data_dir, again, "incident")
    assert [body for body, _ in told_again] == [body for body, _ in told]
    assert len(sessions) == 2
    assert found == sessions


def test_the_spacing_is_kept_as_much_faster_as_is_asked(
    new_sequence: Callable[[], str], tmp_path: Path
) -> None:
    sequence = new_sequence()
    path, again = tmp_path / "incident.ndjson", tmp_path / "again.ndjson"
    at_us = (NOW_S - 5000) * 1_000_000
    told_at = {0: push_started("spaced", sequence, NOW_S - 5000), 40: screenshot("spaced", NOW_S - 4960)}
    told_at[120] = push_stopped("spaced", sequence, NOW_S - 4880)
    lines = [portable.head_line(Head(redacted=True))]
    for after_s, told in told_at.items():
        body = json.dumps(told).encode()
        envelope = read_envelope(body)
        state = mapper.encode(Delivery(body=body, received_at_us=at_us + after_s * 1_000_000))
        row = (after_s + 1, originator_of("spaced", 0), 1, event_name(envelope.event_type), state, "x")
        lines.append(portable.line_of(row, redacted=True))
    path.write_bytes(b"".join(lines))
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        play = ["simulate", "--from", str(path), "--url", service.url, "--key", KEY, "--speed", str(SPEED)]
        assert run(*play).returncode == 0
        received = [at for _, at in exported(data_dir, again, "spaced")]
    # Nothing is played before its time has come; how long the first took on its way is all that may lack.
    assert len(received) == 3
    assert received == sorted(received)
    assert (received[-1] - received[0]) / 1_000_000 > 120 / SPEED - 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no delivery is in the file"),
        ('{"format":"streamledger-events","version":1,"redacted":true}\n', "no delivery is in the file"),
        ("neither\n", "line 1: expected an exported event"),
        ('{"body":"{}"}\n{"body":"["}\n', "line 1: expected an exported event"),
    ],
)
def test_what_is_no_incident_is_refused_with_the_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "incident.ndjson"
    path.write_text(content)
    done = run("simulate", "--from", str(path), "--key", signature_of(KEY, "1"))
    assert (done.returncode, words in done.stderr) == (2, True), done
