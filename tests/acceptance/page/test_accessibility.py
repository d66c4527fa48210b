"""axe-core, the accessibility checker, finds nothing serious on any page."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from scripts.scene import play, scene_of

from tests.acceptance.page.browsing import Visit

AXE = Path(__file__).with_name("axe.min.js")
SEVERITIES = ("serious", "critical")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_serious(
    scheme: str, width: int, client: httpx.Client, visiting: Callable[..., Visit]
) -> None:
    scene = scene_of(int(time.time()), streams=4)
    play(client, scene)
    visit = visiting(scheme=scheme, width=width)
    visit.go("/")
    paths = ["/", "/streams", f"/streams/{scene.stream_id}", "/sessions", f"/sessions/{scene.sequence}"]
    found = []
    for path in [*paths, "/audit", "/audit/5", "/system", "/sign-in", "/sessions?stream_id=nobody"]:
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
