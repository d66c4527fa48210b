"""Two JSON values side by side: where they differ, by path, lists aligned by what names their entries."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NAMES = ("position", "sequence", "field", "code", "id", "started_at", "at", "day", "type")
"""Fields that name the entries of a list: the first one by which all of them can be told apart."""


LISTED_MAX = 20
"""Lists of plain values that are longer together are compared entry by entry, shorter ones as a whole."""


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


@dataclass(frozen=True)
class Difference:
    """One place where two values differ."""

    path: str
    """Without the names of entries: `[].attribution.confidence`."""
    place: str
    """With them: `[position=7].attribution.confidence`."""
    old: Any
    new: Any


def differences(old: Any, new: Any, path: str = "", place: str = "") -> Iterator[Difference]:
    """Every place where two JSON values differ; what is on one side alone is ABSENT on the other."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            at = f".{name}" if path else name
            yield from differences(old.get(name, ABSENT), new.get(name, ABSENT), path + at, place + at)
    elif isinstance(old, list) and isinstance(new, list) and _are_objects(old + new):
        yield from _of_lists(old, new, path, place)
    elif isinstance(old, list) and isinstance(new, list) and len(old) + len(new) > LISTED_MAX:
        yield from _of_long_lists(old, new, path, place)
    elif type(old) is not type(new) or old != new:
        yield Difference(path, place, old, new)


def _are_objects(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _of_lists(old: list[Any], new: list[Any], path: str, place: str) -> Iterator[Difference]:
    for name in NAMES:
        before, after = _named(old, name), _named(new, name)
        if before is not None and after is not None:
            break
    else:
        name = ""
        before, after = dict(enumerate(old)), dict(enumerate(new))
    for key in [*before, *(key for key in after if key not in before)]:
        at = f"[{name}={key}]" if name else f"[{key}]"
        yield from differences(before.get(key, ABSENT), after.get(key, ABSENT), path + "[]", place + at)
    if before.keys() == after.keys() and [*before] != [*after]:
        yield Difference(path + "[] order", place + "[] order", [*before], [*after])


def _of_long_lists(old: list[Any], new: list[Any], path: str, place: str) -> Iterator[Difference]:
    before, after = Counter(map(repr, old)), Counter(map(repr, new))
    for entry in old:
        if before[repr(entry)] > after[repr(entry)]:
            yield Difference(path + "[]", f"{place}[{entry}]", entry, ABSENT)
    for entry in new:
        if after[repr(entry)] > before[repr(entry)]:
            yield Difference(path + "[]", f"{place}[{entry}]", ABSENT, entry)
    if before == after and old != new:
        yield Difference(path + "[] order", place + "[] order", old, new)


def _named(entries: list[Any], name: str) -> dict[Any, Any] | None:
    """The entries by what names them; None when that does not tell them apart."""
    found = {}
    for entry in entries:
        key = entry.get(name, entry.get("delivery", {}).get(name) if name == "position" else None)
        if key is None or isinstance(key, dict | list) or key in found:
            return None
        found[key] = entry
    return found
