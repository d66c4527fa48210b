"""The demo's story: a past with every kind of trouble, and a present that goes on from it."""

from collections import Counter

from streamledger.domain.notification import Kind
from streamledger.simulator.delivery import Manner, Signing
from streamledger.simulator.story import PAST_S, STRANGER, received, story

NOW_MS = 1_732_700_000_000


def test_the_past_has_every_manner_of_delivery_and_the_future_goes_on() -> None:
    calls = story(NOW_MS, streams=4, seed=1, images="http://127.0.0.1:1/static")
    past = [call for call in calls if call.at_ms <= NOW_MS]
    assert {call.manner for call in past} >= set(Manner) - {Manner.TWIN}
    assert NOW_MS - calls[0].at_ms <= PAST_S * 1000
    assert Counter(call.kind for call in past)[Kind.PUSH_ERROR] >= 5
    for name in ("main-stage", "rooftop"):
        later = [call for call in calls if call.at_ms > NOW_MS and call.body["stream_id"] == name]
        assert any(call.kind is Kind.SCREENSHOT for call in later)
    assert story(NOW_MS, streams=4, seed=1, images="http://127.0.0.1:1/static") == calls


def test_a_day_of_one_stream_has_every_manner_of_delivery_too_at_whatever_time_it_is_begun() -> None:
    for later_ms in range(0, 12 * 301_000, 301_000):
        calls = story(NOW_MS + later_ms, streams=1, seed=1, images="http://127.0.0.1:1/static")
        begun = [call for call in calls if call.at_ms <= NOW_MS + later_ms]
        past = {call.manner for call in begun}
        assert past >= set(Manner) - {Manner.TWIN, Manner.DUPLICATE}, later_ms
        signed = [call.expired_by_s for call in begun if call.manner is Manner.EXPIRED]
        assert min(signed) < 0 < max(signed), "one for a time that has passed, one for a time far ahead"
        assert sorted(call.number for call in calls) == list(range(len(calls)))


def test_what_was_received_has_retries_of_lost_answers_and_a_strangers_copies() -> None:
    calls = story(NOW_MS, streams=9, seed=1, images="http://127.0.0.1:1/static")
    found = received(calls, Signing(key="k"))
    bodies = Counter(each.body for each in found)
    assert [each.at_ms for each in found] == sorted(each.at_ms for each in found)
    assert any(count > 1 for count in bodies.values())
    assert any(each.source_ip == STRANGER and bodies[each.body] > 1 for each in found)
