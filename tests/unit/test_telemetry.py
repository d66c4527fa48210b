"""Logs: what a line holds, and who says nothing in it."""

import json
import logging
from collections.abc import Iterator

import pytest

from streamledger import bootstrap
from streamledger.telemetry import configure_logging, facts


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_a_line_of_json_has_its_facts_and_its_exception(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    try:
        raise OSError("full")
    except OSError:
        logging.getLogger("streamledger.x").exception("a 盘 is %s", "full", extra=facts({"delivery_id": "7"}))
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["logger"], line["message"]) == ("error", "streamledger.x", "a 盘 is full")
    assert line["delivery_id"] == "7"
    assert line["at"].endswith("Z")
    assert "OSError: full" in line["exception"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_pool_does_not_tell_its_every_move(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap  # whatever else is loaded with the program
    configure_logging("info", form)
    logging.getLogger("psycopg.pool").info("connection requested")
    logging.getLogger("streamledger.y").info("said")
    assert len(capsys.readouterr().err.splitlines()) == 1
