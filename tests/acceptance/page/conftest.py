"""A browser, a server and a visitor for the tests of the pages."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from streamledger.postgres.connection import Database
from tests.acceptance.page.browsing import CHROMIUM, Visit
from tests.acceptance.page.server import serving

Visiting = Callable[..., Visit]

expect.set_options(timeout=20_000)  # not how quick a page is: how long a busy machine may take


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, headless. Not for the session: while it is driven an event loop runs in this
    thread, and tests that come later could not run one of their own."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def address(database: Database) -> Iterator[str]:
    """A server on a database of this test's own."""
    with serving(database) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    """For deliveries."""
    with httpx.Client(base_url=address, timeout=30) as opened:
        yield opened


@pytest.fixture
def visiting(browser: Browser, address: str) -> Iterator[Visiting]:
    """Opens visits. After the test none may have met a fault, or asked another host but the screenshots'."""
    visits: list[Visit] = []

    def visit(locale: str = "en-US", scheme: str = "light", width: int = 1280, zone: str = "UTC") -> Visit:
        visits.append(Visit(browser, address, locale=locale, scheme=scheme, width=width, zone=zone))
        return visits[-1]

    yield visit
    for each in visits:
        each.context.close()
    assert [fault for each in visits for fault in each.faults] == []
    assert {host for each in visits for host in each.foreign_hosts} <= {"screenshots.example.com"}
