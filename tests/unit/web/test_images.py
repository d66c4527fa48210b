"""Whose images a page loads without being asked to."""

import pytest

from streamledger.web.images import ImageHosts, is_private


@pytest.mark.parametrize(
    ("patterns", "url", "loads"),
    [
        ("", "https://shots.example.com/a.jpg", False),
        ("shots.example.com", "https://shots.example.com/a.jpg", True),
        ("shots.example.com", "http://SHOTS.example.com:80/a.jpg", True),
        ("shots.example.com", "https://shots.example.com:8443/a.jpg", False),
        ("shots.example.com:8443", "https://shots.example.com:8443/a.jpg", True),
        ("shots.example.com", "https://other.example.com/a.jpg", False),
        ("shots.example.com", "https://shots.example.com.evil.net/a.jpg", False),
        ("shots.example.com", "https://shots.example.com@evil.net/a.jpg", False),
        ("*.example.com", "https://a.b.example.com/a.jpg", True),
        ("*.example.com", "https://example.com/a.jpg", False),
        ("*.example.com", "https://127.0.0.1\\.example.com/a.jpg", False),
        ("*.example.com", "https://a.example.com/ \n", False),
        ("*", "https://shots.example.com/a.jpg", True),
        ("*", "http://127.0.0.1:8470/system", False),
        ("*", "http://127.1/", False),
        ("*", "http://0x7f000001/", False),
        ("*", "http://1.2.3.0xa/", False),
        ("*", "http://2130706433/", False),
        ("*", "http://１２７.0.0.1/", False),
        ("*", "http://[::1]/", False),
        ("*", "http://[::ffff:127.0.0.1]/", False),
        ("*", "http://localhost./", False),
        ("*", "http://router/", False),
        ("*", "http://nas.local/", False),
        ("*", "http://10.0.0.1/", False),
        ("*", "http://169.254.169.254/latest", False),
        ("*", "ftp://example.com/a", False),
        ("10.0.0.1:9000", "http://10.0.0.1:9000/a.jpg", True),
        ("*", "http://[", False),
    ],
)
def test_only_hosts_that_are_named_load_by_themselves(patterns: str, url: str, loads: bool) -> None:
    assert (url in ImageHosts(patterns.split(","))) is loads


def test_the_policy_names_the_same_hosts() -> None:
    assert ImageHosts().policy() == "'self'"
    assert ImageHosts(["a.example.com", " *.b.net "]).policy() == "'self' a.example.com *.b.net"
    assert ImageHosts(["*"]).policy() == "'self' http: https:"


@pytest.mark.parametrize(
    "pattern", ["a.example.com; script-src *", "'unsafe-inline'", "https://a.com", "a b", "**"]
)
def test_what_is_no_host_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ImageHosts([pattern])


def test_names_of_the_internet_are_not_private() -> None:
    assert not is_private("example.com")
    assert not is_private("xn--fiqs8s.cn")
