"""A newcomer's path: `make demo` starts a process, and a browser leads from its first page to a picture."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.page.browsing import Visit
from tests.acceptance.serving import COMMAND, data_directory, settings_of

WAIT_MS = 90_000


@pytest.fixture
def demo() -> Iterator[str]:
    """The address of what `make demo` runs, as it says it; ended as by Ctrl-C."""
    with data_directory() as data_dir:
        process = subprocess.Popen(
            [*COMMAND, "demo", "--port", "0", "--streams", "3", "--data-dir", str(data_dir)],
            env=settings_of(callback_keys=None, image_hosts="*"),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            while "Look at" not in (said := process.stdout.readline()):
                assert said or process.poll() is None
            assert f"Look at {url}/" in said
            yield url
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def ended_with_pictures(url: str) -> str:
    """The sequence of an ended session with screenshots, as soon as there is one."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while time.monotonic() < deadline:
        asked = {"state": "ended", "limit": 50}
        items = httpx.get(f"{url}/v1/sessions", params=asked, timeout=30).json()["items"]
        for each in items:
            if each["screenshots"]["count"]:
                return str(each["sequence"])
        time.sleep(0.1)
    raise AssertionError("no ended session has a screenshot")


def test_it_leads_from_the_demo_to_the_picture_of_a_session(browser: Browser, demo: str) -> None:
    visit = Visit(browser, demo, locale="en-US", scheme="light", width=1280)
    page = visit.go("/")
    expect(page.locator(".card").first).to_be_visible(timeout=WAIT_MS)  # a live push, while it runs
    expect(page.locator(".plot.pushes b")).not_to_have_text("0")
    page.locator(".card .name").first.click()
    expect(page.locator("svg.band rect.bar").first).to_be_visible()
    sequence = ended_with_pictures(demo)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Sessions").click()
    page.get_by_label("State").select_option("ended")
    page.get_by_role("button", name="Show").click()
    page.locator(f"tbody a.num[href*='{sequence}']").first.click()
    picture = page.locator("svg.timeline")
    expect(picture.locator("rect.bar")).to_have_count(1)
    expect(picture.locator("circle.dot").first).to_be_visible()
    expect(picture.locator("[data-image]").first).to_be_visible()
    picture.locator("[data-image]").first.hover()
    expect(page.locator(".preview img")).to_be_visible()
    page.locator("#why-started_at").click()
    expect(page.locator(".why")).to_contain_text("earliest event_time")
    visit.context.close()
    assert visit.faults == []
    assert visit.foreign_hosts == set()  # pictures too come from the server itself
