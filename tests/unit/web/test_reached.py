"""A limit that is reached a thousand times is counted a thousand times and told twice."""

import logging

import pytest

from streamledger.web.reached import ReachedLimits


def test_a_spell_has_a_line_at_its_beginning_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    now_s, counted = 0.0, []
    reached = ReachedLimits(lambda: now_s)
    with caplog.at_level(logging.INFO):
        reached.note("head_bytes_max", "192.0.2.1")
        reached.count_with(counted.append)
        for _ in range(999):
            reached.note("head_bytes_max", "192.0.2.2")
            reached.note("idle_s_max", "192.0.2.3")
        reached.look()
        assert len(caplog.messages) == 1
        assert (
            "limit head_bytes_max is reached (answered 431 late, closed), first by 192.0.2.1" in caplog.text
        )
        now_s = 61.0
        reached.look()
        reached.look()
        assert caplog.messages[1:] == [
            "over: limit head_bytes_max is reached (answered 431 late, closed), 1000 times in 61 s"
        ]
        reached.note("head_bytes_max", None)
    assert len(caplog.messages) == 3
    assert (counted.count("limit:head_bytes_max"), counted.count("limit:idle_s_max")) == (1001, 999)
