"""The id of a delivery: a version 7 UUID."""

from streamledger.ledger.delivery_id import new_delivery_id


def test_an_id_is_a_version_7_uuid_that_begins_with_its_time() -> None:
    made = new_delivery_id(1713731478042_999)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == 1713731478042


def test_ids_of_one_moment_differ() -> None:
    assert len({new_delivery_id(1) for _ in range(10_000)}) == 10_000


def test_later_ids_sort_later() -> None:
    assert new_delivery_id(1_000_000) < new_delivery_id(2_000_000)
