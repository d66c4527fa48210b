"""What a stranger can hold of a running service, over sockets: each limit is reached, told and counted."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from tests.acceptance.serving import CALLBACKS, Service, data_directory, run, serving, signed_now
from tests.waiting import until

TOKENS = "reader:read:the-right-token-of-reader"
BEARER = {"Authorization": "Bearer the-right-token-of-reader"}
PER_ADDRESS = 30
IN_ALL = 80


@pytest.fixture(scope="module")
def limited() -> Iterator[Service]:
    """A service whose limits are small."""
    with (
        data_directory(made=True) as data_dir,
        serving(
            data_dir,
            api_tokens=TOKENS,
            connections_per_address_max=PER_ADDRESS,
            connections_max=IN_ALL,
            head_s_max=1,
            body_s_max=2,
            pipelined_requests_max=4,
            unread_s_max=1,
            wrong_tokens_per_minute_max=3,
            readers_per_token_max=2,
            refused_per_minute_max=20,
        ) as started,
    ):
        yield started


def connect(service: Service, last: int, segment_bytes: int | None = None) -> socket.socket:
    """A connection from 127.0.0.`last`: every test is another stranger."""
    host, port = service.url.removeprefix("http://").split(":")
    if segment_bytes is None:
        return socket.create_connection((host, int(port)), 30, source_address=(f"127.0.0.{last}", 0))
    connection = socket.socket()
    connection.settimeout(30)
    # The other side's buffer is some twenty segments, of 64 KiB each on the loopback unless it is told less.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment_bytes)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, segment_bytes)
    connection.bind((f"127.0.0.{last}", 0))
    connection.connect((host, int(port)))
    return connection


def said(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def send_until_closed(connection: socket.socket, parts: Iterator[bytes]) -> int:
    """How many bytes could be sent before the other side closed the connection."""
    size = 0
    with contextlib.suppress(ConnectionError):
        for part in parts:
            connection.sendall(part)
            size += len(part)
    return size


def post(body: bytes, path: str = CALLBACKS, *lines: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def answer_to(service: Service, last: int, request: bytes) -> bytes:
    """The head and body that come back from one request and no other."""
    with connect(service, last) as connection:
        connection.sendall(request.replace(b"host: x", b"host: x\r\nconnection: close", 1))
        return said(connection)


def measured(service: Service, metric: str) -> int:
    text = service.request("GET", "/metrics", headers=BEARER).body.decode()
    found = re.search(rf"^streamledger_{re.escape(metric)} (\d+)(?:\.0)?$", text, re.MULTILINE)
    assert found, metric
    return int(found[1])


def times_reached(service: Service, limit: str) -> int:
    """By the counter of the metrics, which is written once a second."""
    return measured(service, f'limit_reached_total{{limit="{limit}"}}')


def connections_that(service: Service, phase: str) -> int:
    return measured(service, f'connections{{phase="{phase}"}}')


def await_reached(service: Service, limit: str, before: int) -> None:
    until(lambda: times_reached(service, limit) > before, f"{limit} was not counted", wait_s=30)


@pytest.mark.parametrize(
    ("limit", "part"),
    [
        ("head_bytes_max", b"a" * 65536),
        ("head_lines_max", b"a: b\r\n" * 50),
        ("head_bytes_max", b"\r\n" * 4096),
    ],
)
def test_a_head_without_an_end_is_refused_and_counted(limited: Service, limit: str, part: bytes) -> None:
    before = times_reached(limited, limit)
    begin = b"" if part.startswith(b"\r") else b"GET / HTTP/1.1\r\nhost: x\r\n"
    with connect(limited, 11) as connection:
        sent = send_until_closed(connection, iter([begin, *[part] * 1000]))
        assert sent < 16 * 1024 * 1024
    await_reached(limited, limit, before)


def test_who_sends_too_large_a_head_is_told_so(limited: Service) -> None:
    with connect(limited, 12) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * (16 * 1024 - 19))
        assert said(connection).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


def test_what_frames_a_body_without_being_one_is_limited_like_a_head(limited: Service) -> None:
    head = f"POST {CALLBACKS} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    before = times_reached(limited, "head_bytes_max")
    with connect(limited, 13) as connection:
        assert (
            send_until_closed(connection, iter([head, b"0\r\n", *[b"x: " + b"a" * 65536] * 100])) < 6_000_000
        )
    await_reached(limited, "head_bytes_max", before)


def test_a_head_that_does_not_end_in_time_and_a_silent_connection_are_closed(limited: Service) -> None:
    with connect(limited, 14) as silent, connect(limited, 14) as half:
        half.sendall(b"POST / HTTP/1.1\r\nhost")
        assert said(silent) == said(half) == b""


def test_so_is_a_second_head_on_a_connection_that_was_answered(limited: Service) -> None:
    with connect(limited, 15) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\nGET /health")
        assert said(connection).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_nobody_waits_for_is_closed_in_time(limited: Service) -> None:
    with connect(limited, 16) as connection:
        connection.sendall(post(b"", "/nothing").replace(b"length: 0", b"length: 1000") + b"x")
        assert said(connection).startswith(b"HTTP/1.1 404 ")


def test_at_the_limit_of_an_address_its_oldest_connection_without_a_head_goes(limited: Service) -> None:
    before = times_reached(limited, "connections_per_address_max")
    with contextlib.ExitStack() as stack:
        answered = stack.enter_context(connect(limited, 17))
        answered.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answered.recv(4096).startswith(b"HTTP/1.1 200 ")
        held = [stack.enter_context(connect(limited, 17)) for _ in range(PER_ADDRESS)]
        assert held[0].recv(1) == b""  # the oldest without a head, not the oldest
        for each in (answered, held[-1]):
            each.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            assert each.recv(4096).startswith(b"HTTP/1.1 200 ")
    await_reached(limited, "connections_per_address_max", before)


def test_at_the_limit_of_all_a_callback_is_still_taken(limited: Service) -> None:
    before = times_reached(limited, "connections_max")
    with contextlib.ExitStack() as stack:
        for number in range(IN_ALL + 10):
            stack.enter_context(connect(limited, 20 + number // 20))
        body = signed_now({"event_type": 1, "stream_id": "crowd", "sequence": "1"})
        assert answer_to(limited, 19, post(body)).startswith(b"HTTP/1.1 200 ")
    await_reached(limited, "connections_max", before)


def test_who_pipelines_more_than_the_limit_is_closed_and_fewer_are_answered_in_order(
    limited: Service,
) -> None:
    live = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    unknown = b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with connect(limited, 31) as connection:
        connection.sendall(live * 3 + unknown)
        answers = re.findall(rb"HTTP/1.1 (\d+)", said(connection))
    assert answers == [b"200", b"200", b"200", b"404"]
    before = times_reached(limited, "pipelined_requests_max")
    with connect(limited, 31) as connection:
        connection.sendall(live * 1000)
        assert said(connection).count(b"HTTP/1.1 200") <= 5
    await_reached(limited, "pipelined_requests_max", before)


def test_who_never_reads_is_cut_off(limited: Service) -> None:
    before = times_reached(limited, "unread_s_max")
    # So little room on the way that the answers stay with the server, however slow it is: no further request
    # is needed, of which too many might wait behind one another.
    with connect(limited, 32, segment_bytes=536) as connection:
        connection.sendall(b"GET /schema HTTP/1.1\r\nhost: x\r\n\r\n" * 4)
        await_reached(limited, "unread_s_max", before)


def test_a_large_body_that_is_no_strict_json_is_not_read_and_a_large_strict_one_is(limited: Service) -> None:
    body = {"event_type": 1, "stream_id": "large", "sequence": "2", "more": "x" * 20_000}
    mended = signed_now(body)[:-1] + b",}"
    answer = answer_to(limited, 33, post(mended))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"expected strict JSON, or at most 16384 bytes" in answer
    assert answer_to(limited, 33, post(signed_now(body))).startswith(b"HTTP/1.1 200 ")
    small = signed_now({"event_type": 1, "stream_id": "small", "sequence": "3"})[:-1] + b",}"
    assert answer_to(limited, 33, post(small)).startswith(b"HTTP/1.1 200 ")


def test_an_address_that_is_refused_is_read_strictly_and_its_genuine_ones_are_taken(limited: Service) -> None:
    forged = msgspec.json.encode({"event_type": 1, "stream_id": "forged", "sign": "0" * 32, "t": 1})
    answers = [answer_to(limited, 34, post(forged))[9:12] for _ in range(21)]
    assert set(answers) == {b"403", b"429"}
    tolerated = signed_now({"event_type": 1, "stream_id": "known", "sequence": "4"})[:-1] + b",}"
    assert answer_to(limited, 34, post(tolerated)).startswith(b"HTTP/1.1 429 ")
    assert answer_to(limited, 35, post(tolerated)).startswith(b"HTTP/1.1 200 ")
    genuine = signed_now({"event_type": 0, "stream_id": "known", "sequence": "4"})
    assert answer_to(limited, 34, post(genuine)).startswith(b"HTTP/1.1 200 ")


def test_wrong_tokens_are_limited_and_told_once_without_the_token(limited: Service) -> None:
    def asked(token: str) -> bytes:
        request = f"GET /v1/sessions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        return answer_to(limited, 36, request.encode())[9:12]

    assert [asked("a-wrong-guess") for _ in range(4)] == [b"401", b"401", b"401", b"429"]
    assert asked("the-right-token-of-reader") == b"200"
    form = post(b"token=a-wrong-guess", "/sign-in", "content-type: application/x-www-form-urlencoded")
    answer = answer_to(limited, 36, form)
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"Too many wrong tokens" in answer
    log = limited.log.read_text()
    assert log.count("wrong API tokens come, first by 127.0.0.36") == 1
    assert log.count("limit wrong_tokens_per_minute_max is reached") == 1
    assert "guess" not in log


def feed(service: Service, last: int, more: bytes = b"") -> socket.socket:
    connection = connect(service, last)
    head = (
        "GET /v1/events/live HTTP/1.1\r\nhost: x\r\nauthorization: Bearer the-right-token-of-reader\r\n\r\n"
    )
    connection.sendall(head.encode() + more)
    return connection


def test_one_token_has_so_many_readers_and_a_reader_that_leaves_makes_room(limited: Service) -> None:
    with feed(limited, 37) as first, feed(limited, 37, more=b"GET / HTTP/1.1\r\nhost: x\r\n\r\n") as second:
        assert {each.recv(4096)[9:12] for each in (first, second)} == {b"200"}
        with feed(limited, 37) as third:
            assert third.recv(4096)[9:12] == b"503"
    deadline = time.monotonic() + 30
    while True:  # also the one that had another request behind it
        with feed(limited, 37) as third, feed(limited, 37) as fourth:
            if {each.recv(4096)[9:12] for each in (third, fourth)} == {b"200"}:
                break
        assert time.monotonic() < deadline


def test_who_asks_for_another_protocol_is_answered_in_this_one_and_closed(limited: Service) -> None:
    with connect(limited, 38) as connection:
        connection.sendall(
            b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
            + b"x" * 9000
        )
        assert said(connection).startswith(b"HTTP/1.1 200 ")


def test_whatever_was_refused_nothing_is_missing_and_doctor_shows_each_limit(limited: Service) -> None:
    done = run("doctor", "--data-dir", str(limited.log.with_suffix("")), "--json", connections_max=IN_ALL)
    findings = {each["check"]: each for each in msgspec.json.decode(done.stdout)}
    assert findings["conservation"]["level"] == "good", findings["conservation"]
    assert "reached" in findings["limit pipelined_requests_max"]["detail"]
    assert f"{IN_ALL} connections a web process" in findings["open files"]["detail"]
    log = limited.log.read_text()
    assert log.count("limit head_bytes_max is reached") == 1
    assert "Traceback" not in log
    assert " 500" not in log


def test_forgeries_from_many_addresses_at_once_are_all_answered(limited: Service) -> None:
    forged = msgspec.json.encode({"event_type": 1, "stream_id": "forged", "sign": "0" * 32, "t": 1})
    answers: list[bytes] = []

    def send(last: int) -> None:
        answers.extend(answer_to(limited, last, post(forged))[9:12] for _ in range(5))

    threads = [threading.Thread(target=send, args=(100 + number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"403"] * 50
