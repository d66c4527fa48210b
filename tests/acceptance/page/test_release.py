"""Releasing a delivery on the page: with a reason, by who may, and the session follows."""

import json
import time
from collections.abc import Callable

import httpx
import msgspec
from playwright.sync_api import expect

from streamledger.postgres.connection import Database, connect
from streamledger.settings import Secret, Settings
from tests.acceptance.page.browsing import Visit
from tests.acceptance.page.server import serving
from tests.deliveries import push_started, quarantined, store

Visiting = Callable[..., Visit]


def set_aside(database: Database) -> str:
    """A start that was refused by mistake, with a hostile message in it; its id."""
    body = push_started("room-1", "42", int(time.time()) - 60, errmsg="<script>alert(1)</script>")
    row = msgspec.structs.replace(
        quarantined("bad_signature", json.dumps(body).encode()), received_at_us=time.time_ns() // 1000
    )
    with connect(database, application_name="test") as connection:
        store(connection, refused=[row])
    return str(row.delivery_id)


def test_a_delivery_is_released_with_a_reason_and_its_session_appears(
    database: Database, client: httpx.Client, visiting: Visiting
) -> None:
    quarantine_id = set_aside(database)
    page = visiting().go("/audit")
    page.get_by_role("link", name="Set aside").click()
    expect(page.locator("pre")).to_contain_text("<script>alert(1)</script>")
    page.get_by_label("Reason").fill("the wrong key was set that hour")
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_text("the wrong key was set that hour")).to_be_visible()
    expect(page.get_by_role("button", name="Release")).to_have_count(0)
    released = client.get(f"/v1/quarantine/{quarantine_id}").json()["released"]
    assert released["reason"] == "the wrong key was set that hour"
    session = client.get("/v1/sessions/42", params={"min_position": released["position"]})
    assert session.json()["stream_id"] == "room-1"


def test_what_cannot_be_read_shows_its_bytes_and_no_form(database: Database, visiting: Visiting) -> None:
    row = msgspec.structs.replace(
        quarantined("malformed", b"event_type=1&\x00\xff <b>"), received_at_us=time.time_ns() // 1000
    )
    with connect(database, application_name="test") as connection:
        store(connection, refused=[row])
    page = visiting().page
    page.goto(f"/quarantine/{row.delivery_id}")
    expect(page.locator("pre")).to_have_text(r"event_type=1&\x00\xff <b>")
    expect(page.get_by_text("It cannot be released")).to_be_visible()
    expect(page.get_by_role("button", name="Release")).to_have_count(0)


def test_a_form_of_another_site_and_an_empty_reason_release_nothing(
    database: Database, client: httpx.Client
) -> None:
    path = f"/quarantine/{set_aside(database)}/release"
    foreign = client.post(path, data={"reason": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert client.post(path, data={"reason": "  "}).status_code == 400
    assert client.get("/v1/events").json()["items"] == []


def test_scope_read_sees_it_and_may_not_release_it(database: Database) -> None:

    quarantine_id = set_aside(database)
    tokens = Secret("reader:read:r-e-a-d,operator:admin:a-d-m-i-n")
    with (
        serving(database, Settings(api_tokens=tokens)) as address,
        httpx.Client(base_url=address, timeout=30) as reader,
    ):
        path = f"/quarantine/{quarantine_id}"
        assert reader.post(path + "/release", data={"reason": "x"}).status_code in (303, 401)
        assert reader.post("/sign-in", data={"token": "r-e-a-d"}).status_code == 303
        shown = reader.get(path)
        assert shown.status_code == 200
        assert "Releasing it takes a token of scope admin" in shown.text
        assert reader.post(path + "/release", data={"reason": "x"}).status_code == 403
        assert reader.post("/sign-in", data={"token": "a-d-m-i-n"}).status_code == 303
        assert reader.post(path + "/release", data={"reason": "x"}).status_code == 303
        assert "Released by operator" in reader.get(path).text
