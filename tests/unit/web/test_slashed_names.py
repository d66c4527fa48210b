"""The path of a stream whose name holds a slash is one segment, escaped or not."""

from urllib.parse import unquote

import pytest

from streamledger.web.slashed_names import named, one_segment


@pytest.mark.parametrize(
    ("raw", "name", "tail"),
    [
        ("/v1/streams/24%2F7", "24/7", ""),
        ("/v1/streams/24%2f7/broadcasts", "24/7", "/broadcasts"),
        ("/v1/streams/24/7", "24/7", ""),
        ("/v1/streams/24/7/unattributed?limit=1", "24/7", "/unattributed"),
        ("/v1/streams/a%2Fbroadcasts", "a/broadcasts", ""),
        ("/v1/streams/a%252Fb%2F", "a%2Fb/", ""),
        ("/streams/a/broadcasts", "a/broadcasts", ""),
        ("/v1/streams/%E7%9B%B4%2F1", "直/1", ""),
    ],
)
def test_the_name_is_one_segment(raw: str, name: str, tail: str) -> None:
    routed = one_segment(unquote(raw.partition("?")[0]), raw.encode())
    prefix = "/v1/streams/" if raw.startswith("/v1") else "/streams/"
    segment, slash, rest = routed.removeprefix(prefix).partition("/")
    assert (named(segment), slash + rest) == (name, tail)


@pytest.mark.parametrize("path", ["/v1/streams", "/v1/streams/room", "/v1/sessions/1/timeline", "/"])
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert one_segment(path, path.encode()) == path
    assert one_segment("/v1/streams/a/b", None) == "/v1/streams/a\x1fb"
