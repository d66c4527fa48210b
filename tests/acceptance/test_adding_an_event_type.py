"""docs/adding-an-event-type.md followed to the letter: the type is read, stored, projected and shown."""

import json
import re
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.serving import Service, data_directory, serving
from tests.deliveries import push_started

HOUSE: Final = Path(__file__).parents[2]
PAGE: Final = HOUSE / "docs" / "adding-an-event-type.md"
FILES_MAX: Final = 5

_HUNK: Final = re.compile(r"^```diff (?P<path>\S+)\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)


def follow(page: str, tree: Path) -> set[str]:
    """Makes the page's changes in a tree; each must fit in one place alone. The files that were changed."""
    changed = set()
    for hunk in _HUNK.finditer(page):
        lines = hunk["lines"].splitlines()
        before = "\n".join(line[1:] for line in lines if line[0] in " -") + "\n"
        after = "\n".join(line[1:] for line in lines if line[0] in " +") + "\n"
        path = tree / hunk["path"]
        text = path.read_text()
        assert text.count(before) == 1, f"{hunk['path']}: found {text.count(before)} times: {before}"
        path.write_text(text.replace(before, after))
        changed.add(hunk["path"])
    return changed


def followed(service: Service, kind: str) -> Any:
    """The first event of a kind in the feed."""
    with closing(service.connect()) as connection:
        connection.request("GET", f"/v1/events/live?after=0&kind={kind}")
        feed = connection.getresponse()
        lines = (feed.readline() for _ in range(20))
        return json.loads(next(line for line in lines if line.startswith(b"data: ")).removeprefix(b"data: "))


def test_an_event_type_is_added_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(HOUSE / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    changed = follow(PAGE.read_text(), tmp_path)
    assert 0 < len(changed) <= FILES_MAX
    # For the process that is started: `serving` hands the path on.
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    now_s = int(time.time())
    audit = {
        "event_type": 317,
        "streamId": "room",
        "screenshotTime": now_s - 30,
        "score": "97",
        "label": "Porn<1>",
        "suggestion": "Block",
        "img": "http://pictures.example.com/a.jpg",
    }
    with data_directory(made=True) as data_dir, serving(data_dir) as service:
        assert service.deliver(push_started("room", "42", now_s - 60)).status == 200
        assert service.deliver(audit).status == 200
        timeline = service.read("/v1/sessions/42/timeline")["items"]
        assert [entry["kind"] for entry in timeline] == ["push_started", "image_audit"]
        assert timeline[1]["detail"] == {
            "suggestion": "Block",
            "label": "Porn<1>",
            "score": 97,
            "image_url": "http://pictures.example.com/a.jpg",
        }
        assert timeline[1]["attribution"]["confidence"] == "certain"
        events = service.read("/v1/events")["items"]
        assert [event["name"] for event in events] == ["push-started.v1", "image-audited.v1"]
        assert followed(service, "image_audit")["position"] == events[1]["position"]
        page = service.get("/sessions/42").body.decode()
        assert "Image audit" in page
        assert "Porn&lt;1&gt;" in page
