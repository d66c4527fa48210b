"""The headers that are kept with a delivery: three of them, cut to size."""

from streamledger.domain.events import NO_HEADERS, RequestHeaders
from streamledger.web.kept_headers import headers_kept


def test_only_what_tells_something_about_the_sender_is_kept() -> None:
    sent = [(b"host", b"example.com"), (b"user-agent", b"Go-http-client/1.1"), (b"content-length", b"700")]
    assert headers_kept(sent) == RequestHeaders(user_agent="Go-http-client/1.1")
    assert headers_kept([(b"host", b"example.com")]) is NO_HEADERS


def test_several_headers_of_a_name_are_one_and_the_nearest_proxies_stay() -> None:
    hops = [(b"x-forwarded-for", b"198.51.100.%d" % number) for number in range(200)]
    kept = headers_kept([*hops, (b"forwarded", b"for=a"), (b"forwarded", b"for=b")])
    assert kept.forwarded == "for=a, for=b"
    assert kept.x_forwarded_for.endswith("198.51.100.198, 198.51.100.199")


def test_no_header_makes_an_event_large_and_none_makes_it_unstorable() -> None:
    names = (b"user-agent", b"forwarded", b"x-forwarded-for")
    kept = headers_kept([(name, b"begin\0\xff" + b"x" * 100_000 + b"end") for name in names])
    assert len(kept.user_agent + kept.forwarded + kept.x_forwarded_for) <= 512
    assert kept.user_agent.startswith("begin\xff")
    assert kept.forwarded.endswith("end")
    assert "\0" not in kept.user_agent
