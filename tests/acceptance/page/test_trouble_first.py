"""The live page: what needs a look stands first, then who is on the air; on a phone nothing is cut."""

import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect
from scripts.scene import deliver, push, push_error, recording, screenshot, stop

from streamledger.web.pages import live
from tests.acceptance.page.browsing import Visit

Visiting = Callable[..., Visit]
SEQUENCE = "2210464508206756938"
PAGES = ("/", "/streams", "/sessions", "/streams/ended-badly", "/system", "/audit", "/sign-in")
CUT = """() => [...document.querySelectorAll('.scroll:not(.drawing), main')]
  .filter(each => each.scrollWidth > each.clientWidth + 1)
  .map(each => each.getAttribute('aria-label') || 'main')"""


def deliver_trouble(client: httpx.Client) -> None:
    now_s = int(time.time())
    bodies = [
        push("healthy", SEQUENCE, now_s - 300),
        screenshot("healthy", now_s - 20),
        recording("healthy", now_s - 290, now_s - 60, "mp4"),
        push("with-errors", "11", now_s - 300),
        push_error("with-errors", "11", now_s - 90),
        push_error("with-errors", "11", now_s - 30),
        push("ended-badly", "12", now_s - 600),
        stop("ended-badly", "12", now_s - 600, now_s - 240, errcode=12, errmsg="push link network abnormal"),
        push("ended-well", "13", now_s - 600),
        stop("ended-well", "13", now_s - 600, now_s - 240),
        push("ended-long-ago", "14", now_s - 9000),
        stop("ended-long-ago", "14", now_s - 9000, now_s - 1800, errcode=12),
        push("of-yesterday", "15", now_s - 90_000),
    ]
    position = max(deliver(client, body) for body in bodies)
    client.get("/v1/sessions", params={"min_position": position}).raise_for_status()


def test_what_needs_a_look_stands_before_who_is_on_the_air(client: httpx.Client, visiting: Visiting) -> None:
    page = visiting().go("/")
    expect(page.get_by_text("Nobody is live.")).to_be_visible()
    expect(page.locator(".wrong")).to_have_count(0)
    deliver_trouble(client)
    rows = page.locator(".wrong .rows li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("push errors: 2")
    expect(rows.nth(0)).to_contain_text("with-errors")
    expect(rows.nth(1)).to_contain_text("ended badly")
    expect(rows.nth(1)).to_contain_text("client's network")
    expect(rows.nth(1)).to_contain_text("4 min ago")
    expect(rows.nth(2)).to_contain_text("of-yesterday")
    wrong, cards = page.locator(".wrong").bounding_box(), page.locator(".cards").bounding_box()
    assert wrong is not None
    assert cards is not None
    assert wrong["y"] < cards["y"]
    card = page.locator(".card", has_text="healthy")
    expect(card).to_contain_text("screenshot")
    expect(card.locator("time[data-ago]")).to_contain_text("s ago")
    rows.nth(1).get_by_role("link", name="12", exact=True).click()
    expect(page).to_have_title("12 · streamledger")


def test_that_nothing_comes_from_the_provider_is_trouble_too(
    client: httpx.Client, visiting: Visiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SILENT_MS", -60_000)
    position = deliver(client, push("healthy", SEQUENCE, int(time.time()) - 300))
    client.get("/v1/sessions", params={"min_position": position}).raise_for_status()
    page = visiting().go("/")
    expect(page.locator(".last")).to_be_visible()
    page.reload()
    expect(page.locator("#silent")).to_contain_text("No deliveries")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_on_a_phone_nothing_is_cut_and_trouble_is_on_the_first_screen(
    client: httpx.Client, visiting: Visiting, locale: str
) -> None:
    deliver_trouble(client)
    visit = visiting(width=390, locale=locale)
    for path in PAGES:
        visit.page.goto(path)
        assert visit.page.evaluate(CUT) == [], path
    page = visit.go("/")
    first = page.locator(".wrong .rows li").first.bounding_box()
    assert first is not None
    assert first["y"] + first["height"] < 800
    page.goto("/sessions")
    sequence = page.get_by_text(SEQUENCE)
    box = sequence.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
