"""What `rebuild` says of live rows beside the rebuilt ones: equal, different, or why not compared."""

import pytest

from streamledger.cli.rebuild import show
from streamledger.operations.rebuilt import Rebuilt
from streamledger.readmodel.rebuild.building import Standing


@pytest.mark.parametrize(
    ("live_position", "live_digest", "rebuilt_digest", "said"),
    [
        (7, "1-aa", "1-aa", "digest 1-aa, equal to that of the live rows"),
        (7, "1-ab", "1-aa", "digest 1-aa, live was 1-ab: DIFFERENT"),
        (3, None, None, "not compared: the live rows were at position 3"),
        (7, None, None, "not compared: version 402 of the rules made the live rows"),
    ],
)
def test_each_projection_is_told_with_its_verdict(
    live_position: int,
    live_digest: str | None,
    rebuilt_digest: str | None,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    standing = Standing(
        projection="sessions",
        live_position=live_position,
        rebuilt_position=7,
        live_digest=live_digest,
        rebuilt_digest=rebuilt_digest,
        live_version=402,
    )
    done = Rebuilt(
        id=1,
        purpose="rebuild",
        position=7,
        events=7,
        seconds=1.0,
        events_per_s=7.0,
        standings=[standing],
        switched=True,
        parked={},
        memory_bytes_max=2**20,
    )
    show(done)
    assert f"  sessions: {said}\n" in capsys.readouterr().out
