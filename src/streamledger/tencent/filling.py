"""The tolerant way into a struct: each declared field is read leniently from an object as it was sent."""

from collections.abc import Mapping
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from streamledger.tencent.fields import Reading, name, stream_id, text


class InsteadOf:
    """Marks a field that is only looked at where another one, declared before it, was not found.

    That one may itself stand in for a third: the first that is there ends the row.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def fill(
    struct: type, sent: Mapping[str, Any], sent_as: Mapping[str, str] = {}
) -> tuple[dict[str, Any], set[str]]:
    """The declared fields as they can be read, and the names of those that cannot.

    A field may be sent under another name.
    """
    found: dict[str, Any] = {}
    unreadable = set()
    settled = set()
    for field, reading, other in declared(struct):
        if other in settled:
            settled.add(field)
            continue
        value = sent.get(name_sent := sent_as.get(field, field))
        if value is None:
            continue
        found[field], is_readable = reading(value)
        if found[field] is not None:
            settled.add(field)
        if not is_readable:
            unreadable.add(name_sent)
    return found, unreadable


@cache
def declared(struct: type) -> tuple[tuple[str, Reading, str | None], ...]:
    """Of each field that is read leniently: its name, how, and instead of which other."""
    fields = []
    for field, hint in get_type_hints(struct, include_extras=True).items():
        marks = _marks(hint)
        readings = [mark for mark in marks if callable(mark)]
        others = [mark.name for mark in marks if isinstance(mark, InsteadOf)]
        if readings:
            fields.append((field, readings[0], others[0] if others else None))
    return tuple(fields)


@cache
def readings_of(struct: type) -> dict[str, Reading]:
    """How each field that is read leniently is read."""
    return {field: reading for field, reading, _ in declared(struct)}


_TEXTS: Final = (text, name, stream_id)


@cache
def texts_of(struct: type) -> Any:
    """Gives the values of all fields that hold text."""
    return attrgetter(*(field for field, reading, _ in declared(struct) if reading in _TEXTS))


def _marks(hint: Any) -> list[Any]:
    # Of Annotated[X, mark] and of each side of X | Y.
    inner = get_args(hint)
    if get_origin(hint) is Annotated:
        return [*_marks(inner[0]), *inner[1:]]
    return [mark for side in inner for mark in _marks(side)]
