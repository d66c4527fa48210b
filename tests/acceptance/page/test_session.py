"""A session's page: how the knowledge grew, why each fact is so, and each delivery as a dot."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import expect
from scripts.scene import deliver, push, recording, screenshot, stop

from tests.acceptance.page.browsing import Visit

Visiting = Callable[..., Visit]
PATH = "/sessions/42"


def deliver_a_session_whose_start_came_late(client: httpx.Client) -> dict[str, int]:
    """Its stop first, then media, then its start, twice; the positions by name."""
    began_s = int(time.time()) - 600
    positions = {
        "stop": deliver(client, stop("room-1", "42", began_s, began_s + 300)),
        "screenshot": deliver(client, screenshot("room-1", began_s + 10)),
        "recording": deliver(client, recording("room-1", began_s, began_s + 300, "mp4")),
        "start": deliver(client, push("room-1", "42", began_s - 2)),
        "copy": deliver(client, push("room-1", "42", began_s - 2)),
    }
    client.get("/v1/sessions/42", params={"min_position": positions["copy"]}).raise_for_status()
    client.get(f"/v1/deliveries/{positions['copy']}", params={"min_position": positions["copy"]})
    return positions


def test_the_slider_shows_what_was_known_at_each_step_and_leads_back_to_now(
    client: httpx.Client, visiting: Visiting
) -> None:
    deliver_a_session_whose_start_came_late(client)
    page = visiting().go(PATH)
    slider = page.get_by_role("slider", name="How the knowledge grew")
    expect(slider).to_have_value("4")
    page.evaluate("window.notReloaded = true")
    slider.focus()
    slider.press("Home")
    expect(page.locator(".growth .known")).to_contain_text("Push stopped")
    expect(page.locator("h1 ~ .figures")).to_contain_text("inferred")
    expect(page.locator("svg rect.block")).to_have_count(0)
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    expect(page.locator("svg rect.block")).to_have_count(1)
    assert page.evaluate("window.notReloaded") is True
    page.locator("#to-now").click()
    expect(page.locator("h1 ~ .figures")).not_to_contain_text("inferred")
    expect(slider).to_have_value("4")


def test_a_page_that_looks_back_stays_in_the_past_when_something_new_comes(
    client: httpx.Client, visiting: Visiting
) -> None:
    positions = deliver_a_session_whose_start_came_late(client)
    page = visiting().go(PATH)
    page.locator("#step-back").click()
    expect(page.locator(".growth")).to_have_class("growth back")
    later = deliver(client, screenshot("room-1", int(time.time()) - 500))
    client.get("/v1/sessions/42", params={"min_position": later}).raise_for_status()
    expect(page.get_by_role("slider")).to_have_attribute("max", "5")
    expect(page.locator(".growth .known")).to_contain_text(f"position {positions['start']}")


def test_without_scripts_the_past_and_the_reasons_are_links_and_a_form(client: httpx.Client) -> None:
    positions = deliver_a_session_whose_start_came_late(client)
    past = client.get(PATH, params={"known_at": positions["recording"]}).text
    assert "start inferred from the stop" in past
    assert f'href="/sessions/42?known_at={positions["screenshot"]}"' in past
    by_step = client.get("/sessions", params={"sequence": "42", "stream_id": "room-1", "step": "2"}).text
    assert f"at position {positions['recording']}" in by_step
    why = client.get(PATH, params={"why": "started_at"}).text
    assert "The start with the earliest event_time counts" in why
    assert f'href="/deliveries/{positions["start"]}"' in why
    assert "confirmed by 1 more" in why
    assert client.get(PATH, params={"why": "nothing"}).status_code == 400
    assert client.get(PATH, params={"known_at": "yesterday"}).status_code == 400
    assert client.get(PATH, params={"known_at": "0"}).status_code == 404


def test_each_field_is_explained_on_a_click_and_the_explanation_closes_again(
    client: httpx.Client, visiting: Visiting
) -> None:
    positions = deliver_a_session_whose_start_came_late(client)
    page = visiting().go(PATH)
    for field in page.locator(".list .ask").all():
        name = field.get_attribute("id")
        field.click()
        expect(page.locator(f"#{name}[aria-expanded=true]")).to_have_count(1)
        expect(page.locator(".list .why p").first).not_to_be_empty()
    page.locator("#why-ended_at").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".why")).to_contain_text(str(positions["stop"]))
    expect(page.locator("#why-ended_at")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".why")).to_have_count(0)


def test_each_delivery_is_a_dot_that_leads_to_it_and_copies_have_their_own(
    client: httpx.Client, visiting: Visiting
) -> None:
    positions = deliver_a_session_whose_start_came_late(client)
    page = visiting().go(PATH)
    expect(page.locator("svg circle.dot")).to_have_count(5)
    for name in positions:
        dot = page.locator(f"#dot-{positions[name]}")
        expect(dot).to_have_attribute("href", f"/deliveries/{positions[name]}")
    expect(page.locator("svg .dot.late")).not_to_have_count(0)
    past = client.get(PATH, params={"known_at": positions["start"]}).text
    assert f"dot-{positions['copy']}" not in past


def test_in_chinese_reasons_are_chinese_too(client: httpx.Client) -> None:
    deliver_a_session_whose_start_came_late(client)
    found = client.get(PATH, params={"why": "started_at"}, headers={"Accept-Language": "zh-CN"}).text
    assert "以 event_time 最早的推流开始为准" in found
    assert "earliest event_time" not in found
