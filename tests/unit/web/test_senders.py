"""Whose address a request has: X-Forwarded-For is believed from trusted proxies, from its right end."""

from typing import Any

import pytest

from streamledger.web.senders import Senders, networks_of

PROXIES = networks_of(["10.0.0.0/8", "fd00::/8", "192.0.2.1"])


def scope(client: str | None, *forwarded: str) -> dict[str, Any]:
    """What of a connection counts."""
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    return {"client": None if client is None else (client, 1), "headers": headers}


@pytest.mark.parametrize(
    ("client", "forwarded", "expected"),
    [
        ("203.0.113.1", [], "203.0.113.1"),
        ("203.0.113.1", ["198.51.100.7"], "203.0.113.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        ("10.0.0.1", ["10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", ["198.51.100.7:443"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::5", ["198.51.100.7"], "198.51.100.7"),
        ("192.0.2.1", ["198.51.100.7"], "198.51.100.7"),
        ("192.0.2.2", ["198.51.100.7"], "192.0.2.2"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, _hidden, 10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", ["198.51.100.7, " + "x" * 5000], "10.0.0.1"),
        ("10.0.0.1", [", ,"], "10.0.0.1"),
        (None, ["198.51.100.7"], ""),
    ],
)
def test_the_sender_is_the_nearest_address_that_is_no_proxy(
    client: str | None, forwarded: list[str], expected: str
) -> None:
    assert Senders((), PROXIES).address_of(scope(client, *forwarded)) == expected


def test_callbacks_are_taken_from_the_networks_named_or_from_all() -> None:
    senders = Senders(networks_of(["198.51.100.0/24", "2001:db8::/32"]))
    allowed = ["198.51.100.1", "::ffff:198.51.100.1", "2001:db8::5"]
    refused = ["198.51.101.1", "2001:db9::5", "", "nonsense"]
    assert [senders.may_send_callbacks(each) for each in allowed + refused] == [True] * 3 + [False] * 4
    assert Senders().may_send_callbacks("nonsense")


def test_a_network_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="appear to be"):
        networks_of(["198.51.100.0/24", "tencent"])
