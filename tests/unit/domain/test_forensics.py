"""What a delivery is: retries on the documented schedules, replays off them, conflicts, releases."""

from collections.abc import Sequence

import msgspec
import pytest

from streamledger.domain import forensics
from streamledger.domain.forensics import REASONS, Judged, Known, Sighting
from streamledger.domain.kinds import PRESUMED_SCHEDULES, schedules_of
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S

FIRST_S = 1_713_731_479
HAPPENED_S = FIRST_S - 1
HOUR_S, DAY_S = 3600, 86400
TENCENT, STRANGER = "192.0.2.7", "198.51.100.9"


def sighting(
    after_s: float,
    *,
    renewed: bool = False,
    source_ip: str = TENCENT,
    content: str = "as it was",
    released: bool = False,
    key: str | None = "main",
    address_known: bool = False,
    keys_beside: tuple[str, ...] = (),
    signed_s: float | None = None,
) -> Sighting:
    """A delivery so long after the first, with the first's t or one that was renewed for it."""
    received_ms = round((FIRST_S + after_s) * 1000)
    t = str(FIRST_S + SIGNATURE_VALIDITY_S + (int(after_s) if renewed else 0))
    if signed_s is not None:
        t = str(int(FIRST_S + signed_s) + SIGNATURE_VALIDITY_S)
    return Sighting(
        position=received_ms,
        received_ms=received_ms,
        source_ip=source_ip,
        content=content,
        bytes_digest=hash((content, t)),
        t=t,
        key=key,
        happened_ms=HAPPENED_S * 1000,
        was_released=released,
        address_known=address_known,
        keys_beside=keys_beside,
    )


def judged(sightings: Sequence[Sighting], event_type: int = 1) -> list[Judged]:
    """Deliveries of one notification, judged one after another."""
    schedules = schedules_of(event_type) or PRESUMED_SCHEDULES
    known: Known | None = None
    found = []
    for each in sightings:
        if known is None:
            found.append(forensics.judge_first(each, SIGNATURE_VALIDITY_S))
            known = forensics.begin(each, SIGNATURE_VALIDITY_S)
        else:
            found.append(forensics.judge(known, each, schedules, SIGNATURE_VALIDITY_S))
            known = forensics.remember(known, each, found[-1], SIGNATURE_VALIDITY_S)
    return found


def classes(found: Sequence[Judged]) -> list[tuple[str, int | None]]:
    return [(each.judged_as.value, each.try_number) for each in found]


def second(after_s: float, event_type: int = 1, **how: object) -> Judged:
    """The judgement of a second delivery."""
    return judged([sighting(0), sighting(after_s, **how)], event_type)[1]  # type: ignore[arg-type] # passed on


@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.parametrize("timeout_s", [0, 0.8, 7, 20])
@pytest.mark.parametrize(
    ("event_type", "interval_s", "retries"), [(1, 60, 12), (0, 60, 12), (100, 60, 12), (200, 120, 5)]
)
def test_each_try_of_todays_schedule_is_a_retry_however_long_it_waited_for_replies(
    event_type: int, interval_s: int, retries: int, timeout_s: float, renewed: bool
) -> None:
    step_s = interval_s + timeout_s
    found = judged([sighting(step_s * n, renewed=renewed) for n in range(retries + 1)], event_type)
    late = {n for n in range(retries + 1) if not renewed and step_s * n > SIGNATURE_VALIDITY_S}
    assert classes(found) == [
        ("first", None),
        *(("late_retry" if n in late else "retry", n) for n in range(1, retries + 1)),
    ]
    assert {each.evidence.grid.era for each in found[1:] if each.evidence.grid} == {"today"}
    assert all(each.evidence.t == ("renewed" if renewed else "same") for each in found[1:])


def test_the_seeds_three_retries_a_minute_apart_are_retries_of_every_type_it_knew() -> None:
    for event_type in (0, 1, 100, 200):
        found = judged([sighting(60 * n) for n in range(4)], event_type)
        assert classes(found)[1:] == [("retry", 1), ("retry", 2), ("retry", 3)]


def test_the_three_retries_of_2016_are_retries() -> None:
    found = judged([sighting(3.1 * n) for n in range(4)])
    assert classes(found)[1:] == [("retry", 1), ("retry", 2), ("retry", 3)]
    assert found[1].evidence.grid is not None
    assert found[1].evidence.grid.era == "2016"


def test_tries_that_never_arrived_are_counted() -> None:
    found = judged([sighting(0), sighting(181), sighting(181 + 60.5)])
    assert classes(found) == [("first", None), ("retry", 3), ("retry", 4)]


