"""The row of a first delivery is what forensics says of it, and its identity stands for it alone."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamledger.domain import forensics
from streamledger.domain.events import SCREENSHOT_CREATED, Delivery, event_name
from streamledger.domain.forensics import Sighting
from streamledger.readmodel.delivery_judging import first_of
from streamledger.readmodel.delivery_rows import evidence_of
from streamledger.readmodel.facts import PlainMedia, as_fact, read_event
from streamledger.readmodel.first_delivery import first_lines, first_row, identities_of, identity_of
from streamledger.readmodel.rows import copy_line
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S
from tests.received import screenshot

NOON_S = 1_764_000_000
RECORDING = {
    **{"event_type": 100, "stream_id": "room", "file_id": "5", "duration": 30},
    **{"start_time": NOON_S - 9, "end_time": NOON_S},
}
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
times_of_t = st.one_of(
    st.none(),
    st.integers(NOON_S - 100, NOON_S + 2000).map(str),
    st.sampled_from(["", "0", "9" * 40, "0" * 30 + "5"]),
)


@given(
    st.integers(1, 2**62),
    st.integers(NOON_S * 1000, NOON_S * 1000 + 10**6),
    st.sampled_from([None, "", "main"]),
    times_of_t,
    st.one_of(st.none(), st.integers(NOON_S * 1000 - 10**6, NOON_S * 1000 + 10**6)),
    st.booleans(),
)
def test_the_row_is_what_forensics_says_of_a_first_delivery(
    position: int, received_ms: int, key: str | None, t: str | None, happened_ms: int | None, released: bool
) -> None:
    sighting = Sighting(
        position=position,
        received_ms=received_ms,
        source_ip="192.0.2.7",
        content="never looked at",
        bytes_digest=0,
        t=t,
        key=key,
        happened_ms=happened_ms,
        was_released=released,
    )
    judged = forensics.judge_first(sighting, SIGNATURE_VALIDITY_S)
    row = first_row(
        position=position,
        identity=bytes(range(16)).hex(),
        stream_id="room",
        sequence="77",
        event_type=1,
        received_ms=received_ms,
        source_ip="192.0.2.7",
        callback_key=key,
        t=t,
        happened_ms=happened_ms,
        was_released=released,
    )
    assert (row.position, row.first_position, row.received_ms) == (position, position, received_ms)
    assert (row.judged_as, row.try_number) == (judged.judged_as.value, judged.try_number)
    assert evidence_of(row) == judged.evidence
    assert row.evidence == msgspec.json.encode(judged.evidence, order="deterministic").decode()
    assert row.signed_early is ("signed_early" in judged.evidence.because)
    assert row.callback_key == (key or "")
    assert row.identity == "000102030405060708090a0b0c0d0e0f"


@given(st.tuples(names, names, names), st.tuples(names, names, names))
@example(("a", "b", "c"), ("ab", "", "c"))
@example(("", "screenshot", "x"), ("screenshot", "", "x"))
@example(("r\u00fcm", "k", "\U0001f600"), ("ru\u0308m", "k", "\U0001f600"))
def test_two_notifications_have_one_identity_only_if_they_are_the_same(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (identity_of(*one) == identity_of(*other)) is (one == other)
    assert len(identity_of(*one)) == 16


@given(
    st.sampled_from([screenshot("room", NOON_S), RECORDING]),
    st.one_of(st.none(), st.integers(0, 2**63 - 1), st.integers(NOON_S - 100, NOON_S + 2000)),
    st.integers(NOON_S * 1000, NOON_S * 1000 + 10**6),
    st.one_of(st.sampled_from(["192.0.2.7", "", "2001:db8::1", "a\\b", "c\r\n"]), names),
    st.one_of(st.sampled_from([None, "main", "k\te"]), names),
)
def test_the_lines_of_plain_media_are_those_of_their_rows(
    media: dict[str, Any], t: int | None, received_ms: int, source_ip: str, key: str | None
) -> None:
    body = media | ({} if t is None else {"t": t})
    delivery = Delivery(
        body=msgspec.json.encode(body), received_at_us=received_ms * 1000 + 7, source_ip=source_ip, key=key
    )
    event = read_event(17, event_name(body["event_type"]), "room", delivery)
    assert isinstance(event, PlainMedia)
    identity = identity_of("room", event.kind, event.key)
    assert identities_of([event]) == [identity.hex()]
    assert first_lines([event], [identity.hex()]) == [copy_line(first_of(as_fact(event), identity))]


@pytest.mark.parametrize(("stream_id", "pic_url"), [("a\\b", "/pic.jpg"), ("room", "/a\\b.jpg")])
def test_what_a_line_would_have_to_escape_is_not_for_the_lane(stream_id: str, pic_url: str) -> None:
    body = msgspec.json.encode(screenshot(stream_id, NOON_S, pic_url=pic_url))
    event = read_event(17, SCREENSHOT_CREATED, stream_id, Delivery(body=body, received_at_us=1))
    assert not isinstance(event, PlainMedia)


def test_slashes_that_the_sender_escapes_change_nothing() -> None:
    body = msgspec.json.encode(screenshot("room", NOON_S))
    event = read_event(
        17, SCREENSHOT_CREATED, "room", Delivery(body=body.replace(b"/", b"\\/"), received_at_us=1)
    )
    plain = read_event(17, SCREENSHOT_CREATED, "room", Delivery(body=body, received_at_us=1))
    assert isinstance(event, PlainMedia)
    assert isinstance(plain, PlainMedia)
    assert event.key == plain.key
