"""Who is known to send: addresses by what they first showed, keys side by side, pairs shown twice."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamledger.domain import senders as senders_of_the_domain
from streamledger.domain.senders import POSITIONS_MAX, Senders, Shown

T_S = 1_764_000_600
POOL, SECOND, STRANGER = "192.0.2.7", "192.0.2.8", "198.51.100.9"


def shown(position: int, source_ip: str, after_s: int, key: str = "main") -> Shown:
    """A delivery whose pair was signed so long after the first one's."""
    return Shown(position, source_ip, key, T_S + after_s, f"{key}-{after_s}")


def taken_in(shown: Iterable[Shown]) -> tuple[Senders, list[int]]:
    """What is known of senders after these deliveries, and the positions that have to be marked."""
    senders = Senders()
    return senders, [position for each in shown for position in senders.take(each)]


def test_an_address_is_known_from_the_third_t_that_it_was_the_first_to_show() -> None:
    senders, _ = taken_in(shown(position, POOL, position) for position in (1, 2, 3, 4))
    assert [senders.is_known(POOL, position) for position in (2, 3, 4)] == [False, True, True]


def test_one_that_repeats_what_another_has_shown_is_never_known() -> None:
    senders, _ = taken_in(
        each
        for number in range(1, 9)
        for each in (shown(2 * number, POOL, number), shown(99, STRANGER, number))
    )
    assert senders.is_known(POOL, 100)
    assert not senders.is_known(STRANGER, 100)
    once = taken_in(shown(position, STRANGER, 5) for position in range(9))[0]
    assert not once.is_known(STRANGER, 100)


def test_a_captured_pair_marks_what_came_with_it_from_an_unknown_address_whoever_was_first() -> None:
    made_known = [shown(position, POOL, position) for position in (1, 2, 3)]
    _, marked = taken_in([*made_known, shown(4, POOL, 60), shown(5, STRANGER, 60), shown(6, POOL, 60)])
    assert marked == [5]
    _, marked = taken_in([*made_known, shown(4, STRANGER, 60), shown(5, STRANGER, 60), shown(6, POOL, 60)])
    assert marked == [4, 5]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from([1, 1, 20])), max_size=20)
)
def test_what_says_nothing_new_may_be_passed_over(came: list[tuple[str, int, int]]) -> None:
    class Whole(Senders):
        def take(self, shown: Shown) -> list[int]:
            pair = self.pairs.get((shown.t_s, shown.sign))
            if pair is None:
                return super().take(shown)
            return self._again(pair, shown)

    quick, whole = Senders(), Whole()
    each_by_itself = [(ip, after_s) for ip, after_s, times in came for _ in range(times)]
    for position, (ip, after_s) in enumerate(each_by_itself, start=1):
        assert quick.take(shown(position, ip, after_s)) == whole.take(shown(position, ip, after_s))
    assert (quick.pairs, quick.known_from, quick.shown) == (whole.pairs, whole.known_from, whole.shown)


def test_of_what_came_with_a_pair_before_it_was_known_as_captured_the_first_are_marked() -> None:
    made_known = [shown(position, POOL, position) for position in (1, 2, 3)]
    many = [shown(position, STRANGER, 60) for position in range(4, 99)]
    senders, marked = taken_in([*made_known, *many, shown(99, POOL, 60)])
    assert marked == [*range(4, 4 + POSITIONS_MAX)]
    assert senders.take(shown(100, STRANGER, 60)) == [100]


def test_facts_signed_in_one_second_by_a_pool_or_before_anybody_is_known_are_normal() -> None:
    known = [
        shown(2 * n + place, ip, 2 * n + place) for n in range(3) for place, ip in ((0, POOL), (1, SECOND))
    ]
    senders, marked = taken_in([*known, shown(10, POOL, 60), shown(11, SECOND, 60), shown(12, POOL, 60)])
    assert marked == []
    assert senders.is_known(SECOND, 10)
    assert taken_in([shown(1, POOL, 0), shown(2, STRANGER, 0)])[1] == []


def test_the_first_pairs_that_came_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders_of_the_domain, "PAIRS_MAX", 100)
    made_known = [shown(position, POOL, position) for position in (1, 2, 3)]
    later = [shown(10 + n, POOL, 10 + n) for n in range(100)]
    senders, marked = taken_in([*made_known, *later])
    assert list(senders.pairs) == [(each.t_s, each.sign) for each in later]
    assert senders.gone_pairs == {(each.t_s, each.sign) for each in made_known}
    assert senders.changed_pairs == senders.pairs.keys()
    assert marked == []
    assert senders.take(shown(999, STRANGER, 10)) == [999]
    assert senders.take(shown(999, STRANGER, 1)) == []


def test_old_deliveries_tell_of_senders_as_new_ones_do_whichever_came_first() -> None:
    new = [shown(position, POOL, position) for position in (1, 2, 3)]
    old = [shown(10 + n, SECOND, n - 90_000) for n in range(3)]
    captured = [shown(20, STRANGER, -80_000), shown(21, SECOND, -80_000)]
    senders, marked = taken_in([*new, *old, *captured])
    assert senders.is_known(SECOND, 12)
    assert marked == [20]


def test_keys_stand_side_by_side_when_the_older_one_still_signs_a_minute_later() -> None:
    two = [shown(n, POOL, 10 * n, key) for n, key in enumerate(["main", "second"] * 6, start=1)]
    senders, _ = taken_in(two)
    assert senders.keys_beside("main", 12) == ("second",)
    assert senders.keys_beside("second", 3) == ()
    replaced = [shown(n, POOL, 10 * n, "old" if n < 6 else "new") for n in range(1, 12)]
    senders, _ = taken_in([*replaced, shown(12, POOL, 50, "old")])
    assert senders.keys_beside("new", 12) == ()
