"""The pages in a real browser: a newcomer's path, changes without reload, keyboard, languages, sizes."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import expect
from scripts.scene import Scene, deliver, play, push, recording, scene_of, screenshot, stop

from tests.acceptance.page.browsing import Visit

Visiting = Callable[..., Visit]


def small_scene() -> Scene:
    return scene_of(int(time.time()), streams=4)


def deliver_running(client: httpx.Client, sequence: str = "2210464508206756938") -> int:
    """A push that runs, with three screenshots and a recording; when it began."""
    began_s = int(time.time()) - 300
    bodies = [push("room-1", sequence, began_s), recording("room-1", began_s, began_s + 120, "mp4")]
    bodies += [screenshot("room-1", began_s + second) for second in (10, 20, 30)]
    position = max(deliver(client, body) for body in bodies)
    client.get(f"/v1/sessions/{sequence}", params={"min_position": position}).raise_for_status()
    return began_s


def test_a_newcomer_gets_from_the_first_page_to_the_picture_of_a_session(
    client: httpx.Client, visiting: Visiting
) -> None:
    scene = small_scene()
    play(client, scene)
    client.get(f"/v1/sessions/{scene.sequence}")
    page = visiting().go("/")
    expect(page.get_by_role("heading", name="Live now")).to_be_visible()
    expect(page.locator(".card")).to_have_count(4)
    expect(page.locator(".rows li[id^=suspect]")).to_have_count(2)
    page.get_by_role("link", name="Sessions", exact=True).click()
    page.get_by_role("link", name=scene.sequence).click()
    picture = page.locator("svg.timeline")
    expect(picture).to_be_visible()
    expect(picture.locator("rect.bar")).to_have_count(1)
    expect(picture.locator("rect.block")).to_have_count(10)
    expect(picture.locator("path.error")).to_have_count(3)
    picture.locator("[data-image]").nth(5).hover()
    expect(page.locator(".preview img")).to_be_visible()


def test_a_stop_that_arrives_while_the_page_is_open_changes_it_without_a_reload(
    client: httpx.Client, visiting: Visiting
) -> None:
    began_s = deliver_running(client)
    session, first = visiting(), visiting()
    session.go("/sessions/2210464508206756938")
    first.go("/")
    for visit in (session, first):
        visit.page.evaluate("window.notReloaded = true")
    expect(session.page.locator("h1 .state")).to_have_text("live")
    expect(first.page.locator(".card")).to_have_count(1)
    deliver(client, stop("room-1", "2210464508206756938", began_s, began_s + 290))
    expect(session.page.locator("h1 .state")).to_have_text("ended")
    expect(session.page.locator("tbody")).to_contain_text("Push stopped")
    expect(first.page.locator(".card")).to_have_count(0)
    for visit in (session, first):
        assert visit.page.evaluate("window.notReloaded") is True


def test_a_start_appears_on_an_open_empty_page(client: httpx.Client, visiting: Visiting) -> None:
    page = visiting().go("/")
    expect(page.get_by_text("Nobody is live.")).to_be_visible()
    deliver_running(client)
    expect(page.locator(".card .name")).to_have_text("room-1")


def test_everything_can_be_reached_by_keyboard(client: httpx.Client, visiting: Visiting) -> None:
    deliver_running(client)
    page = visiting().go("/")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to content")
    page.keyboard.press("Enter")
    expect(page.locator("main:focus")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_class("picture")
    page.keyboard.press("/")
    page.keyboard.type("2210464508206756938")
    page.keyboard.press("Enter")
    expect(page).to_have_title("2210464508206756938 · streamledger")
    page.locator(".drawing").focus()
    page.keyboard.press("Tab")
    expect(page.locator("svg [data-image]:focus")).to_have_count(1)
    latest = page.evaluate("document.activeElement.id")
    expect(page.locator(".preview")).to_be_visible()
    page.evaluate("scrollBy(0, 40)")  # as a browser does of itself to show what has the focus
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(page.locator(".preview")).to_be_visible(timeout=1)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.id") != latest
    expect(page.locator(".preview")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".preview")).to_have_count(0)


def test_it_speaks_the_browsers_language_and_the_one_that_is_chosen(
    client: httpx.Client, visiting: Visiting
) -> None:
    deliver_running(client)
    page = visiting("zh-CN").go("/sessions/2210464508206756938")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("h1 .state")).to_have_text("直播中")
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1 .state")).to_have_text("live")
    assert page.url.endswith("/sessions/2210464508206756938")
    page.get_by_role("link", name="System").click()
    expect(page.get_by_role("heading", name="Conservation")).to_be_visible()


def test_copies_of_a_notification_stand_beside_each_other_with_what_differs(
    client: httpx.Client, visiting: Visiting
) -> None:
    began_s = int(time.time()) - 60
    first = deliver(client, push("room-1", "7", began_s))
    second = deliver(client, push("room-1", "7", began_s, node="<b>198.51.100.99</b>"))
    client.get(f"/v1/deliveries/{second}", params={"min_position": second}).raise_for_status()
    page = visiting().go("/audit")
    expect(page.locator("tbody")).to_have_count(2)
    page.get_by_role("link", name=str(second), exact=True).click()
    expect(page.locator("h1")).to_contain_text("conflict")
    copies = page.get_by_role("table", name="Deliveries of the same notification")
    expect(copies.locator("tbody tr")).to_have_count(2)
    expect(page.locator("mark")).to_have_text('"<b>198.51.100.99</b>"')
    page.get_by_role("link", name=str(first), exact=True).click()
    expect(page.locator("h1")).to_contain_text("first")
    expect(page.locator("pre")).to_contain_text("txSecret=REDACTED")


def test_the_search_finds_sessions_and_streams(client: httpx.Client, visiting: Visiting) -> None:
    deliver_running(client)
    for name in ("lobby-east", "lobby-west"):
        position = deliver(client, push(name, name, int(time.time())))
    client.get("/v1/sessions", params={"min_position": position})
    page = visiting().go("/")

    def search(text: str) -> None:
        page.get_by_role("searchbox", name="Search").first.fill(text)
        page.keyboard.press("Enter")

    search("room")
    expect(page.get_by_role("heading", name="room-1")).to_be_visible()
    search("LOBBY")
    expect(page.locator("main li").filter(has_text="lobby-")).to_have_count(2)
    search("lobby-west")
    expect(page.locator("svg.band")).to_have_count(0)  # its sequence is named so, too
    expect(page.locator("svg.timeline")).to_be_visible()


def test_a_history_shows_overlaps_in_lanes(client: httpx.Client, visiting: Visiting) -> None:
    now_s = int(time.time())
    deliver(client, push("main", "1", now_s - 3000))
    deliver(client, push("main", "2", now_s - 2400))
    deliver(client, stop("main", "1", now_s - 3000, now_s - 2000))
    position = deliver(client, stop("main", "2", now_s - 2400, now_s - 1000))
    client.get("/v1/sessions/1", params={"min_position": position})
    page = visiting().go("/streams/main")
    bars = page.locator("svg.band rect.bar")
    expect(bars).to_have_count(2)
    assert bars.nth(0).get_attribute("y") != bars.nth(1).get_attribute("y")
    bars.nth(1).click()
    expect(page).to_have_title("2 · streamledger")


def test_the_first_page_is_small_and_fits_a_phone(client: httpx.Client, visiting: Visiting) -> None:
    play(client, scene_of(int(time.time()), streams=24))
    visit = visiting(width=390)
    sizes: list[int] = []
    visit.page.on(
        "response",
        lambda answer: (
            sizes.append(len(answer.body()))
            if answer.url.startswith(visit.address) and "/changes" not in answer.url
            else None
        ),
    )
    page = visit.go("/")
    expect(page.locator(".card")).to_have_count(24)
    first_page = list(sizes)  # the page, its scripts and its icon, as they are when they are unpacked
    assert len(first_page) >= 3
    paths = ("/", "/streams", "/streams/main-stage", "/sessions", "/audit", "/quarantine", "/system")
    for path in (*paths, "/deliveries", "/deliveries/5", "/search?q=1"):
        visit.go(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    assert sum(first_page) < 100_000, first_page
