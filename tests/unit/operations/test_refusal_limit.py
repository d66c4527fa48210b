"""The token bucket of refused deliveries: per address, refilled evenly, in a bounded table."""

from streamledger.operations.refusal_limit import RefusalLimit

SECOND_US = 1_000_000


def test_an_address_has_its_minute_and_gets_it_back_evenly() -> None:
    limit = RefusalLimit(6)
    assert [limit.allows("a", 0) for _ in range(7)] == [True] * 6 + [False]
    assert limit.allows("b", 0)
    assert not limit.allows("a", 9 * SECOND_US)
    assert limit.allows("a", 10 * SECOND_US)
    assert not limit.allows("a", 10 * SECOND_US)
    assert [limit.allows("a", 600 * SECOND_US) for _ in range(7)] == [True] * 6 + [False]
    assert limit.retry_after_s == 10


def test_the_addresses_of_one_ipv6_network_share_a_bucket_and_a_mapped_one_is_its_ipv4() -> None:
    limit = RefusalLimit(1)
    assert limit.allows("2001:db8::1", 0)
    assert not limit.allows("2001:db8::ffff:1", 0)
    assert not limit.allows("2001:db8:0:0:abcd::", 0)
    assert limit.allows("2001:db8:0:1::1", 0)
    assert limit.allows("192.0.2.1", 0)
    assert not limit.allows("::ffff:192.0.2.1", 0)
    assert limit.allows("fe80::1%eth0", 0)
    assert limit.allows("no:address", 0)


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limit = RefusalLimit(1)
    assert limit.allows("a", 100 * SECOND_US)
    assert not limit.allows("a", 0)


def test_nothing_is_limited_without_a_limit() -> None:
    limit = RefusalLimit(0)
    assert all(limit.allows("a", 0) for _ in range(1000))


def test_the_table_forgets_the_address_seen_longest_ago() -> None:
    limit = RefusalLimit(1, addresses_max=2)
    assert [limit.allows(address, 0) for address in ("a", "b", "a", "c", "a", "b")] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_large_body_counts_several_times_and_may_take_what_is_not_there_yet() -> None:
    limit = RefusalLimit(60)
    assert limit.allows("a", 0, 256 * 1024)
    assert not limit.allows("a", 0)
    assert not limit.allows("a", 5 * SECOND_US)
    assert limit.allows("a", 6 * SECOND_US)


def test_to_ask_whether_an_address_is_used_up_takes_nothing() -> None:
    limit = RefusalLimit(1)
    assert [limit.is_used_up("a", 0) for _ in range(3)] == [False] * 3
    assert limit.allows("a", 0)
    assert limit.is_used_up("a", 0)
    assert not limit.is_used_up("a", 60 * SECOND_US)
    assert not RefusalLimit(0).is_used_up("a", 0)
