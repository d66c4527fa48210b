"""Broadcasts: sessions that overlap or follow each other within a window."""

from streamledger.domain.broadcast import Broadcast, Part, broadcasts


def part(sequence: str, from_s: int, until_s: int, state: str = "ended") -> Part:
    return Part(sequence=sequence, from_ms=from_s * 1000, until_ms=until_s * 1000, state=state)


def named(found: list[Broadcast]) -> list[list[str]]:
    return [[each.sequence for each in broadcast.parts] for broadcast in found]


def test_a_reconnect_within_the_window_is_one_broadcast_and_beyond_it_two() -> None:
    parts = [part("b", 160, 200), part("a", 0, 100)]
    assert named(broadcasts(parts, 60_000)) == [["a", "b"]]
    assert named(broadcasts(parts, 59_999)) == [["a"], ["b"]]


def test_on_air_time_and_gaps_make_up_the_whole() -> None:
    (found,) = broadcasts([part("a", 0, 100), part("b", 110, 200), part("c", 200, 250)], 60_000)
    assert (found.from_ms, found.until_ms) == (0, 250_000)
    assert found.on_air_ms == 240_000
    assert [(gap.from_ms, gap.until_ms) for gap in found.gaps] == [(100_000, 110_000)]
    assert found.reconnects == 2


def test_a_backup_that_overlaps_is_no_reconnect_and_counts_once() -> None:
    (found,) = broadcasts([part("main", 0, 100), part("backup", 5, 120)], 0)
    assert (found.on_air_ms, found.reconnects, found.gaps) == (120_000, 0, ())


def test_a_long_session_holds_together_what_short_ones_beside_it_would_not() -> None:
    parts = [part("long", 0, 1000), part("x", 10, 20), part("y", 900, 910)]
    assert named(broadcasts(parts, 0)) == [["long", "x", "y"]]


def test_a_broadcast_is_live_while_any_part_is() -> None:
    (live,) = broadcasts([part("a", 0, 10), part("b", 5, 20, "live"), part("c", 6, 7, "suspect")], 0)
    (suspect,) = broadcasts([part("a", 0, 10), part("c", 6, 7, "suspect")], 0)
    (ended,) = broadcasts([part("a", 0, 10)], 0)
    assert (live.state, suspect.state, ended.state) == ("live", "suspect", "ended")


def test_of_nothing_there_are_no_broadcasts() -> None:
    assert broadcasts([], 60_000) == []
