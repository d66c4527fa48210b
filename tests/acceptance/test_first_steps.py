"""The README's first steps and the calls of the documents, typed as they stand there."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.serving import Service, data_directory, serving
from tests.house.rooms import ROOT
from tests.waiting import until

SHIPPED = "http://127.0.0.1:8470"
STATUS = "curl() { command curl -m 20 -o /dev/null -w '%{http_code}\\n' \"$@\"; }\n"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def blocks(paper: str, word: str) -> list[str]:
    """The shell's blocks of a document that hold a word."""
    return [
        each
        for each in re.findall(r"```sh\n(.*?)```", (ROOT / paper).read_text("utf-8"), re.S)
        if word in each
    ]


def typed(block: str, service: Service) -> str:
    """What a shell prints, when a block is typed in that means a server on the usual port."""
    assert SHIPPED in block
    ran = subprocess.run(
        ["bash", "-c", block.replace(SHIPPED, service.url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    start, callback, call = blocks("README.md", "export ") + blocks("README.md", "curl ")
    key = re.fullmatch(r"export STREAMLEDGER_CALLBACK_KEYS=(\S+)\nmake run\n", start)
    assert key is not None
    with data_directory(made=True) as data_dir, serving(data_dir, callback_keys=key[1]) as service:
        assert typed(callback, service) == '{"code":0}'
        until(lambda: "room-1" in typed(call, service))
        yield service


def test_the_first_callback_of_the_readme_is_believed_and_begins_a_session(served: Service) -> None:
    (call,) = blocks("README.md", "/v1/sessions/")
    session = json.loads(typed(call, served))
    assert (session["stream_id"], session["state"], session["app"]) == ("room-1", "live", "live.example.com")
    (delivery,) = served.read("/v1/deliveries")["items"]
    assert (delivery["class"], delivery["key"]) == ("first", "main")


@pytest.mark.parametrize(
    ("paper", "allowed"),
    [
        ("docs/http-api.md", {"200", "404"}),
        ("docs/time-travel.md", {"200", "404"}),
        ("docs/zh/start.md", {"200"}),
    ],
)
def test_the_calls_of_a_document_are_answered(served: Service, paper: str, allowed: set[str]) -> None:
    """404 is what was not known at a moment long ago, and a stream of the document's own."""
    lines = "".join(each for each in blocks(paper, "curl ") if "/events/live" not in each).splitlines(True)
    text = "".join(line for line in lines if not line.startswith("streamledger "))
    answers = typed(STATUS + text, served)
    assert len(re.findall("^curl ", text, re.M)) > 0
    statuses = re.findall(r"^\d{3}$", answers, re.M)
    assert len(statuses) == len(re.findall(r"^curl ", text, re.M))
    assert set(statuses) <= allowed
    assert "200" in statuses


def test_the_feed_of_the_document_tells_of_the_first_callback(served: Service, tmp_path: Path) -> None:
    (block,) = blocks("docs/http-api.md", "/events/live")
    told = tmp_path / "told"
    with (
        told.open("wb") as output,
        subprocess.Popen(
            ["bash", "-c", "exec " + block.strip().replace(SHIPPED, served.url)], stdout=output
        ) as follower,
    ):
        try:
            until(lambda: '"push-started.v1"' in told.read_text())
        finally:
            follower.terminate()
