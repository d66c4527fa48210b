"""axe-core, the accessibility checker, finds nothing serious on any page."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from scripts.scene import play, scene_of

from streamledger.postgres.connection import Database
from tests.acceptance.page.browsing import Visit
from tests.acceptance.page.test_release import set_aside

AXE = Path(__file__).with_name("axe.min.js")
SEVERITIES = ("serious", "critical")


@pytest.mark.parametrize(
    ("scheme", "width", "locale"),
    [("light", 1280, "en-US"), ("dark", 390, "en-US"), ("dark", 1280, "zh-CN"), ("light", 390, "zh-CN")],
)
def test_axe_finds_nothing_serious(
    scheme: str,
    width: int,
    locale: str,
    database: Database,
    client: httpx.Client,
    visiting: Callable[..., Visit],
) -> None:
    scene = scene_of(int(time.time()), streams=4)
    play(client, scene)
    quarantine_id = set_aside(database)
    client.post("/v1/projections/rebuild", json={"dry_run": True}).raise_for_status()
    visit = visiting(scheme=scheme, width=width, locale=locale)
    visit.go("/")
    session = f"/sessions/{scene.sequence}"
    paths = ["/", "/streams", f"/streams/{scene.stream_id}", "/sessions", session]
    paths += [f"{session}?why=started_at", f"{session}?step=3&why=state", "/quarantine"]
    paths += [f"/quarantine/{quarantine_id}", "/audit", "/audit/5", "/system", "/sign-in"]
    found = []
    for path in [*paths, "/sessions?stream_id=nobody", "/quarantine?reason=expired"]:
        page = visit.page
        page.goto(path)
        # The policy of the pages lets no test's script in by an element; evaluating is the debugger's right.
        page.evaluate(AXE.read_text("utf-8"))
        result = page.evaluate("axe.run()")
        found += [
            f"{path}: {fault['id']} {node['target']} {node['failureSummary']}"
            for fault in result["violations"]
            if fault["impact"] in SEVERITIES
            for node in fault["nodes"][:3]
        ]
    assert found == []
