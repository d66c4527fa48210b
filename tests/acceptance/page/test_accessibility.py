"""axe-core, the accessibility checker, finds nothing serious on any page."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Route
from scripts.scene import Scene, deliver, play, push, scene_of

from streamledger.postgres.embedded import EmbeddedServer
from tests.acceptance.page.browsing import Visit
from tests.acceptance.page.server import serving
from tests.acceptance.page.test_release import set_aside
from tests.conftest import clone

AXE = Path(__file__).with_name("axe.min.js")
SHARED = "77"
"""A sequence of two streams: its page is one of those that tell of an error."""
SEVERITIES = ("serious", "critical")
CHECK = "axe.run({resultTypes: ['violations']}).then(found => found.violations)"
"""What passes is neither gathered nor sent here: that takes longer than the checks."""


@pytest.fixture(scope="module")
def played(postgres_server: EmbeddedServer, template_database: str) -> Iterator[tuple[str, Scene, str]]:
    """A server's address, the scene that was played to it, and the id of what it has set aside."""
    with (
        clone(postgres_server.dsn, template_database) as database,
        serving(database) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        scene = scene_of(int(time.time()), streams=4)
        play(client, scene)
        for stream_id in ("one", "another"):
            deliver(client, push(stream_id, SHARED, int(time.time())))
        quarantine_id = set_aside(database)
        client.post("/v1/projections/rebuild", json={"dry_run": True}).raise_for_status()
        yield address, scene, quarantine_id


@pytest.mark.parametrize(
    ("scheme", "width", "locale"),
    [("light", 1280, "en-US"), ("dark", 390, "en-US"), ("dark", 1280, "zh-CN"), ("light", 390, "zh-CN")],
)
def test_axe_finds_nothing_serious(
    scheme: str, width: int, locale: str, browser: Browser, played: tuple[str, Scene, str]
) -> None:
    address, scene, quarantine_id = played
    visit = Visit(browser, address, scheme=scheme, width=width, locale=locale)
    visit.go("/")
    session = f"/sessions/{scene.sequence}"
    paths = ["/", "/streams", f"/streams/{scene.stream_id}", "/sessions", session]
    paths += [f"{session}?why=started_at", f"{session}?step=3&why=state", "/quarantine"]
    paths += [f"/quarantine/{quarantine_id}", "/audit", "/deliveries", "/deliveries/5"]
    paths += ["/system", "/docs", "/sign-in", "/search?q=1", "/search?q=nothing", "/deliveries?class=expired"]
    paths += [f"{session}?kind=screenshot", "/sessions?anomaly=any&sort=media", "/deliveries?stream_id=no"]
    found = []
    paths += ["/sessions?stream_id=nobody", "/quarantine?reason=expired", "/streams?q=nothing"]
    paths += ["/sessions/404404404", "/sessions?state=x", "/nowhere", f"/sessions/{SHARED}"]
    page = visit.page
    refused = {"/sign-in?next=%2Fwrong": "token=nonsense", "/system/rebuild": "projection=sessions"}
    # Forms as another site would send the second: what a visitor is shown then is a page as well.

    def post(route: Route) -> None:
        path = route.request.url.removeprefix(visit.address)
        headers = {
            **route.request.headers,
            "content-type": "application/x-www-form-urlencoded",
            "sec-fetch-site": "same-origin" if path.startswith("/sign-in") else "cross-site",
        }
        route.fulfill(response=route.fetch(method="POST", headers=headers, post_data=refused[path]))

    page.route(lambda url: url.removeprefix(visit.address) in refused, post)
    for path in (*paths, *refused):
        answer = page.goto(path)
        assert answer is not None
        assert (answer.status == 403) == (path in refused), path
        # The policy of the pages lets no test's script in by an element; evaluating is the debugger's right.
        page.evaluate(AXE.read_text("utf-8"))
        violations = page.evaluate(CHECK)
        found += [
            f"{path}: {fault['id']} {node['target']} {node['failureSummary']}"
            for fault in violations
            if fault["impact"] in SEVERITIES
            for node in fault["nodes"][:3]
        ]
    assert found == []
    visit.context.close()
    # A browser says on its console that a page of an error was an error.
    assert [fault for fault in visit.faults if "responded with a status of 4" not in fault] == []
    assert visit.foreign_hosts <= {"screenshots.example.com"}
