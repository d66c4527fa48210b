"""Twelve minutes away in real time under the provider's own schedules, played by the simulator.

It takes half an hour and runs with STREAMLEDGER_TEST_DRILLS_LONG alone; the same on a clock that is played is
`tests/integration/intake/test_outage.py`, which runs always.
"""

import re
import subprocess
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.serving import COMMAND, Service, data_directory, end, run, serving, settings_of
from tests.deliveries import KEY
from tests.drills.activation import Unit
from tests.drills.drill import LONG, settled

BEFORE_S = 120
AWAY_S = 720
PLAY = ("--streams", "3", "--sessions-per-stream", "2", "--duration", "1200s", "--screenshot-interval", "60s")
FAULTLESS = tuple(
    part
    for fault in (
        "duplicates",
        "reorder",
        "lost-acknowledgements",
        "expired",
        "forged",
        "unsigned",
        "malformed",
    )
    for part in (f"--{fault}", "0")
)
RETRIES_S_MAX = 2000
"""From the return to the last retry."""


def answers(service: Service) -> dict[str, Any]:
    """Every session with its timeline, without what tells when and where it was received."""
    found = {}
    for session in (each for page in service.pages("/v1/sessions", limit=500) for each in page):
        path = f"/v1/sessions/{session['sequence']}/timeline"
        entries = [each for page in service.pages(path, limit=500) for each in page]
        for entry in entries:
            for name in ("position", "received_at", "delay_ms", "deliveries"):
                entry.pop(name, None)
        for name in (
            "position",
            "deliveries",
            *(["duration_ms"] * (session["duration_source"] == "running")),
        ):
            del session[name]
        found[session["sequence"]] = [session, entries]
    return found


@pytest.mark.skipif(not LONG, reason="takes half an hour: STREAMLEDGER_TEST_DRILLS_LONG=1")
def test_after_twelve_minutes_away_all_sessions_are_those_that_would_have_been(tmp_path: Path) -> None:
    play = (*PLAY, *FAULTLESS, "--starts-at", str(int(time.time())), "--key", KEY)
    with ExitStack() as stack:
        data_dir = stack.enter_context(data_directory(made=True))
        other_dir = stack.enter_context(data_directory(made=True))
        log = stack.enter_context((tmp_path / "simulate.log").open("w+"))
        # The socket stays: each try lasts until the reply's time-out, as with a machine that hangs. Where
        # it is refused at once the provider's schedule is over sooner than the twelve minutes.
        unit = stack.enter_context(closing(Unit(data_dir)))
        service = unit.start()
        stack.callback(lambda: end(service))
        simulate = subprocess.Popen(
            [*COMMAND, "simulate", "--url", unit.url, "--speed", "1", *play],
            env=settings_of(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        stack.callback(simulate.wait)
        stack.callback(simulate.kill)
        time.sleep(BEFORE_S)
        assert service.stop() == 0
        service.process.communicate()
        time.sleep(AWAY_S)
        service = unit.start()
        simulate.wait(RETRIES_S_MAX)
        log.seek(0)
        said = log.read()
        # A screenshot's tries end after 700 s; the last of them waited in the backlog.
        given_up = re.findall(r"never acknowledged: (\w+)", said)
        assert set(given_up) <= {"screenshot"}, said
        settled(service)
        counted = run("doctor", "--deep", "--data-dir", str(data_dir))
        assert counted.returncode == 0, counted.stdout
        with serving(other_dir, expiry_grace_s=86400) as other:
            again = run("simulate", "--url", other.url, "--speed", "max", *play, wait_s=300)
            assert again.returncode == 0, again.stdout + again.stderr
            settled(other)
            assert answers(service) == answers(other)
