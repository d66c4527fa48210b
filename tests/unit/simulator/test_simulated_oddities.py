"""What is odd in a played history: each oddity comes, and the truth stays what it was."""

from collections.abc import Callable

import msgspec
import pytest

from streamledger.domain.notification import Kind
from streamledger.simulator.delivery import Call, Faults, Manner, Signing, body_of, plan, sign
from streamledger.simulator.history import generate, randomness
from streamledger.simulator.oddities import Oddities, of_all, with_oddities
from streamledger.simulator.truth import Fact, History, Shape

STARTS_AT_MS = 1_713_731_478_000
SHAPE = Shape(streams=12, sessions_per_stream=2, duration_s=1800)


def drawn(oddities: Oddities) -> History:
    history = generate(SHAPE, starts_at_ms=STARTS_AT_MS, random=randomness(1, STARTS_AT_MS, "history"))
    return with_oddities(history, oddities, randomness(1, STARTS_AT_MS, "oddities"))


PLAIN = drawn(Oddities())
ALL_ODD = drawn(of_all(1.0))

SEEN: dict[str, Callable[[Fact], bool]] = {
    "named_in_gb18030": lambda fact: fact.encoding == "gb18030" and not fact.stream_id.isascii(),
    "named_by_channel": lambda fact: "stream_id" not in fact.body,
    "spelt_otherwise": lambda fact: fact.body.get("app") == "push.example.com:1935",
    "pushed_to_an_address": lambda fact: fact.body.get("app") == "192.0.2.9",
    "constant_file_names": lambda fact: fact.body.get("pic_url") == "/constant.jpg",
    "spelt_in_milliseconds": lambda fact: len(str(fact.body.get("event_time"))) == 13,
    "rivals_refused": lambda fact: fact.body.get("errcode") == 18,
    "recorded_by_task": lambda fact: fact.kind is Kind.RECORDING and "stream_param" not in fact.body,
    "fractional_durations": lambda fact: isinstance(fact.body.get("duration"), float),
    "zero_durations": lambda fact: fact.body.get("duration") == 0,
    "impossible_starts": lambda fact: fact.body.get("event_time") == 0,
}


@pytest.mark.parametrize("oddity", Oddities.__struct_fields__)
def test_each_oddity_comes_alone_where_it_is_wanted(oddity: str) -> None:
    odd = drawn(msgspec.structs.replace(Oddities(), **{oddity: 1.0}))
    seen = SEEN.get(oddity)
    if seen is None:
        assert len(odd.facts) < len(PLAIN.facts)
    else:
        assert any(map(seen, odd.facts))
        assert not any(map(seen, PLAIN.facts))
    known = {session.sequence: session for session in odd.sessions}
    for session in PLAIN.sessions:
        same = known[session.sequence]
        assert (same.started_at_ms, same.ended_at_ms) == (session.started_at_ms, session.ended_at_ms)


def test_facts_stay_in_the_order_of_their_calls_and_identities_alone() -> None:
    assert [fact.called_at_ms for fact in ALL_ODD.facts] == sorted(
        fact.called_at_ms for fact in ALL_ODD.facts
    )
    identities = [
        (fact.stream_id, fact.kind, fact.key) for fact in ALL_ODD.facts if fact.kind is not Kind.SCREENSHOT
    ]
    assert len(set(identities)) == len(identities)


def test_a_twin_of_every_fact_is_signed_by_the_second_key() -> None:
    random = randomness(1, STARTS_AT_MS, "faults")
    calls = plan(PLAIN.facts[:20], Faults(), random=random, twins=True)
    signing = Signing(key="one", second_key="two")
    by_manner = {
        manner: [call for call in calls if call.manner is manner] for manner in (Manner.GENUINE, Manner.TWIN)
    }
    assert [len(found) for found in by_manner.values()] == [20, 20]

    def signature(call: Call) -> object:
        return msgspec.json.decode(body_of(call, signing, 1_764_000_600))["sign"]

    assert {signature(call) for call in by_manner[Manner.TWIN]} == {sign("two", 1_764_000_600)}
    assert {signature(call) for call in by_manner[Manner.GENUINE]} == {sign("one", 1_764_000_600)}


def test_a_body_in_gb18030_is_sent_so() -> None:
    call = plan(drawn(Oddities(named_in_gb18030=1.0)).facts[:1], Faults(), random=randomness(1, 1, "faults"))[
        0
    ]
    body = body_of(call, Signing(key=None), 0)
    with pytest.raises(UnicodeDecodeError):
        body.decode()
    assert "直播" in body.decode("gb18030")
