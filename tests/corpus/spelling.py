"""How an object becomes the bytes of a delivery: usual, spelled otherwise, or in need of mending."""

import json
from random import Random
from typing import Any

from tests.corpus.bodies import Body

NUMBERS = (
    "event_type",
    "event_time",
    "create_time",
    "data_time",
    "start_time",
    "end_time",
    "duration",
    "file_size",
    "errcode",
    "width",
    "height",
    "t",
)
TEXTS = ("push_duration", "sequence", "task_id")


def usual(body: Body) -> bytes:
    """Compact JSON, the usual way."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def spaced(body: Body) -> bytes:
    """As the older samples: a line a field."""
    return json.dumps(body, ensure_ascii=False, indent="\t").encode()


def turned(body: Body, random: Random) -> bytes:
    """Its fields in another order, everything beyond ASCII escaped."""
    fields = list(body.items())
    random.shuffle(fields)
    return json.dumps(dict(fields)).encode()


def retyped(body: Body, random: Random) -> Body:
    """The same meaning in other types: numbers as text, text as numbers, absent as null or empty."""
    found: Body = dict(body)
    for name in NUMBERS:
        if isinstance(found.get(name), int) and random.random() < 0.5:
            number = found[name]
            forms: list[Any] = [str(number), f" {number} ", str(number)]
            if name not in ("event_type", "t"):
                forms += [float(number)]
            found[name] = random.choice(forms)
    for name in TEXTS:
        text = found.get(name)
        if isinstance(text, str) and text.isdigit() and len(text) < 16 and random.random() < 0.5:
            found[name] = int(text)
    for name in ("app", "stream_param", "node", "task_id", "errmsg"):
        if name not in body and random.random() < 0.5:
            found[name] = random.choice([None, "", " "])
    return found


MENDED = (
    "bom",
    "invalid_utf8",
    "gbk",
    "lone_surrogate",
    "comma",
    "comment",
    "wide space",
    "number_out_of_range",
    "long",
    "everything",
)
"""Ways in which a body can be wrong and still be read by the tolerant reader (or just is very long)."""


def mended(body: Body, way: str) -> bytes:
    """A body that is wrong in one way."""
    sent = usual(body)
    inside = sent[1:-1]
    match way:
        case "bom":
            return b"\xef\xbb\xbf" + sent
        case "invalid_utf8":
            return b'{"operator":"\xff\xfe",' + inside + b"}"
        case "gbk":
            return b'{"title":"' + "直播间一号".encode("gbk") + b'",' + inside + b"}"
        case "lone_surrogate":
            return b'{"title":"\\ud83d one half",' + inside + b"}"
        case "comma":
            return b"{" + inside + b",}"
        case "comment":
            return b"{" + inside + " // 文件路径名\n}".encode()
        case "wide space":
            return "{\u3000".encode() + inside + "\u3000}".encode()
        case "number_out_of_range":
            return b'{"bits":1e999,' + inside + b"}"
        case "long":
            return b'{"extra":"' + b"abcdefgh" * 2600 + b'",' + inside + b"}"
        case _:
            return b'\xef\xbb\xbf{"title":"\xff\\udc00",' + inside + b",}"
