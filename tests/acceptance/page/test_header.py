"""The header of every page: how current it is, and the zone that its times are in."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import expect
from scripts.scene import deliver, push

from streamledger.postgres.connection import Database
from tests.acceptance.page.browsing import Visit
from tests.integration.web.test_store_lost import away

Visiting = Callable[..., Visit]


def test_the_zone_is_chosen_once_and_holds_for_every_time_and_field(
    client: httpx.Client, visiting: Visiting
) -> None:
    position = deliver(client, push("room-1", "1", 1_713_731_478))
    client.get("/v1/sessions", params={"min_position": position}).raise_for_status()
    page = visiting(zone="Asia/Tokyo").go("/sessions")
    row = page.locator("tbody tr time:not([data-ago])")
    expect(row).to_have_text("2024-04-21 20:31:18")
    for label, shown in (("UTC+8", "2024-04-22 04:31:18"), ("Asia/Tokyo", "2024-04-22 05:31:18")):
        page.locator(".zone summary").click()
        page.locator(".zone button").filter(has_text=label).click()
        expect(row).to_have_text(shown)
        expect(page.locator("footer")).to_contain_text(f"Times are in {label}")
    visiting().go("/quarantine")  # a list that stays as it is says how current it is all the same
    page.get_by_label("Started from (Asia/Tokyo)").fill("2024-04-22T05:31")
    page.get_by_role("button", name="Show").click()
    expect(row).to_have_count(1)
    address = page.url
    # Another reader's zone is another, and the address means the same.
    other = visiting(zone="UTC").go(address)
    expect(other.get_by_label("Started from (UTC)")).to_have_value("2024-04-21T20:31")
    other.get_by_label("Started from (UTC)").fill("2024-04-21T20:32")
    other.get_by_role("button", name="Show").click()
    expect(other.locator("main")).to_contain_text("No session fits.")
    expect(visiting(locale="zh-CN").go("/sessions").locator("tbody tr time:not([data-ago])")).to_have_text(
        "2024-04-22 04:31:18"
    )


def test_an_open_page_says_since_when_it_is_not_current_and_when_the_last_delivery_came(
    database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    visit = visiting()
    page = visit.go("/streams")
    feed, banner, last = page.locator(".feed"), page.locator(".banner"), page.locator(".last")
    expect(feed).to_have_text("Store up")
    expect(banner).to_be_hidden()
    expect(last).to_be_hidden()
    with away(database):
        expect(feed).to_have_text("Store down")
        expect(banner).to_contain_text(
            f"The store has been down since {time.strftime('%Y-%m-%d', time.gmtime())}"
        )
        other = visiting()
        other.page.goto("/sessions")
        expect(other.page.locator(".banner")).to_contain_text("The store has been down since")
        expect(other.page.locator("main")).to_contain_text("This page looks again by itself")
        other.faults.clear()  # the page of an error is one
    expect(feed).to_have_text("Store up")
    expect(banner).to_be_hidden()
    # What failed while the store was away looks again by itself.
    expect(other.page.get_by_role("heading", name="Sessions")).to_be_visible()
    position = deliver(client, push("room-1", "1", 1_713_731_478))
    client.get("/v1/sessions", params={"min_position": position}).raise_for_status()
    expect(page.locator("main")).to_contain_text("room-1")
    expect(last).to_contain_text("s ago")
    for each in (visit, other):
        each.faults.clear()  # refreshes that were answered 503 meanwhile are in the browser's console


def test_a_page_that_connects_again_while_the_store_is_away_is_told_so(
    database: Database, client: httpx.Client
) -> None:
    client.get("/sessions").raise_for_status()  # who may look is remembered from here on
    with away(database), client.stream("GET", "/changes", params={"after": "0"}) as told:
        assert told.status_code == 200, told.read()
        assert '"state":"gone"' in next(line for line in told.iter_lines() if line.startswith("data:"))


def test_a_page_whose_server_is_gone_says_since_when(visiting: Visiting) -> None:
    visit = visiting()
    page = visit.go("/streams")
    visit.context.set_offline(True)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate("window.dispatchEvent(new Event('pagehide'))")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".feed")).to_have_text("No connection")
    expect(page.locator(".banner")).to_contain_text("There has been no connection to the server since")
    visit.page.close()
    visit.faults.clear()  # what could not be fetched
