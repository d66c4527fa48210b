"""Believed deliveries and those set aside in one list, the newest first."""

from streamledger.readmodel.queries.arrivals import Arrival, merged


def came(received_at: str, position: int | None = None) -> Arrival:
    return Arrival(
        received_at=received_at,
        class_="first" if position else "expired",
        verdict="believed" if position else "set_aside",
        answered=200,
        event_type=1,
        stream_id="room",
        sequence=None,
        source_ip="",
        key=None,
        position=position,
    )


def test_what_was_set_aside_stands_where_it_came() -> None:
    believed = [came("2026-01-01T00:00:09Z", 3), came("2026-01-01T00:00:05.000Z", 2)]
    aside = [came(f"2026-01-01T00:00:0{second}.500000Z") for second in (9, 7, 1)]
    listed = merged(believed, aside)
    assert [each.received_at[18:21] for each in listed] == ["9.5", "9Z", "7.5", "5.0", "1.5"]


def test_each_list_keeps_its_own_order_though_clocks_went_back() -> None:
    believed = [came("2026-01-01T00:00:01.000Z", 2), came("2026-01-01T00:00:05.000Z", 1)]
    aside = [came("2026-01-01T00:00:03.000000Z")]
    assert [each.position for each in merged(believed, aside)] == [None, 2, 1]
    assert merged([], aside) == aside
    assert merged(believed, []) == believed
