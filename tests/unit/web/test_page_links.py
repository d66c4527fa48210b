"""Addresses of the pages: one place makes them, at the root of a host or below a path of it."""

import re
from collections.abc import Iterator

import pytest

from streamledger.bootstrap import create_web_app
from streamledger.domain.errors import SettingInvalid
from streamledger.postgres.connection import Database
from streamledger.settings import Settings
from streamledger.web.pages.links import cookie_path, link, own_link, session_path, stand_below, stream_path
from streamledger.web.prefix import OWN, public_url_of, without_prefix
from tests.house.rooms import ROOT

ABSOLUTE = re.compile(r"""(?:href|action|src|hx-get|data-[a-z]+)=["']/|Redirect\(f?["']/""")


@pytest.fixture
def below() -> Iterator[None]:
    stand_below("/ledger/one")
    yield
    stand_below("")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("room-1", "/streams/room-1"),
        ("..", "/streams?stream_id=.."),
        ("a/b?c#d", "/streams?stream_id=a%2Fb%3Fc%23d"),
        ("房间", "/streams?stream_id=%E6%88%BF%E9%97%B4"),
    ],
)
def test_a_stream_has_an_address_whatever_its_name(name: str, path: str) -> None:
    assert stream_path(name) == path


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/sessions?state=live", "/sessions?state=live"),
        (None, "/"),
        ("//evil.example.com", "/"),
        ("/\\evil.example.com", "/"),
        ("https://evil.example.com/", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
    ],
)
def test_a_form_leads_back_to_a_page_of_ours_only(given: str | None, path: str) -> None:
    assert own_link(given) == path


@pytest.mark.usefixtures("below")
def test_below_a_path_every_address_and_cookie_is() -> None:
    assert link("/sessions", state="live", q=None) == "/ledger/one/sessions?state=live"
    assert session_path("7") == "/ledger/one/sessions/7"
    assert stream_path("a b") == "/ledger/one/streams?stream_id=a+b"
    assert cookie_path() == "/ledger/one"
    assert own_link("/ledger/one/streams") == "/ledger/one/streams"
    for elsewhere in ("/", "/streams", "/ledger/other/", "/ledger/one//evil.example.com", None):
        assert own_link(elsewhere) == "/ledger/one/"


def test_no_template_and_no_redirect_names_an_address_by_itself() -> None:
    web = ROOT / "src" / "streamledger" / "web"
    found = [
        f"{file.name}: {line.strip()}"
        for file in (*web.rglob("*.html"), *web.rglob("*.py"))
        for line in file.read_text("utf-8").splitlines()
        if ABSOLUTE.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("path", "raw", "seen"),
    [
        ("/ledger/one", b"/ledger/one", ("/", b"/")),
        ("/ledger/one/streams/a/b", b"/ledger/one/streams/a%2Fb", ("/streams/a/b", b"/streams/a%2Fb")),
        ("/ledger/one/streams", b"/l%65dger/one/streams", ("/streams", b"/streams")),
        ("/streams", b"/streams", ("/streams", b"/streams")),
        ("/ledger/oneself", b"/ledger/oneself", ("/ledger/oneself", b"/ledger/oneself")),
    ],
)
def test_the_prefix_goes_off_whether_or_not_the_proxy_took_it(
    path: str, raw: bytes, seen: tuple[str, bytes]
) -> None:
    scope = without_prefix({"type": "http", "path": path, "raw_path": raw}, "/ledger/one")  # type: ignore[typeddict-item]  # what matters of it
    assert (scope["path"], scope["raw_path"]) == seen


@pytest.mark.parametrize("path", ["/a b", "/..", "/a/./b", "//a", "/sessions", "/v1/x", "/a?b"])
def test_a_prefix_that_could_be_taken_for_another_path_is_none(path: str) -> None:
    with pytest.raises(SettingInvalid):
        public_url_of(f"https://example.com{path}")


def test_a_public_url_may_end_with_a_slash() -> None:
    assert public_url_of("https://example.com:8443/a/b/") == "https://example.com:8443/a/b"


def test_no_prefix_begins_as_one_of_the_servers_own_paths_does() -> None:
    routes = create_web_app(Settings(), Database("postgresql://nowhere/")).application.routes
    assert {route.path.split("/")[1] for route in routes} - {""} <= OWN
