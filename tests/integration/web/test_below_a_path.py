"""With a path in STREAMLEDGER_PUBLIC_URL every link, form, redirect, cookie and callback lies below it."""

import html
import re
import time
from collections.abc import Iterator

import httpx
import pytest
from scripts.scene import play, scene_of

from streamledger.postgres.embedded import EmbeddedServer
from streamledger.settings import Secret, Settings
from streamledger.web.pages.links import stand_below
from tests.acceptance.page.server import serving
from tests.conftest import clone

PREFIX = "/ledgers/one"
SHAPE = re.compile(r"(?<=/streams/)[^?]+|(?<==)[^&]+|\d+")
ADDRESS = re.compile(r'(?:href|action|src|hx-get|data-[a-z-]+)="([^"]*)"')


@pytest.fixture(scope="module")
def server(postgres_server: EmbeddedServer, template_database: str) -> Iterator[str]:
    settings = Settings(
        api_tokens=Secret("root:admin:root-secret"), public_url=f"https://ledger.example.com{PREFIX}"
    )
    with clone(postgres_server.dsn, template_database) as database, serving(database, settings) as address:
        with httpx.Client(base_url=address + PREFIX, timeout=30) as client:
            play(client, scene_of(int(time.time()), streams=2))
        yield address
    stand_below("")


def sign_in(address: str) -> httpx.Response:
    form = {"token": "root-secret", "next": f"{PREFIX}/system"}
    return httpx.post(f"{address}{PREFIX}/sign-in", data=form)


def followed(client: httpx.Client, prefix: str, *, taken_off: bool = False) -> set[str]:
    """The addresses of all pages that the first one leads to, by their shape; each lies below the prefix."""
    seen: set[str] = set()
    waiting = [f"{prefix}/"]
    while waiting:
        path = waiting.pop()
        answer = client.get(path.removeprefix(prefix) if taken_off else path, follow_redirects=False)
        assert answer.status_code in (200, 303), path
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        for found in map(html.unescape, ADDRESS.findall(answer.text)):
            if not found.startswith("/"):
                continue
            assert found.startswith(f"{prefix}/"), f"{path} has {found}"
            kind = SHAPE.sub("#", found)  # one of each shape is enough
            if kind not in seen and not re.search(
                "/(changes|live|sign-out|release|cancel|language|zone|rebuild)", found
            ):
                seen.add(kind)
                waiting.append(found.partition("#")[0])
    return seen


def test_signing_in_leads_below_it_and_its_cookie_is_for_there_alone(server: str) -> None:
    asked = httpx.get(f"{server}{PREFIX}/system")
    assert asked.headers["location"] == f"{PREFIX}/sign-in?next=%2Fledgers%2Fone%2Fsystem"
    answer = sign_in(server)
    assert answer.headers["location"] == f"{PREFIX}/system"
    cookie = answer.headers["set-cookie"]
    assert f"Path={PREFIX};" in cookie
    assert "Secure" in cookie


@pytest.mark.parametrize("taken_off", [False, True], ids=["left on by the proxy", "taken off by the proxy"])
def test_every_address_of_every_page_lies_below_it_and_answers(server: str, *, taken_off: bool) -> None:
    cookie = sign_in(server).headers["set-cookie"].partition(";")[0]
    with httpx.Client(base_url=server, headers={"Cookie": cookie}, timeout=30) as client:
        seen = followed(client, PREFIX, taken_off=taken_off)
    assert {
        f"{PREFIX}/{each}" for each in ("streams", "deliveries/#", "quarantine", "docs", "schema")
    } <= seen


def test_its_programs_are_answered_below_it(server: str) -> None:
    assert httpx.get(f"{server}{PREFIX}/health/live").json() == {"status": "live"}
    assert httpx.get(f"{server}{PREFIX}/v1/sessions").status_code == 401
    assert httpx.get(f"{server}{PREFIX}x/health/live").status_code == 404
