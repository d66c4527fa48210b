"""The load of `ingest`: wrk, which is not Python, with streams.lua."""

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import msgspec

from benchmarks.load import KEY

SCRIPT = Path(__file__).with_name("streams.lua")
VALID_S = 590
"""How far ahead the signature's time lies: under the ten minutes that Tencent gives."""


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """Which streams are played."""

    count: int = 2000
    callbacks: int = 26
    """From one start to the next: start, screenshots with a recording now and then, stop."""
    step_s: int = 10
    """Of the stream's own time, between two callbacks."""
    with_stops: bool = True


USUAL = Streams()
STOPLESS = Streams(count=20, callbacks=3, with_stops=False)
"""No stop URL is configured: a push every 30 s, and none ever ends."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What wrk measured."""

    answered: int
    duration_us: int
    p50_us: int
    p99_us: int
    refused: int
    """Answers other than 2xx and 3xx."""
    broken: int
    """Connections and requests that came to nothing."""

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.answered * 1_000_000 / self.duration_us


def refuse_without_wrk() -> None:
    """Ends the program with a sentence where wrk is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("the benchmark `ingest` needs wrk: apt-get install wrk (https://github.com/wg/wrk)")


def run(url: str, target: str, *, streams: Streams, connections: int, seconds: int, number: int) -> Load:
    """One run; `number` names its streams, so that no two runs on one server are repetitions."""
    t = int(time.time()) + VALID_S
    settings = {
        "T": t,
        "SIGN": hashlib.md5(f"{KEY}{t}".encode()).hexdigest(),
        "STREAMS": streams.count,
        "CALLBACKS": streams.callbacks,
        "STEP_S": streams.step_s,
        "RUN": number,
        "WITHOUT_STOPS": int(not streams.with_stops),
        "TARGET": target,
    }
    ended = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(SCRIPT), url],
        env={**os.environ, **{name: str(value) for name, value in settings.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    _, found, result = ended.stdout.partition("\nRESULT ")
    if not found:
        raise SystemExit(f"wrk failed: {ended.stderr or ended.stdout}")
    load = msgspec.json.decode(result, type=Load)
    assert not load.refused, ended.stdout
    return load
