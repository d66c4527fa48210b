"""Screenshots that are drawn, not taken: what the demo's streams show, from this server itself."""

import math
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final

_NAME: Final = re.compile(r"shot-([a-z0-9-]{1,40})-([0-9]{1,12})\.svg")
WIDTH: Final = 320
HEIGHT: Final = 180


def drawn(name: str) -> bytes | None:
    """The image `shot-STREAM-SECOND.svg`; None for another name. The same name is always the same image."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    seed, second = zlib.crc32(found[1].encode()), int(found[2])
    scene = next((drawing for word, drawing in BY_WORD if word in found[1]), SCENES[seed % len(SCENES)])
    shapes = "".join(scene(seed // 7 % 360, second))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}">{shapes}</svg>'
    ).encode()


def _wave(second: int, period_s: float, phase: float = 0.0) -> float:
    return math.sin(second / period_s * 2 * math.pi + phase)


def _rect(x: float, y: float, width: float, height: float, fill: str, more: str = "") -> str:
    return f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" fill="{fill}" {more}/>'


def _disc(x: float, y: float, radius: float, fill: str) -> str:
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}" fill="{fill}"/>'


def _path(d: str, fill: str, more: str = "") -> str:
    return f'<path d="{d}" fill="{fill}" {more}/>'


def _stage(hue: int, second: int) -> Iterator[str]:
    """Lights over a stage, and heads before it."""
    yield _rect(0, 0, WIDTH, HEIGHT, f"hsl({hue} 45% 9%)")
    for number in range(5):
        x, lean = 32 + number * 64, 70 * _wave(second, 61 + 13 * number, number)
        light = f"hsl({(hue + 40 * number) % 360} 85% 62%)"
        yield _path(f"M{x} 0L{x + lean - 34:.0f} 140H{x + lean + 34:.0f}z", light, 'fill-opacity=".3"')
    yield _rect(0, 126, WIDTH, 20, f"hsl({hue} 30% 20%)")
    yield _disc(160 + 40 * _wave(second, 97), 98, 8, "#f2d3b3")
    yield _rect(150 + 40 * _wave(second, 97), 106, 20, 30, f"hsl({hue} 60% 55%)", 'rx="6"')
    for number in range(12):
        yield _disc(12 + number * 27, 172 - 5 * abs(_wave(second, 23, number * 2.1)), 15, "#06080c")


def _talk(hue: int, second: int) -> Iterator[str]:
    """A slide with a chart, and who speaks."""
    yield _rect(0, 0, WIDTH, HEIGHT, f"hsl({hue} 25% 22%)")
    yield _rect(26, 20, 196, 124, "#fafbfd", 'rx="3"')
    page = second // 120
    yield _rect(40, 32, 60 + page * 37 % 90, 9, f"hsl({hue} 45% 38%)", 'rx="2"')
    for number in range(6):
        height = 12 + (page * 29 + number * 47) % 62
        yield _rect(
            44 + number * 28, 132 - height, 18, height, f"hsl({hue} 55% {42 + number * 5}%)", 'rx="2"'
        )
    x = 268 + 14 * _wave(second, 83)
    yield _disc(x, 82, 15, "#e8c39e")
    yield _path(f"M{x - 30:.0f} 180q4-76 30-76t30 76z", f"hsl({(hue + 180) % 360} 35% 45%)")


def _court(hue: int, second: int) -> Iterator[str]:
    """A pitch from above, two teams and a ball."""
    yield _rect(0, 0, WIDTH, HEIGHT, "hsl(130 38% 34%)")
    for number in range(0, 8, 2):
        yield _rect(number * 40, 0, 40, HEIGHT, "hsl(130 38% 38%)")
    line = 'stroke="#fff" stroke-opacity=".75" stroke-width="2"'
    yield _path(
        "M14 14H306V166H14zM160 14V166M160 60a30 30 0 1 0 .1 0M14 56H54V124H14M306 56H266V124H306",
        "none",
        line,
    )
    for number in range(10):
        team = f"hsl({hue if number % 2 else (hue + 170) % 360} 80% 55%)"
        x = 40 + number * 26 + 22 * _wave(second, 71 + number * 9, number)
        yield _disc(x, 90 + 62 * _wave(second, 113 + number * 17, number * 1.7), 5, team)
    yield _disc(160 + 120 * _wave(second, 47), 90 + 58 * _wave(second, 31, 1), 3, "#fff")


def _harbour(hue: int, second: int) -> Iterator[str]:
    """A ship that passes below a sun."""
    warm = hue % 40
    yield '<defs><linearGradient id="g" x2="0" y2="1">'
    yield f'<stop stop-color="hsl({205 + warm} 55% 46%)"/>'
    yield f'<stop offset="1" stop-color="hsl({24 + warm} 85% 76%)"/>'
    yield "</linearGradient></defs>"
    yield _rect(0, 0, WIDTH, 112, "url(#g)")
    yield _disc(240 - hue % 150, 72 + 10 * _wave(second, 1800), 17, "#ffe9b8")
    yield _path("M0 112V92l40-14 52 18 34-8 60 24z", f"hsl({205 + warm} 24% 34%)")
    yield _rect(0, 110, WIDTH, 70, f"hsl({200 + warm} 48% 34%)")
    for number in range(6):
        x = (number * 61 + second // 2) % 360 - 30
        yield _rect(x, 122 + number * 9, 34, 2, "#fff", 'fill-opacity=".28"')
    x, y = (second // 3 + hue) % 420 - 70, 116 + 2 * _wave(second, 11)
    yield _path(f"M{x:.0f} {y:.0f}h74l-12 18h-48z", "#223")
    yield _rect(x + 22, y - 20, 28, 20, "#f4f6f8")
    yield _rect(x + 44, y - 32, 7, 14, "hsl(8 70% 52%)")


def _chess(hue: int, second: int) -> Iterator[str]:
    """A board, and moves made on it."""
    yield _rect(0, 0, WIDTH, HEIGHT, f"hsl({hue} 18% 18%)")
    for square in range(64):
        x, y = square % 8, square // 8
        shade = f"hsl({hue} 24% {78 if (x + y) % 2 else 40}%)"
        yield _rect(80 + x * 20, 10 + y * 20, 20, 20, shade)
    move = second // 40
    for number in range(14):
        place = (number * 37 + (move + number) // 14 * 23) % 64
        piece = "#fff" if number % 2 else "#14161a"
        yield _disc(90 + place % 8 * 20, 20 + place // 8 * 20, 6 if number % 3 else 8, piece)
    yield _rect(254, 40, 50, 20, "#0b0d10", 'rx="3"')
    yield _rect(258, 47, 42 - second % 40, 6, "hsl(150 60% 50%)")


def _studio(hue: int, second: int) -> Iterator[str]:
    """A desk, who sits behind it, and a line that runs below."""
    yield _rect(0, 0, WIDTH, HEIGHT, f"hsl({hue} 48% 24%)")
    for number in range(4):
        yield _rect(
            16 + number * 76, 18, 62, 66, f"hsl({(hue + number * 12) % 360} 52% {36 + number * 4}%)", 'rx="3"'
        )
    x = 160 + 5 * _wave(second, 37)
    yield _path(f"M{x - 40:.0f} 140q4-52 40-52t40 52z", "#1d2733")
    yield _disc(x, 72 + _wave(second, 9), 19, "#e3b98f")
    yield _path(f"M{x - 20:.0f} 70q2-24 20-24t20 24q-10-10-20-10t-20 10z", "#3a2a20")
    yield _path("M30 128H290L272 160H48z", f"hsl({hue} 22% 82%)")
    yield _rect(0, 158, WIDTH, 22, "#10151c")
    for number in range(5):
        yield _rect((number * 90 - second % 90) % 450 - 80, 166, 60, 6, f"hsl({hue} 60% 68%)", 'rx="3"')


Scene = Callable[[int, int], Iterator[str]]
SCENES: Final[tuple[Scene, ...]] = (_stage, _talk, _court, _harbour, _chess, _studio)
BY_WORD: Final[tuple[tuple[str, Scene], ...]] = (
    ("chess", _chess),
    ("court", _court),
    ("cam", _harbour),
    ("rooftop", _harbour),
    ("studio", _studio),
    ("news", _studio),
    ("show", _studio),
    ("keynote", _talk),
    ("stage", _stage),
    ("concert", _stage),
)
