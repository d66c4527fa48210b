"""The command line of the simulator: defaults, exit codes and output."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streamledger.cli.simulate import simulate
from streamledger.simulator.delivery import sign

SMALL = ["--streams=2", "--sessions-per-stream=1", "--duration=1m", "--speed=max", "--retries=2016"]


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append((self.path, body))
        self.send_response(type(self).status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 64  # with the usual 5, some of 16 connections would wait a second to be let in


seen: list[tuple[str, bytes]] = []


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.delenv("STREAMLEDGER_CALLBACK_KEYS", raising=False)
    monkeypatch.delenv("STREAMLEDGER_CALLBACK_TOKEN", raising=False)
    monkeypatch.setattr(Receiver, "status", 200)
    seen.clear()
    server = Server(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, [*SMALL, *arguments])


def test_the_report_is_json_when_asked_for(url: str) -> None:
    result = ran("--url", url, "--key", "abc", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["facts"] == report["facts_acknowledged"] > 0
    assert report["tries"] == report["acknowledged"] + report["refused"] + report["failed"]


def test_the_report_for_people_states_the_account_and_how_to_repeat_it(url: str) -> None:
    result = ran("--url", url, "--key", "abc", "--starts-at", "1700000000")
    assert "tries by manner" in result.stdout
    assert " acknowledged + " in result.stdout
    assert "repeat with --seed 1 --starts-at 1700000000" in result.stderr


@pytest.mark.parametrize(("keys", "key"), [("main:abc,old:xyz", "abc"), ("abc", "abc")])
def test_the_key_is_by_default_the_first_of_the_settings(
    url: str, monkeypatch: pytest.MonkeyPatch, keys: str, key: str
) -> None:
    arguments = ["--url", url, "--starts-at", "1700000000", "--duplicates=0", "--lost-acknowledgements=0"]
    monkeypatch.setenv("STREAMLEDGER_CALLBACK_KEYS", keys)
    assert ran(*arguments).exit_code == 0
    body = next(json.loads(body) for _, body in seen if body.endswith(b"}") and b'"sign"' in body)
    assert body["sign"] == sign(key, body["t"])


def test_without_a_key_the_calls_are_unsigned_and_it_says_so(url: str) -> None:
    result = ran("--url", url)
    assert "no sign" in result.stderr
    assert not any(b'"sign"' in body for _, body in seen)


def test_the_token_is_the_last_part_of_the_path(url: str) -> None:
    ran("--url", url, "--token", "s3cret")
    assert {path for path, _ in seen} == {"/callbacks/tencent/s3cret"}


def test_a_fact_that_is_never_acknowledged_makes_it_exit_with_1(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Receiver, "status", 503)
    result = ran("--url", url, "--key", "abc")
    assert result.exit_code == 1
    assert "never acknowledged: " in result.stdout


def test_a_receiver_that_does_not_listen_makes_it_exit_with_3() -> None:
    with socket.socket() as unheard:  # bound, never listening: nobody else can take the port
        unheard.bind(("127.0.0.1", 0))
        result = ran("--url", f"http://127.0.0.1:{unheard.getsockname()[1]}", "--key", "abc")
    assert result.exit_code == 3
    assert "Error: no receiver answers at http://127.0.0.1:" in result.stderr
    assert result.stdout == ""


def test_the_truth_is_written_for_an_oracle(url: str, tmp_path: Path) -> None:
    ran("--url", url, "--truth", str(tmp_path / "truth.json"), "--starts-at", "1700000000")
    sessions = json.loads((tmp_path / "truth.json").read_text())
    starts = {
        json.loads(body)["sequence"] for _, body in seen if b'"event_type":1,' in body and body[-1:] == b"}"
    }
    assert starts <= {session["sequence"] for session in sessions}
    assert starts


@pytest.mark.parametrize(
    "arguments",
    [
        ["--speed=fast"],
        ["--speed=-1"],
        ["--speed=nan"],
        ["--duration=1x"],
        ["--duration=3s"],
        ["--live"],  # joined with the --speed=max of these tests
        ["--live", "--speed=1", "--starts-at=1"],
        ["--forged=2"],
        ["--url=nowhere"],
    ],
)
def test_what_cannot_be_played_makes_it_exit_with_2(arguments: list[str]) -> None:
    assert ran(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("key", "said"), [((), "takes signed ones only"), (("--key", "another"), "refuses deliveries signed")]
)
def test_a_receiver_that_refuses_the_first_calls_is_left_alone(
    url: str, monkeypatch: pytest.MonkeyPatch, key: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(Receiver, "status", 403)
    result = ran("--url", url, "--streams=50", "--connections=16", *key)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(seen) <= 100  # those of other manners may go before the first genuine one
