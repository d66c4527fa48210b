"""The system's page: a rebuild is started, tried, watched and cancelled by those who may."""

import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import expect
from scripts.scene import deliver, push

from streamledger.bootstrap import create_rebuild_attendant
from streamledger.postgres.connection import Database, connect
from streamledger.settings import Secret, Settings
from tests.acceptance.page.browsing import Visit
from tests.acceptance.page.server import serving

Visiting = Callable[..., Visit]


@pytest.fixture
def attendant(database: Database) -> Iterator[None]:
    """What does what is asked for, as `serve` has one."""
    at_work = create_rebuild_attendant(Settings(), database)
    thread = threading.Thread(target=at_work.run, daemon=True)
    thread.start()
    yield
    at_work.stop()
    thread.join(20)


def deliver_some(client: httpx.Client) -> None:
    position = max(
        deliver(client, push(f"room-{number}", str(number), 1_713_731_478)) for number in (1, 2, 3)
    )
    client.get("/v1/sessions", params={"min_position": position}).raise_for_status()


def digests_of(client: httpx.Client) -> dict[str, str]:
    return {each["name"]: each["digest"] for each in client.get("/v1/projections").json()["items"]}


def test_a_rebuild_is_started_and_its_end_appears_by_itself(
    attendant: None, client: httpx.Client, visiting: Visiting
) -> None:
    deliver_some(client)
    page = visiting().go("/system")
    projection = page.locator("section[aria-labelledby=projections] tr", has_text="sessions")
    expect(projection).to_contain_text("not counted yet")
    page.get_by_role("button", name="Rebuild now").click()
    row = page.locator("tr#rebuild-1")
    expect(row).to_contain_text("done", timeout=20_000)
    expect(row).to_contain_text("digests equal")
    page.reload()
    expect(projection).to_contain_text(f"{digests_of(client)['sessions']} at 3")


def test_a_dry_run_changes_nothing_and_shows_field_by_field_what_history_says(
    attendant: None, database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    deliver_some(client)
    with connect(database, application_name="test") as connection:
        connection.execute("UPDATE streams SET screenshots = 77 WHERE stream_id = 'room-2'")
    page = visiting().go("/system")
    page.get_by_role("button", name="Try it, change nothing").click()
    table = page.get_by_role("region", name="What the latest dry run would change")
    expect(table).to_contain_text("room-2", timeout=20_000)
    changed = table.locator("tr", has_text="screenshots")
    expect(changed.locator("td").nth(4)).to_have_text("77")
    expect(changed.locator("mark")).to_have_text("0")
    assert client.get("/v1/streams/room-2").json()["screenshots"] == 77
    assert client.get("/v1/rebuilds/1").json()["purpose"] == "dry_run"


def test_a_dry_run_says_on_the_page_and_over_http_what_the_answers_would_say(
    attendant: None, database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    deliver_some(client)
    with connect(database, application_name="test") as connection:
        rows = connection.execute(
            "SELECT stream_id, sequence FROM sessions ORDER BY sort_ms LIMIT 1"
        ).fetchall()
        (stream_id, sequence) = rows[0]
        connection.execute("DELETE FROM sessions WHERE sequence = %s", (sequence,))
    page = visiting("zh-CN").go("/system")
    page.get_by_role("button", name="试运行，不做更改").click()
    table = page.get_by_role("region", name="查询结果将有的变化")
    expect(table).to_contain_text("会话出现或消失", timeout=20_000)
    expect(table).to_contain_text(f"{stream_id} · {sequence}")
    (change,) = client.get("/v1/rebuilds/1").json()["changes"]
    assert (change["what"], change["before"], change["count"]) == ("session", None, 1)


def test_one_that_waits_is_cancelled_on_the_page(client: httpx.Client, visiting: Visiting) -> None:
    deliver_some(client)
    page = visiting().go("/system")
    page.get_by_role("button", name="Rebuild now").click()
    expect(page.locator("tr#rebuild-1")).to_contain_text("waiting")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("tr#rebuild-1")).to_contain_text("cancelled")
    assert client.get("/v1/rebuilds/1").json()["state"] == "cancelled"


def test_one_that_runs_is_followed_by_events_and_cancelled_on_the_page(
    attendant: None, database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    deliver_some(client)
    digests = digests_of(client)
    page = visiting("zh-CN").go("/system")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(str(client.base_url))))
    with connect(database, application_name="test") as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT FROM sessions")  # the switch waits for this reader
        page.get_by_role("button", name="立即重建").click()
        row = page.locator("tr#rebuild-1")
        expect(row.locator("[data-part=state]")).to_contain_text("切换", timeout=20_000)
        expect(row.get_by_role("progressbar")).to_be_visible()
        assert [url for url in asked if url.endswith("/live")] == ["/system/rebuild/1/live"]
        page.evaluate("window.notReloaded = true")
        row.get_by_role("button", name="取消").click()
        expect(row).to_contain_text("已取消", timeout=20_000)
        expect(row.get_by_role("button")).to_have_count(0)
        reading.execute("ROLLBACK")
    assert client.get("/v1/rebuilds/1").json()["state"] == "cancelled"
    assert digests_of(client) == digests


def test_a_row_changes_while_its_rebuild_runs_without_asking_for_the_page(
    database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    deliver_some(client)
    client.post("/v1/projections/rebuild", json={}).raise_for_status()
    page = visiting().go("/system")
    row = page.locator("tr#rebuild-1")
    expect(row).to_contain_text("waiting")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with connect(database, application_name="test") as connection:
        connection.execute(
            "UPDATE rebuilds SET state = 'running', phase = 'folding', started_at_us = asked_at_us,"
            " events_done = 250, events_total = 1000, events_per_s = 50"
        )
        expect(row).to_contain_text("folding history")
        expect(row.get_by_role("progressbar")).to_have_attribute("value", "250")
        expect(row).to_contain_text("50 events/s · about 15 s left")
        connection.execute("UPDATE rebuilds SET events_done = 900")
        expect(row.get_by_role("progressbar")).to_have_attribute("value", "900")
        connection.execute(
            "UPDATE rebuilds SET phase = 'indexing', indexes_done = 3, indexes_total = 20,"
            " indexes_left_s = 12"
        )
        expect(row).to_contain_text("3 of 20 indexes · about 12 s left")
    assert asked == []


def test_scope_read_has_no_form_and_no_way_around_it_and_foreign_forms_do_nothing(database: Database) -> None:
    tokens = Secret("reader:read:r-e-a-d,operator:admin:a-d-m-i-n")
    with (
        serving(database, Settings(api_tokens=tokens)) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        client.post("/sign-in", data={"token": "r-e-a-d"})
        shown = client.get("/system").text
        assert "Starting or cancelling one takes a token of scope admin" in shown
        assert 'action="/system/rebuild"' not in shown
        assert client.post("/system/rebuild").status_code == 403
        assert client.post("/system/rebuild/1/cancel").status_code == 403
        client.post("/sign-in", data={"token": "a-d-m-i-n"})
        foreign = client.post("/system/rebuild", headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403
        assert 'action="/system/rebuild"' in client.get("/system").text
        assert client.post("/system/rebuild/99/cancel").status_code == 404
        assert client.post("/system/rebuild", data={"projection": "nothing"}).status_code == 400
