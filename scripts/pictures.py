"""Makes the README's pictures from a scene of their own: `python -m scripts.pictures` writes docs/pictures/."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from playwright.sync_api import Route, sync_playwright

from scripts.scene import Scene, scene_of
from streamledger import bootstrap
from streamledger.ledger.appender import Appender
from streamledger.operations.receive import Receiver, Trust
from streamledger.postgres.connection import Database
from streamledger.settings import Settings
from tests.acceptance.page.server import serving

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1280, "height": 800}


async def receive(settings: Settings, database: Database, scene: Scene) -> None:
    """Put a scene into the ledger as if each delivery had been received at its time."""
    now_s = 0
    appender = Appender(
        lambda: bootstrap.connect_writer(database), database.schema, bootstrap.appender_limits(settings)
    )
    receiver = Receiver(appender, Trust(keys=(), grace_s=0, ahead_s_max=900), lambda: now_s * 1_000_000)
    for now_s, body in scene.deliveries:  # noqa: B007  # the receiver's clock reads it
        await receiver.receive(msgspec.json.encode(body), "198.51.100.7", path_token_matched=False)
    await appender.close()


def image(url: str) -> str:
    """A picture in place of a screenshot that does not exist: two colours that follow from its address."""
    hue = int(hashlib.sha256(url.encode()).hexdigest()[:6], 16) % 360
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180">'
        f'<rect width="320" height="180" fill="hsl({hue} 28% 42%)"/>'
        f'<path d="M0 120L{90 + hue % 140} 60L320 140V180H0z" fill="hsl({hue + 40} 32% 30%)"/>'
        f'<circle cx="{230 - hue % 160}" cy="52" r="22" fill="hsl({hue} 40% 70%)"/></svg>'
    )


@contextmanager
def a_scene() -> Iterator[tuple[str, Scene]]:
    """A server that shows a scene: its address, and the scene."""
    scene = scene_of(int(time.time()))
    with tempfile.TemporaryDirectory(prefix="streamledger-") as directory:
        settings = Settings(data_dir=Path(directory))
        with bootstrap.open_store(settings, serving=True) as database:
            asyncio.run(receive(settings, database, scene))
            with serving(database, settings, caught_up=True) as address:
                yield address, scene


def main() -> None:
    """Write both pictures."""
    PICTURES.mkdir(exist_ok=True)
    with a_scene() as (address, scene), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def answer(route: Route) -> None:
            if route.request.url.startswith(address):
                route.continue_()
            else:
                route.fulfill(content_type="image/svg+xml", body=image(route.request.url))

        for name, path, scheme in (
            ("live", "/", "light"),
            ("session", f"/sessions/{scene.sequence}", "dark"),
        ):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme, locale="en-US")  # type: ignore[arg-type]  # its literals are not public
            page.route("**/*", answer)
            page.goto(address + path)
            page.locator(".feed[data-state=open]").wait_for()
            page.screenshot(path=PICTURES / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
