"""A page says what is not as it should be."""

import time
from collections.abc import Callable

from playwright.sync_api import expect

from streamledger.postgres.connection import Database, connect
from tests.acceptance.page.browsing import Visit

Visiting = Callable[..., Visit]


def test_a_page_says_what_is_not_as_it_should_be(database: Database, visiting: Visiting) -> None:
    with connect(database, application_name="test") as connection:
        connection.execute(
            "INSERT INTO parked (projection, position, error, version, tries, parked_at_us)"
            " VALUES ('sessions', 1, 'x', 1, 1, 1)"
        )
    page = visiting().go("/streams")
    deadline = time.monotonic() + 60  # the next look is two seconds away, where there is a processor for it
    while not page.locator(".trouble").count() and time.monotonic() < deadline:
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator(".trouble")).to_contain_text("Events are parked")
    expect(visiting(locale="zh-CN").go("/streams").locator(".trouble")).to_contain_text("有事件暂时无法处理")
