"""Whatever a notification says, the pages only show it."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from scripts.scene import deliver, push, recording, screenshot, stop

from streamledger.postgres.embedded import EmbeddedServer
from streamledger.readmodel.queries.pages import PageQueries
from tests.acceptance.page.browsing import Visit
from tests.acceptance.page.server import serving
from tests.conftest import clone

Visiting = Callable[..., Visit]

SCRIPT = "<script>window.taken = 1; alert(1)</script>"
IMAGE = "\"'><img src=x onerror='window.taken = 1; alert(1)'>"
NAMES = [
    SCRIPT,
    IMAGE,
    "{{ 7 * 7 }}{% raw %}",
    "../../system",
    "..",
    "a/b?c=d&e#f",
    "javascript:alert(1)",
    "\u202eevil  name",
    "名字 <b>",
]


@pytest.fixture(scope="module")
def asking(postgres_server: EmbeddedServer, template_database: str) -> Iterator[httpx.Client]:
    """A client of one server for all tests that only ask."""
    with (
        clone(postgres_server.dsn, template_database) as database,
        serving(database) as address,
        httpx.Client(base_url=address, timeout=30) as opened,
    ):
        yield opened


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_stream_name_is_shown_and_does_nothing(
    name: str, client: httpx.Client, visiting: Visiting
) -> None:
    now_s = int(time.time())
    sequence = "77"
    deliver(client, push(name, sequence, now_s - 60, app=IMAGE, node=SCRIPT, stream_param=IMAGE))
    deliver(client, screenshot(name, now_s - 50, pic_full_url="javascript:alert(1)"))
    deliver(client, screenshot(name, now_s - 40, pic_url=IMAGE, pic_full_url="https://x/" + IMAGE))
    deliver(client, recording(name, now_s - 55, now_s - 10, SCRIPT, video_url="javascript:alert(1)"))
    deliver(client, {"event_type": 321, "stream_id": name, "sequence": sequence, "data_time": now_s * 1000})
    page = visiting().go("/")
    expect(page.locator(".card")).to_have_count(1)
    shown = page.locator(".card .name")
    assert name in (shown.text_content(), shown.get_attribute("title"))  # the latter where it is shortened
    page.locator(".card .name").click()
    expect(page.locator("h1.name")).to_contain_text(name.strip())
    page.locator("tbody a").first.click()
    expect(page.locator("svg.timeline")).to_be_visible()
    position = deliver(client, stop(name, sequence, now_s - 60, now_s, errmsg=SCRIPT + IMAGE))
    client.get("/v1/sessions", params={"min_position": position})
    expect(page.locator(".list")).to_contain_text(SCRIPT + IMAGE)
    for path in ("/streams", "/sessions", "/system"):
        page.goto(path)
    assert page.evaluate("window.taken") is None
    assert page.locator("a[href^='javascript:']").count() == 0


@pytest.mark.parametrize(
    "path",
    ["/", "/streams", "/sessions", "/system", "/audit", "/quarantine", "/sign-in", "/sessions/unknown"],
)
def test_every_page_forbids_scripts_and_styles_of_its_own(path: str, asking: httpx.Client) -> None:
    answer = asking.get(path, headers={"Accept-Language": "en"})
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert " style=" not in answer.text
    own_style = answer.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(own_style.encode()).digest()).decode()
    assert f"style-src 'self' 'sha256-{digest}';" in policy
    assert answer.text.count("<style") == 1
    assert "<style" not in asking.get(path, headers={"HX-Request": "true"}).text
    assert "<script>" not in answer.text
    assert " onerror=" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_and_files_are_pressed_for_those_who_take_it(asking: httpx.Client) -> None:
    types = {"/": "html", "/static/htmx.min.js": "javascript", "/static/page.css": "css"}
    for path, name in types.items():
        assert asking.get(path).headers["content-type"] == f"text/{name}; charset=utf-8"
        plain = asking.get(path, headers={"Accept-Encoding": "identity"})
        pressed = asking.get(path, headers={"Accept-Encoding": "br, gzip;q=0.8"})
        assert "content-encoding" not in plain.headers
        assert pressed.headers["content-encoding"] == "gzip"
        assert len(plain.content) == len(pressed.content)
        assert int(pressed.headers["content-length"]) < 0.6 * len(plain.content)
        refused = asking.get(path, headers={"Accept-Encoding": "gzip;q=0"})
        assert "content-encoding" not in refused.headers
    assert "Accept-Encoding" in asking.get("/").headers["vary"]


def test_an_unknown_session_is_a_page_with_the_right_status(asking: httpx.Client) -> None:
    answer = asking.get("/sessions/404404404")
    assert answer.status_code == 404
    assert "no session has the sequence 404404404" in answer.text
    assert asking.get("/v1/sessions/404404404").headers["content-type"] == "application/problem+json"


def test_an_unknown_path_is_a_page_for_a_browser_and_a_problem_for_a_program(asking: httpx.Client) -> None:
    browser = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "zh-CN"}
    answer = asking.get("/nowhere", headers=browser)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "没有这个页面。" in answer.text
    for path, headers in (("/nowhere", {}), ("/v1/nowhere", browser), ("/callbacks/x/y", browser)):
        answer = asking.get(path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_sequence_of_several_streams_leads_to_each_of_them(client: httpx.Client) -> None:
    names = ("room-1", "<b>room 2</b>")
    position = max(deliver(client, push(name, "7", int(time.time()))) for name in names)
    client.get("/v1/sessions", params={"min_position": position})
    answer = client.get("/sessions/7")
    assert answer.status_code == 409
    assert '<a class="name" href="/sessions/7?stream_id=room-1">room-1</a>' in answer.text
    assert "&lt;b&gt;room 2&lt;/b&gt;</a>" in answer.text
    assert client.get("/sessions/7", params={"stream_id": names[1]}).status_code == 200


def test_errors_are_told_in_the_visitors_language(asking: httpx.Client) -> None:
    def told(path: str) -> str:
        return asking.get(path, headers={"Accept-Language": "zh-CN"}).text

    assert "没有序列号为 404404404 的会话" in told("/sessions/404404404")
    assert "state：应为 one of live, suspect, ended，实为 &#39;x&#39;" in told("/sessions?state=x")
    foreign = {"Sec-Fetch-Site": "cross-site", "Accept-Language": "zh-CN"}
    answer = asking.post("/system/rebuild", headers=foreign)
    assert (answer.status_code, "该表单来自其他网站的页面。" in answer.text) == (403, True)


def test_notifications_that_leave_out_what_they_may_are_shown_all_the_same(client: httpx.Client) -> None:
    now_s = int(time.time())
    bare: dict[str, Any] = {"stream_id": "bare"}
    position = 0
    for body in (
        {"event_type": 1, "sequence": "1", "event_time": now_s - 60},
        {"event_type": 0, "sequence": "1", "event_time": now_s},
        {"event_type": 100, "end_time": now_s - 10, "duration": 20},
        {"event_type": 200, "create_time": now_s - 30},
        {"event_type": 200, "create_time": now_s - 29, "pic_full_url": "https://screenshots.example.com/1"},
        {"event_type": 321, "sequence": "1"},
        {"event_type": 332, "event_time": now_s - 50},
        {"event_type": 341, "event_time": now_s - 40},
        {"event_type": 999},
    ):
        position = deliver(client, {**bare, **body})
    client.get("/v1/sessions", params={"min_position": position})
    for path in ("/sessions/1", "/sessions/1?step=3", "/streams/bare", f"/deliveries/{position}"):
        assert client.get(path).status_code == 200, path
    kinds = {entry["kind"] for entry in client.get("/v1/sessions/1/timeline").json()["items"]}
    assert {"recording", "screenshot", "recording_status", "push_error"} <= kinds


def test_a_fault_of_ours_is_a_page_too(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: PageQueries) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(PageQueries, "storage", broken)
    answer = client.get("/system", headers={"Accept-Language": "zh-CN"})
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "streamledger 出错，原因见其日志。" in answer.text
    assert "a fault" not in answer.text


def test_a_parameter_that_does_not_fit_is_a_page_too(asking: httpx.Client) -> None:
    for path in ("/sessions?cursor=x", "/sessions?started_from=yesterday", "/sessions?state=x"):
        answer = asking.get(path)
        assert answer.status_code == 400, path
        assert answer.headers["content-type"].startswith("text/html")
