"""The demo's screenshots: drawn by name, always the same, and nothing but pictures."""

from xml.etree import ElementTree

import pytest

from streamledger.web.pages.drawn import BY_WORD, drawn


@pytest.mark.parametrize("stream", [word for word, _ in BY_WORD] + ["field-unit", "a", "gallery"])
def test_a_stream_has_a_small_picture_of_every_second(stream: str) -> None:
    pictures = [drawn(f"shot-{stream}-{second}.svg") for second in (0, 20, 1_732_700_000)]
    assert pictures[0] == drawn(f"shot-{stream}-0.svg")
    for picture in pictures:
        assert picture is not None
        assert len(picture) < 10_000
        assert ElementTree.fromstring(picture).tag.endswith("svg")


@pytest.mark.parametrize("name", ["page.css", "shot-.svg", "shot-A-1.svg", 'shot-"-1.svg', "shot-a-1.png"])
def test_other_names_are_none(name: str) -> None:
    assert drawn(name) is None
