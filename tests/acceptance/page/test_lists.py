"""The quarantine's list, a stream's broadcasts and overlaps, and what an empty store says to a newcomer."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import expect
from scripts.scene import deliver, push, stop

from streamledger.invocation import own_command
from streamledger.postgres.connection import Database
from tests.acceptance.page.browsing import Visit
from tests.acceptance.page.test_release import set_aside

Visiting = Callable[..., Visit]


def test_the_quarantine_is_listed_with_reason_and_evidence_and_filtered(
    database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    quarantine_id = set_aside(database)
    page = visiting().go("/audit")
    page.get_by_role("link", name="The quarantine").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("bad signature")
    expect(page.locator("tbody tr")).to_contain_text("192.0.2.1")
    page.get_by_label("Reason").select_option("expired")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No delivery fits.")).to_be_visible()
    page.get_by_role("link", name="Clear the filter").click()
    page.get_by_role("link", name="Open").click()
    assert page.url.endswith(f"/quarantine/{quarantine_id}")
    assert client.get("/quarantine", params={"reason": "x"}).status_code == 400
    assert client.get("/quarantine", params={"decided": "released"}).text.count('id="aside-') == 0


def test_a_history_marks_overlaps_and_gaps_and_lists_its_broadcasts(
    client: httpx.Client, visiting: Visiting
) -> None:
    now_s = int(time.time())
    for sequence, begins, ends in (("1", 3000, 2000), ("2", 2400, 1000), ("3", 970, 500), ("4", 200, 100)):
        deliver(client, push("main", sequence, now_s - begins))
        position = deliver(client, stop("main", sequence, now_s - begins, now_s - ends))
    client.get("/v1/sessions/4", params={"min_position": position})
    page = visiting().go("/streams/main")
    expect(page.locator("svg.band rect.overlap")).to_have_count(1)
    expect(page.locator("svg.band rect.gap")).to_have_count(2)
    table = page.get_by_role("region", name="Broadcasts")
    expect(table.locator("tbody tr")).to_have_count(2)
    expect(table.locator("tbody tr").nth(1)).to_contain_text("30 s")
    page.get_by_label("Reconnect window, seconds").fill("0")
    page.get_by_role("button", name="Show").click()
    expect(table.locator("tbody tr")).to_have_count(3)


def test_an_empty_store_tells_a_newcomer_what_to_do_next(
    address: str, client: httpx.Client, visiting: Visiting
) -> None:
    page = visiting().go("/")
    expect(page.get_by_text(f"{address}/callbacks/tencent", exact=True)).to_be_visible()
    expect(page.get_by_text(f"{own_command()} simulate --url {address}", exact=True)).to_be_visible()
    for path, said in (
        ("/streams", "No stream is known yet."),
        ("/sessions", "No session is known yet."),
        ("/audit", "Nothing suspicious."),
        ("/quarantine", "Nothing was set aside."),
    ):
        assert said in client.get(path).text
    deliver(client, push("room-1", "1", int(time.time())))
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".first-steps")).to_have_count(0)
