"""Makes the README's pictures, of the demo: `python -m scripts.pictures` writes docs/pictures/."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1280, "height": 800}
SEEN = "[...document.images].every(e => e.complete || !e.offsetParent || e.getBoundingClientRect().y > innerHeight)"
"""That every image on the first screen is there."""
STREAM = "rooftop"
"""Of the demo's streams the one whose session has errors beside its screenshots."""


@contextmanager
def demo() -> Iterator[str]:
    """The address of a demo whose past is shown."""
    with tempfile.TemporaryDirectory(prefix="streamledger-") as directory:
        process = subprocess.Popen(  # noqa: S603  # our own command
            [sys.executable, "-m", "streamledger.cli", "demo", "--port", "0", "--data-dir", directory],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            lines = iter(process.stdout or ())
            address = str(json.loads(next(lines))["url"])
            next(line for line in lines if "Ctrl-C stops" in line)
            head = httpx.get(f"{address}/v1/projections").json()["items"][0]["head"]
            httpx.get(f"{address}/v1/sessions", params={"min_position": head}, timeout=30)
            yield address
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def main() -> None:
    """Write the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        sessions = httpx.get(f"{address}/v1/sessions", params={"stream_id": STREAM}).json()["items"]
        for name, path, scheme in (
            ("live", "/", "light"),
            ("session", f"/sessions/{sessions[0]['sequence']}", "dark"),
        ):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme, locale="en-US")  # type: ignore[arg-type]  # its literals are not public
            page.goto(address + path)
            page.locator(".feed[data-state=open]").wait_for()
            page.wait_for_function(SEEN)
            page.screenshot(path=PICTURES / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
