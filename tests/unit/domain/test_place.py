"""Push domains as the sender means them: without case and default port, and addresses beside names."""

import pytest

from streamledger.domain.place import agree, host_of, is_address, may_agree


@pytest.mark.parametrize(
    ("app", "host"),
    [
        ("push.example.com", "push.example.com"),
        ("Push.Example.COM:1935", "push.example.com"),
        (" push.example.com. ", "push.example.com"),
        ("push.example.com:8080", "push.example.com:8080"),
        ("192.0.2.7:1935", "192.0.2.7"),
        ("2001:db8::1935", "2001:db8::1935"),
        ("[2001:DB8::1]:1935", "[2001:db8::1]"),
        ("", None),
        (None, None),
    ],
)
def test_a_host_is_compared_without_case_and_default_port(app: str | None, host: str | None) -> None:
    assert host_of(app) == host


@pytest.mark.parametrize("app", ["192.0.2.7", "192.0.2.7:8080", "2001:db8::1935", "[2001:db8::1]:1935"])
def test_an_address_is_told_from_a_name(app: str) -> None:
    assert is_address(app)
    assert may_agree(app, "push.example.com")
    assert not may_agree(app, "192.0.2.8")


def test_what_one_side_does_not_know_speaks_against_nothing() -> None:
    assert agree(None, "live", "push.example.com", None)
    assert agree("PUSH.example.com", "live", "push.example.com:1935", "live")
    assert not agree("push.example.com", "live", "push.example.com", "Live")
    assert not may_agree("push.example.com", "other.example.com")
