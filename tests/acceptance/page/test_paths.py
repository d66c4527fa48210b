"""A duty engineer's ways through the pages, by keyboard alone, in both languages, on a phone too."""

import json
import time
from collections.abc import Callable
from itertools import count

import httpx
import msgspec
import pytest
from playwright.sync_api import Locator, Page, expect
from scripts.scene import deliver, push, screenshot, stop

from streamledger.postgres.connection import Database, connect
from tests.acceptance.page.browsing import Visit
from tests.deliveries import push_started, quarantined, store

Visiting = Callable[..., Visit]
LOOKS = [("en-US", 1280, "light"), ("zh-CN", 390, "dark")]
CLICKS_MAX = 4


class Keyboard:
    """Presses what has the focus, counts it, and never touches the mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.presses = 0

    def press(self, target: Locator) -> None:
        """Give it the focus, as Tab does, and press Enter."""
        target.focus()
        expect(target).to_be_focused()
        self.presses += 1
        self.page.keyboard.press("Enter")

    def type(self, target: Locator, text: str) -> None:
        """Write into a field."""
        target.focus()
        self.page.keyboard.type(text)


def fits(page: Page) -> bool:
    """Whether nothing of the page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
def test_a_complaint_leads_to_the_deliveries_that_explain_it(
    locale: str, width: int, scheme: str, client: httpx.Client, visiting: Visiting
) -> None:
    """'The picture of studio-7 broke off at ten to': the stream's name, then the session of that time."""
    began_s = int(time.time()) - 3000
    deliver(client, push("studio-7", "1000000001", began_s - 9000))
    deliver(client, stop("studio-7", "1000000001", began_s - 9000, began_s - 5000))
    deliver(client, push("studio-7", "1000000002", began_s))
    for number in range(1, 41):
        deliver(client, screenshot("studio-7", began_s + 10 * number))
    broken = stop("studio-7", "1000000002", began_s, began_s + 405, errcode=8, errmsg="timeout")
    position = deliver(client, broken)
    client.get("/v1/sessions/1000000002", params={"min_position": position}).raise_for_status()
    page = visiting(locale=locale, width=width, scheme=scheme).go("/")
    keyboard = Keyboard(page)
    page.keyboard.press("/")
    page.keyboard.type("studio-7")
    page.keyboard.press("Enter")
    keyboard.presses += 1
    keyboard.press(page.locator("main tbody").get_by_role("link", name="1000000002").last)
    glance = page.locator(".glance")
    expect(glance.locator(".end.idle")).to_be_visible()  # the cause, before forty screenshots
    expect(page.locator("tr.run summary")).to_contain_text("40")
    assert fits(page)
    keyboard.press(glance.get_by_role("link", name=str(position), exact=True))
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("table.decoded")).to_contain_text("timeout")
    expect(page.locator("#raw, pre.body").first).to_contain_text('"errcode": 8')
    assert page.url.endswith(f"/deliveries/{position}")
    assert keyboard.presses <= CLICKS_MAX
    assert fits(page)
    page.go_back()
    expect(glance).to_be_visible()


def set_aside_an_outage(database: Database, client: httpx.Client) -> None:
    """Five starts refused by a wrong key, one of them twice, and a malformed body."""
    now_s = int(time.time())
    numbers = count()

    def row(reason: str, body: bytes) -> None:
        made = msgspec.structs.replace(
            quarantined(reason, body, "room"),
            received_at_us=(now_s - 600 + next(numbers)) * 1_000_000,
        )
        with connect(database, application_name="test") as connection:
            store(connection, refused=[made])

    for number in range(5):
        body = json.dumps(push_started(f"room-{number}", f"{number + 1}", now_s - 700)).encode()
        row("bad_signature", body)
        if number == 0:
            row("bad_signature", body)
    row("malformed", b'{"event_type":1,"stream_id" 2}')
    assert client.get("/v1/quarantine").json()["items"]