def test_slow_tries_that_never_arrived_do_not_use_the_schedule_up() -> None:
    after_ten_slow_s = 8 * 60 + 77 + 80
    found = judged([sighting(after_s) for after_s in (0, after_ten_slow_s, after_ten_slow_s + 80 + 80)])
    grid = found[1].evidence.grid
    assert grid is not None
    assert (grid.retry, grid.retry_min) == (10, 8)
    assert [each.judged_as for each in found] == ["first", "late_retry", "late_retry"]


def test_a_schedule_that_is_used_up_explains_nothing_more() -> None:
    found = judged([sighting(60 * n, renewed=True) for n in range(14)])
    assert classes(found)[12] == ("retry", 12)
    assert classes(found)[13] == ("replay", None)
    assert "off_schedule" in found[13].evidence.because


def test_twelve_tries_that_all_timed_out_end_later_than_the_schedule_says() -> None:
    assert classes([second(12 * 80 + 20, renewed=True)]) == [("retry", 12)]
    assert classes([second(12 * 80 + 21, renewed=True)]) == [("replay", None)]


@pytest.mark.parametrize("after_s", [84, 87, 95, 100])
@pytest.mark.parametrize("renewed", [True, False])
def test_a_retry_that_waited_in_our_own_queue_is_still_one(after_s: float, renewed: bool) -> None:
    assert classes([second(after_s, renewed=renewed)]) == [("retry", 1)]


@pytest.mark.parametrize("after_s", [0, 0.02, 1.9, -0.5])
def test_a_copy_within_two_seconds_is_the_same_try_again(after_s: float) -> None:
    found = second(after_s)
    assert classes([found]) == [("retry", 0)]
    assert found.evidence.because == ("sent_twice",)
    assert found.evidence.bytes == "same"


def test_a_retry_that_is_sent_twice_keeps_its_number() -> None:
    found = judged([sighting(0), sighting(60), sighting(61), sighting(120.2)])
    assert classes(found)[1:] == [("retry", 1), ("retry", 1), ("retry", 2)]


@pytest.mark.parametrize("after_s", [12, 30, 45, 56, 101, 116, HOUR_S, DAY_S])
@pytest.mark.parametrize("renewed", [True, False])
def test_what_fits_no_schedule_is_a_replay(after_s: float, renewed: bool) -> None:
    found = second(after_s, renewed=renewed)
    assert found.judged_as == "replay"
    assert "off_schedule" in found.evidence.because
    assert found.evidence.since_first_s == after_s
    assert ("after_t" in found.evidence.because) is (not renewed and after_s > 600)


@pytest.mark.parametrize("after_s", [60, 90, 150, 165, 230])
def test_a_screenshot_keeps_to_its_own_schedule(after_s: float) -> None:
    fits = {60: 1, 90: 1, 150: 1, 165: 2, 230: 3}  # of the seed's 60 s, with delays, but for 150
    assert second(after_s, 200).try_number == fits.get(int(after_s))


def test_a_replay_does_not_shift_the_senders_grid() -> None:
    found = judged([sighting(0), sighting(30), sighting(60), sighting(105), sighting(120)])
    assert [each.judged_as for each in found] == ["first", "replay", "retry", "replay", "retry"]


def test_another_address_is_a_replay_even_on_the_grid() -> None:
    found = second(60, source_ip=STRANGER)
    assert classes([found]) == [("replay", None)]
    assert found.evidence.because == ("other_address",)
    assert found.evidence.address == "other"
    assert found.evidence.grid is not None
    assert found.evidence.grid.retry == 1


def test_a_signature_older_than_the_first_is_no_retry() -> None:
    found = judged([sighting(0), msgspec.structs.replace(sighting(60), t=str(FIRST_S + 599))])
    assert classes(found)[1] == ("replay", None)
    assert found[1].evidence.because == ("older_t",)


def test_an_address_that_is_not_known_is_not_another_one() -> None:
    found = second(60, source_ip="")
    assert classes([found]) == [("retry", 1)]
    assert found.evidence.address is None


def test_a_captured_signature_with_another_body_is_a_conflict_that_shows_the_same_t() -> None:
    found = judged([sighting(0), sighting(200, content="altered"), sighting(290, content="altered")])
    assert [each.judged_as for each in found] == ["first", "conflict", "conflict"]
    assert found[1].evidence.t == "same"
    assert found[1].evidence.bytes == "other"
    assert found[1].evidence.same_as is None
    assert found[2].evidence.same_as == sighting(200).position


def test_a_captured_signature_under_an_invented_fact_is_marked() -> None:
    def signed_before(seconds: int) -> Judged:
        return judged([msgspec.structs.replace(sighting(0), happened_ms=(FIRST_S + seconds) * 1000)])[0]

    assert signed_before(300).judged_as == "first"
    assert signed_before(300).evidence.because == ("signed_early",)
    assert signed_before(300).evidence.signed_after_s == -300
    assert signed_before(59).evidence.because == ()
    assert signed_before(-422).evidence.because == ()


