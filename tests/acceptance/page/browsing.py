"""A browser for the tests of the pages: it records what a page must not do, and plays foreign hosts."""

from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Route

CHROMIUM = Path("/usr/bin/chromium")
PIXEL = bytes.fromhex("4749463839610100010080000090b0d00000002c00000000010001000002024401003b")


class Visit:
    """One visitor's browser window, and everything that went wrong in it."""

    def __init__(
        self, browser: Browser, address: str, *, locale: str, scheme: str, width: int, zone: str = "UTC"
    ) -> None:
        self.address = address
        self.faults: list[str] = []
        self.foreign_hosts: set[str] = set()
        self.bytes_received = 0
        self.context: BrowserContext = browser.new_context(
            locale=locale,
            color_scheme=scheme,  # type: ignore[arg-type]  # its literals are not public
            viewport={"width": width, "height": 800},
            base_url=address,
            timezone_id=zone,
        )
        self.context.route("**/*", self._answer)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"page error: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(f"console {kind}: {text}")

    def _answer(self, route: Route) -> None:
        host = urlsplit(route.request.url).netloc
        if route.request.url.startswith(self.address):
            route.continue_()
            return
        self.foreign_hosts.add(host)
        route.fulfill(content_type="image/gif", body=PIXEL)

    def go(self, path: str) -> Page:
        """Open a page and wait until it follows the changes."""
        self.page.goto(path)
        self.page.locator(".feed[data-state=open]").wait_for()
        return self.page
