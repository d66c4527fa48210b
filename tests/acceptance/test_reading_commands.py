"""Reading commands: a store and a remote server answer the same, and a table fits an ordinary terminal."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner, Result

from streamledger.cli.main import cli
from streamledger.domain.errors import StreamledgerError
from tests.acceptance.serving import COMMAND, Service, data_directory, serving, settings_of, signed_now
from tests.deliveries import push_started, push_stopped, recording, screenshot

LONG_NAME = "a-stream-with-a-name-that-is-longer-than-the-room-which-a-terminal-has-for-it-" * 2
SEQUENCE = "2210464508206756938"
TOKENS = "looker:read:looking-token,chief:admin:chief-token"

READING = (
    ("sessions", "--since", "1d"),
    ("sessions", "--stream", "room/1 &é", "--state", "ended", "--until", "now"),
    ("session", SEQUENCE),
    ("session", SEQUENCE, "--as-of", "now"),
    ("timeline", SEQUENCE),
    ("timeline", SEQUENCE, "--known-at", "2"),
    ("explain", SEQUENCE),
    ("audit", "--since", "yesterday"),
    ("quarantine", "list", "--since", "today"),
    ("quarantine", "list", "--reason", "bad_signature", "--unreleased"),
    ("deliveries",),
    ("deliveries", "--class", "retry", "--stream", "room/1 &é", "--since", "2d"),
    ("delivery", "1"),
    ("streams",),
    ("streams", "--live"),
    ("tail", "--last", "5", "--count", "5"),
    ("tail", "--after", "0", "--kind", "recording", "--stream", "room/1 &é", "--count", "1"),
)


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[Service, tuple[str, ...]]]:
    """A server with tokens, what it was told, and the options by which the store itself is asked."""
    with data_directory(made=True) as data_dir, serving(data_dir, api_tokens=TOKENS) as service:
        now_s = int(time.time())
        stream, at_s = "room/1 &é", now_s - 300
        start = signed_now(push_started(stream, SEQUENCE, at_s))
        for body in (
            start,
            start,
            signed_now(screenshot(stream, at_s + 10)),
            signed_now(recording(stream, "file-1", at_s + 100)),
            signed_now(push_stopped(stream, SEQUENCE, at_s + 200)),
            signed_now(push_started(LONG_NAME, "2210464508206756939", at_s)),
            signed_now(push_started(stream, "7", at_s), key="forged"),
        ):
            service.post(body)
        answer = service.request(
            "GET",
            f"/v1/sessions?min_position={service.last_position}",
            headers={"Authorization": "Bearer looking-token"},
        )
        assert answer.status == 200
        yield service, ("--data-dir", str(data_dir))


def ask(arguments: Sequence[str], token: str | None = "looking-token", **environment: str) -> Result:
    kept = {name: None for name in os.environ if name.startswith("STREAMLEDGER_")}
    given = {} if token is None else {"STREAMLEDGER_SERVER_TOKEN": token}
    return CliRunner().invoke(cli, arguments, env={**kept, **given, **environment}, catch_exceptions=True)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_server_answers_what_its_store_answers(
    told: tuple[Service, tuple[str, ...]], arguments: tuple[str, ...]
) -> None:
    service, store = told
    here = ask([*arguments, *store, "--json"])
    there = ask([*arguments, "--json"], STREAMLEDGER_SERVER_URL=service.url + "/")
    assert here.exit_code == there.exit_code == 0, (here, there.output, there.exception)
    assert [without_now(line) for line in there.stdout.splitlines()] == [
        without_now(line) for line in here.stdout.splitlines()
    ]
    assert len(here.stdout) > 40


def without_now(line: str) -> object:
    """The answer without what goes on while it is asked: a live push lasts longer at each question."""

    def still(value: object) -> object:
        match value:
            case dict():
                return {
                    name: still(each)
                    for name, each in value.items()
                    if not (name == "duration_ms" and value.get("duration_source") == "running")
                }
            case list():
                return [still(each) for each in value]
        return value

    return still(json.loads(line))


@pytest.mark.parametrize("arguments", [each for each in READING if each[0] != "tail"], ids=" ".join)
def test_a_table_fits_eighty_columns(
    told: tuple[Service, tuple[str, ...]], arguments: tuple[str, ...]
) -> None:
    said = ask([*arguments, "--url", told[0].url], COLUMNS="80", TZ="Asia/Shanghai")
    assert said.exit_code == 0, said.output
    if arguments[0] in ("audit", "delivery"):  # sentences, which the terminal breaks, and JSON
        return
    assert max(map(len, said.stdout.splitlines())) <= 80, said.stdout
    assert "…" not in said.stdout, said.stdout  # nothing is cut off to fit
    assert len(said.stdout.splitlines()) > 1 or "--unreleased" in arguments


def test_one_quarantined_delivery_is_shown_and_its_bytes_to_an_admin_alone(
    told: tuple[Service, tuple[str, ...]],
) -> None:
    service, store = told
    listed = json.loads(ask(["quarantine", "list", "--json", *store]).stdout)["items"]
    show = ["quarantine", "show", listed[0]["id"], "--json"]
    for arguments in (show, [*show, "--whole"]):
        here = ask([*arguments, *store])
        there = ask([*arguments, "--url", service.url], token="chief-token")
        assert (there.exit_code, there.stdout) == (0, here.stdout)
    assert json.loads(ask([*show, "--whole", "--url", service.url]).stdout)["body"] is None


def test_doctor_says_of_a_server_what_that_tells_of_itself(told: tuple[Service, tuple[str, ...]]) -> None:
    said = ask(["doctor", "--url", told[0].url])
    assert said.exit_code == 0
    assert "ok    intake: deliveries are stored" in said.stdout
    assert "ok    projection sessions: caught up at position" in said.stdout


def test_tail_prints_what_comes_while_it_runs(told: tuple[Service, tuple[str, ...]]) -> None:
    service, _ = told
    with subprocess.Popen(
        [*COMMAND, "tail", "--last", "1", "--count", "2", "--json"],
        env=settings_of(server_url=service.url, server_token="looking-token"),
        stdout=subprocess.PIPE,
        text=True,
    ) as following:
        assert following.stdout is not None
        first = json.loads(following.stdout.readline())
        service.deliver(push_started("later", "99", int(time.time())))
        second = json.loads(following.stdout.readline())
        assert following.wait(30) == 0
    assert (second["position"], second["stream_id"]) == (first["position"] + 1, "later")


@pytest.mark.parametrize(
    ("arguments", "token", "code", "sentence"),
    [
        (("session", "404"), "looking-token", 4, "no session has the sequence 404"),
        (("session", "404", "--stream", "x"), "looking-token", 4, "of the stream x has the sequence 404"),
        (("sessions",), None, 1, "give a token of it in STREAMLEDGER_SERVER_TOKEN"),
        (("deliveries", "--since", "soon"), "looking-token", 2, "got 'soon'"),
        (("verify", "projections"), "looking-token", 2, "this command needs the store itself"),
        (("quarantine", "release", "x", "--because", "y"), "looking-token", 2, "needs the store itself"),
        (("sessions", "--data-dir", "x", "--url", "http://x"), None, 2, "give one of them"),
        (("sessions", "--url", "ftp://x"), None, 2, "expected https://HOST[/PREFIX]"),
        (("sessions", "--url", "http://127.0.0.1:1"), None, 3, "no streamledger answers at"),
        (("tail", "--url", "http://127.0.0.1:1"), None, 3, "no streamledger answers at"),
    ],
)
def test_what_a_server_cannot_answer_is_a_sentence(
    told: tuple[Service, tuple[str, ...]],
    arguments: tuple[str, ...],
    token: str | None,
    code: int,
    sentence: str,
) -> None:
    ended = ask(arguments, token, STREAMLEDGER_SERVER_URL=told[0].url)
    error = ended.exception
    assert (error.exit_code if isinstance(error, StreamledgerError) else ended.exit_code) == code
    assert sentence in f"{error} {ended.stderr}"


def test_another_kind_of_server_is_no_streamledger() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as other:
        threading.Thread(target=other.handle_request).start()
        said = ask(["sessions", "--url", f"http://127.0.0.1:{other.server_port}/"])
    assert "what is there answers 200 in another form" in str(said.exception)