def test_a_released_delivery_is_released_wherever_it_stands() -> None:
    alone = judged([sighting(0, released=True), sighting(60)])
    assert classes(alone) == [("released", None), ("retry", 1)]
    behind = judged([sighting(60), sighting(0, released=True, content="altered")])
    assert [each.judged_as for each in behind] == ["first", "released"]
    assert behind[1].evidence.since_first_s == -60
    assert behind[1].evidence.because == ("operator_decision", "other_content")


def test_the_evidence_tells_key_and_time_of_signing() -> None:
    found = judged([sighting(0), sighting(120, renewed=True, key="rotated")])
    assert found[0].evidence.signed_after_s == 1
    assert found[1].evidence.signed_after_s == 121
    assert found[0].evidence.key is None
    assert found[1].evidence.key == "rotated"


def test_a_type_without_a_stated_schedule_is_judged_by_the_presumed_one() -> None:
    found = second(60, 332)
    assert classes([found]) == [("retry", 1)]
    assert found.evidence.grid is not None
    assert found.evidence.grid.era == "presumed"


@pytest.mark.parametrize("t", ["9" * 64, "0", "", None])
def test_a_t_that_names_no_time_is_compared_and_not_calculated_with(t: str | None) -> None:
    first = Sighting(
        position=1,
        received_ms=FIRST_S * 1000,
        content="c",
        bytes_digest=1,
        t=t,
        happened_ms=HAPPENED_S * 1000,
    )
    found = judged([first, sighting(60, content="c")])
    assert found[0].evidence.signed_after_s is None
    assert found[0].evidence.late_s is None
    assert found[1].evidence.t == "renewed"


def test_what_is_remembered_is_bounded() -> None:
    many = [sighting(n, content=str(n)) for n in range(100)]
    known = forensics.begin(many[0], SIGNATURE_VALIDITY_S)
    for each in many[1:]:
        found = forensics.judge(known, each, (), SIGNATURE_VALIDITY_S)
        known = forensics.remember(known, each, found, SIGNATURE_VALIDITY_S)
    assert known.deliveries == 100
    assert len(known.other_contents or ()) == forensics.OTHER_CONTENTS_MAX


def test_every_reason_has_words() -> None:
    cases = [second(60), second(1), second(30), second(HOUR_S), second(60, source_ip=STRANGER)]
    cases += [judged([sighting(5, renewed=True), sighting(65)])[1]]
    cases += judged([msgspec.structs.replace(sighting(0), happened_ms=(FIRST_S + 90) * 1000)])
    cases += [second(0, released=True), second(5, content="altered"), second(5, key="other")]
    # Of a pair that came from elsewhere too the senders tell, and the quarantine of what was not believed.
    told = {code for case in cases for code in case.evidence.because}
    assert told == REASONS.keys() - {"never_believed", "pair_elsewhere"}


def test_a_signed_anew_retry_that_was_handled_before_the_first_try_accuses_nobody() -> None:
    found = judged([sighting(60, renewed=True), sighting(60.5, signed_s=0)])
    assert classes(found)[1] == ("retry", 0)
    assert (found[1].evidence.t, found[1].evidence.because) == ("older", ("sent_twice",))


def test_a_retry_may_come_from_another_address_that_is_known_to_be_the_senders() -> None:
    found = second(60, source_ip=STRANGER, address_known=True)
    assert classes([found]) == [("retry", 1)]
    assert found.evidence.address == "known"
    assert classes([second(30, source_ip=STRANGER, address_known=True)]) == [("replay", None)]


@pytest.mark.parametrize("after_s", [-1, 0.3, 12, 25])
def test_the_same_fact_by_the_key_of_another_template_is_a_twin_with_tries_of_its_own(after_s: float) -> None:
    tries = [sighting(0), sighting(after_s, key="second", renewed=True)]
    tries += [sighting(60)]
    tries += [sighting(after_s + step_s, key="second", renewed=True) for step_s in (60, 140)]
    assert classes(judged(tries)) == [
        ("first", None),
        ("twin", 0),
        ("retry", 1),
        ("retry", 1),
        ("retry", 2),
    ]


def test_a_key_that_replaced_another_makes_no_twin_and_one_beside_it_does() -> None:
    assert classes([second(61, key="next", renewed=True)]) == [("retry", 1)]
    beside = second(61, key="next", renewed=True, keys_beside=("main",))
    assert (classes([beside]), beside.evidence.because) == ([("twin", 0)], ("other_key",))
    assert classes([second(61, key="next", source_ip=STRANGER)]) == [("replay", None)]