@pytest.mark.parametrize(("locale", "width", "scheme"), LOOKS)
def test_an_outage_is_released_after_a_dry_run_that_changes_nothing(
    locale: str, width: int, scheme: str, database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    set_aside_an_outage(database, client)
    page = visiting(locale=locale, width=width, scheme=scheme).go("/")
    keyboard = Keyboard(page)
    menu = page.locator("header nav a[href='/quarantine']")
    deadline = time.monotonic() + 20
    while 'count">7<' not in client.get("/").text:  # the process looks every other second
        assert time.monotonic() < deadline
        time.sleep(0.1)
    page.reload()
    expect(menu.locator(".count")).to_have_text("7")
    keyboard.press(menu)
    page.locator("select[name=reason]").focus()
    page.locator("select[name=reason]").select_option("bad_signature")
    keyboard.press(page.locator(".filter > button").first)
    keyboard.press(page.locator("details.release form button"))
    would = page.locator(".figures dd")
    expect(would.first).to_have_text("5")
    expect(would.nth(1)).to_have_text("1")  # the same notification once more
    assert fits(page)
    assert client.get("/v1/events").json()["items"] == []
    keyboard.type(page.locator("input[name=reason]"), "the key was rotated too early")
    keyboard.press(page.locator("form.filter button"))
    expect(page.locator(".notice")).to_contain_text("5")
    assert fits(page)
    events = client.get("/v1/events").json()["items"]
    assert sum(each["name"] == "push-started.v1" for each in events) == 5
    (undecided,) = client.get("/v1/quarantine", params={"reason": "malformed"}).json()["items"]
    page.goto(f"/quarantine/{undecided['id']}")
    expect(page.locator("pre mark")).to_have_text("2")  # where a colon is missing
    assert fits(page)


def test_a_filter_must_name_something_and_scope_read_is_told_so(
    database: Database, client: httpx.Client
) -> None:
    set_aside_an_outage(database, client)
    assert client.post("/quarantine/release", data={"first_only": "1"}).status_code == 400
    tried = client.post("/quarantine/release", data={"reason_aside": "bad_signature"})
    assert tried.status_code == 200
    assert "Release 6" in tried.text
    empty = client.post("/quarantine/release", data={"reason_aside": "bad_signature", "confirmed": "1"})
    assert empty.status_code == 400
    foreign = client.post("/quarantine/release", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert client.get("/v1/events").json()["items"] == []


def test_one_search_knows_every_kind_of_name_and_says_what_it_searched(
    database: Database, client: httpx.Client
) -> None:
    began_s = int(time.time()) - 600
    deliver(client, push("room-1", "2210464508206756938", began_s))
    position = deliver(client, push("room-2", "2210464999999999999", began_s))
    client.get("/v1/sessions/2210464999999999999", params={"min_position": position}).raise_for_status()
    set_aside_an_outage(database, client)
    aside = client.get("/v1/quarantine").json()["items"][0]["id"]

    def leads_to(text: str) -> str:
        answer = client.get("/search", params={"q": text})
        assert answer.status_code == 303, text
        return answer.headers["location"]

    assert leads_to("2210464508206756938") == "/sessions/2210464508206756938"
    assert leads_to("22104645") == "/sessions/2210464508206756938"
    assert leads_to("room-2") == "/streams/room-2"
    assert leads_to(aside) == f"/quarantine/{aside}"
    assert leads_to("push.example.com") == "/sessions?domain=push.example.com"
    assert leads_to("127.0.0.1") == "/deliveries?source_ip=127.0.0.1"
    several = client.get("/search", params={"q": "2210464"}).text
    assert "2210464508206756938" in several
    assert "2210464999999999999" in several
    assert "What was searched" in several
    assert "Nothing has this name" in client.get("/search", params={"q": "nobody-here"}).text


def test_lists_are_narrowed_sorted_and_taken_away_as_files(client: httpx.Client) -> None:
    began_s = int(time.time()) - 900
    deliver(client, push("room-1", "1", began_s))
    deliver(client, stop("room-1", "1", began_s, began_s + 500, errcode=8))
    deliver(client, push("room-2", "2", began_s + 1, app="other.example.com"))
    deliver(client, stop("room-2", "2", began_s + 1, began_s + 100, app="other.example.com"))
    position = deliver(client, stop("room-3", "3", began_s, began_s + 50))
    client.get("/v1/sessions/3", params={"min_position": position}).raise_for_status()

    def sequences(**asked: str) -> list[str]:
        rows = client.get("/sessions", params={"form": "json", **asked}).json()
        return [each["sequence"] for each in rows]

    assert sequences(end="idle") == ["1"]
    assert sequences(domain="other.example.com") == ["2"]
    assert sequences(anomaly="start_missing") == sequences(anomaly="any") == ["3"]
    assert sequences(sort="duration") == ["1", "2", "3"]
    assert sequences(sort="duration", order="asc") == ["3", "2", "1"]
    assert client.get("/sessions", params={"sort": "x"}).status_code == 400
    answer = client.get("/deliveries", params={"form": "csv", "type": "0"})
    assert answer.headers["content-disposition"] == 'attachment; filename="deliveries.csv"'
    assert len(answer.text.splitlines()) == 4
    deadline = time.monotonic() + 30  # the next look is at most two seconds away
    while "99 of 100 answers in the last hour" not in (shown := client.get("/deliveries").text):
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)
    assert 'aria-sort="descending"' in client.get("/sessions", params={"sort": "media"}).text
