"""How the simulator plans, signs and spoils its calls."""

import hashlib
import json
from functools import cache

import pytest

from streamledger.domain.notification import Kind
from streamledger.simulator.delivery import (
    Call,
    Era,
    Faults,
    Malformation,
    Manner,
    RetrySchedule,
    Signing,
    body_of,
    plan,
    retry_schedule,
    t_of,
)
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.truth import History, Shape

STARTS_AT_MS = 1_713_731_478_000
NOW_S = 1_713_735_078
SIGNING = Signing(key="abc")
EVERYTHING = Faults(
    duplicates=0.2,
    reorder=0.2,
    lost_acknowledgements=0.2,
    expired=0.2,
    forged=0.2,
    unsigned=0.2,
    malformed=0.2,
    altered=0.2,
)


@cache
def drawn() -> History:
    return generate(Shape(), starts_at_ms=STARTS_AT_MS, random=randomness(1, STARTS_AT_MS, "history"))


def planned(faults: Faults, *, signed: bool = True) -> tuple[Call, ...]:
    random = randomness(1, STARTS_AT_MS, "faults")
    return plan(drawn().facts, faults, random=random, signed=signed)


def of_manner(calls: tuple[Call, ...], manner: Manner) -> list[Call]:
    found = [call for call in calls if call.manner is manner]
    assert found
    return found


def sent(call: Call) -> dict[str, object]:
    body = json.loads(body_of(call, SIGNING, t_of(call, SIGNING, NOW_S)))
    assert isinstance(body, dict)
    return body


def right_sign(body: dict[str, object]) -> bool:
    return body["sign"] == hashlib.md5(f"abc{body['t']}".encode()).hexdigest()


@pytest.mark.parametrize(
    ("event_type", "era", "expected"),
    [
        (1, Era.TODAY, RetrySchedule(12, 60)),
        (0, Era.TODAY, RetrySchedule(12, 60)),
        (100, Era.TODAY, RetrySchedule(12, 60)),
        (317, Era.TODAY, RetrySchedule(12, 60)),
        (200, Era.TODAY, RetrySchedule(5, 120)),
        (200, Era.SEED, RetrySchedule(3, 60)),
        (0, Era.EARLY, RetrySchedule(3, 3)),
    ],
)
def test_retries_follow_the_documented_schedule(event_type: int, era: Era, expected: RetrySchedule) -> None:
    assert retry_schedule(event_type, era) == expected


def test_without_faults_every_fact_is_called_once_in_order_of_time() -> None:
    calls = planned(Faults())
    facts = drawn().facts
    assert [call.fact for call in calls] == list(range(len(facts)))
    assert [call.at_ms for call in calls] == [fact.called_at_ms for fact in facts]
    assert not any(call.acknowledgement_lost for call in calls)


def test_every_fact_has_exactly_one_genuine_call_whatever_the_faults() -> None:
    genuine = of_manner(planned(EVERYTHING), Manner.GENUINE)
    assert sorted(call.fact for call in genuine) == list(range(len(drawn().facts)))
    assert any(call.acknowledgement_lost for call in genuine)


def test_the_same_seed_plans_the_same_bytes_in_the_same_order() -> None:
    first, second = (
        [body_of(call, SIGNING, t_of(call, SIGNING, NOW_S)) for call in planned(EVERYTHING)] for _ in range(2)
    )
    assert first == second


def test_one_fault_turned_on_leaves_the_others_as_they_were() -> None:
    lost = {call.fact for call in planned(Faults(lost_acknowledgements=0.2)) if call.acknowledgement_lost}
    assert lost == {call.fact for call in planned(EVERYTHING) if call.acknowledgement_lost}


def test_a_genuine_call_is_signed_with_the_key_and_valid_for_600_s() -> None:
    body = sent(planned(Faults())[0])
    assert body["t"] == NOW_S + 600
    assert right_sign(body)


def test_the_known_pair_of_the_protocol_verifies() -> None:
    call = planned(Faults())[0]
    body = json.loads(body_of(call, Signing(key="streamledger-test-key"), 1_713_732_078))
    assert body["sign"] == "150a2cbea86225e227c1f2ba293fec83"


def test_sign_and_t_stand_where_tencent_puts_them() -> None:
    start = next(call for call in planned(Faults()) if call.kind is Kind.PUSH_STARTED)
    assert list(sent(start)) == sorted(sent(start))
    recording = next(call for call in planned(Faults()) if call.kind is Kind.RECORDING)
    assert list(sent(recording))[-2:] == ["sign", "t"]


def test_reordering_lets_others_overtake() -> None:
    order = [call.fact for call in planned(Faults(reorder=0.2))]
    assert order != sorted(order)


def test_a_duplicate_carries_the_t_of_its_original_and_comes_on_the_retry_grid() -> None:
    calls = planned(EVERYTHING)
    by_number = {call.number: call for call in calls}
    for copy in of_manner(calls, Manner.DUPLICATE):
        original = by_number[copy.signed_as]
        assert original.manner is Manner.GENUINE
        assert copy.body == original.body
        assert copy.at_ms - original.at_ms == retry_schedule(copy.event_type).apart_s * 1000


def test_an_expired_call_is_rightly_signed_but_its_t_has_passed() -> None:
    for call in of_manner(planned(EVERYTHING), Manner.EXPIRED):
        body = sent(call)
        assert right_sign(body)
        assert isinstance(body["t"], int)
        assert body["t"] < NOW_S


def test_a_forged_call_has_a_wrong_sign_and_tells_what_never_happened() -> None:
    true = {(fact.stream_id, fact.kind, fact.key) for fact in drawn().facts}
    names = {
        Kind.PUSH_STARTED: "sequence",
        Kind.PUSH_STOPPED: "sequence",
        Kind.RECORDING: "file_id",
        Kind.SCREENSHOT: "pic_url",
    }
    calls = planned(EVERYTHING)
    for call in of_manner(calls, Manner.FORGED) + of_manner(calls, Manner.UNSIGNED):
        body = sent(call)
        assert "sign" not in body or not right_sign(body)
        if call.kind in names:
            assert (body["stream_id"], call.kind, body[names[call.kind]]) not in true


def test_an_unsigned_call_has_neither_t_nor_sign() -> None:
    for call in of_manner(planned(EVERYTHING), Manner.UNSIGNED):
        assert not {"t", "sign"} & set(sent(call))


def test_an_altered_call_is_rightly_signed_over_another_content() -> None:
    for call in of_manner(planned(EVERYTHING), Manner.ALTERED):
        body = sent(call)
        assert right_sign(body)
        fact = drawn().facts[call.fact]
        assert {name for name in fact.body if name not in ("t", "sign") and fact.body[name] != body[name]}


def test_a_malformed_call_is_no_json_object_with_an_event_type() -> None:
    malformed = of_manner(planned(EVERYTHING), Manner.MALFORMED)
    assert {call.malformation for call in malformed} == set(Malformation)
    for call in malformed:
        try:
            body = json.loads(body_of(call, SIGNING, NOW_S))
        except ValueError:
            continue
        assert not isinstance(body, dict) or "event_type" not in body


def test_without_a_key_nothing_is_signed_and_nothing_suspicious_is_played() -> None:
    calls = planned(EVERYTHING, signed=False)
    assert {call.manner for call in calls} == {Manner.GENUINE, Manner.DUPLICATE, Manner.MALFORMED}
    body = json.loads(body_of(of_manner(calls, Manner.GENUINE)[0], Signing(key=None), NOW_S))
    assert not {"t", "sign"} & set(body)
