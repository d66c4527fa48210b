"""What two bodies of one notification say differently: top-level fields, t and sign apart."""

import re
from typing import Any, Final

from streamledger.domain.delivery_answers import FieldDifference
from streamledger.tencent.content import meaning_of
from streamledger.tencent.redaction import redact
from streamledger.tencent.tolerant import parse_object

NAME_CHARACTERS_MAX: Final = 80
"""Names are the sender's: a longer one is cut."""
UNCOMPARED: Final = frozenset({"t", "sign"})

_UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""A name is the sender's choice: PostgreSQL takes no NUL, and a terminal must not be told what to do."""


def differing_fields(first: bytes, this: bytes) -> list[str]:
    """Sorted names of the top-level fields that differ, as they can be shown. Raises MalformedBody."""
    names = _differing(parse_object(first)[0], parse_object(this)[0])
    return sorted({_shown(name) for name in names})


def differences(first: bytes, this: bytes) -> list[FieldDifference]:
    """The same with both values, and with t and sign where they differ. Raises MalformedBody."""
    before, after = parse_object(first)[0], parse_object(this)[0]
    names = _differing(before, after) | {name for name in UNCOMPARED if before.get(name) != after.get(name)}
    return [
        FieldDifference(field=_shown(name), first=_value(before, name), this=_value(after, name))
        for name in sorted(names)
    ]


def _shown(name: str) -> str:
    return _UNSHOWABLE.sub("\ufffd", str(redact(name))[:NAME_CHARACTERS_MAX])


def _value(body: dict[str, Any], name: str) -> Any:
    return next(iter(redact({name: body.get(name)}).values()))


def _differing(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    before, after = meaning_of(before), meaning_of(after)
    # The type too: 1, 1.0 and true are equal in Python and different as sent.
    absent = object()
    pairs = {
        name: (before.get(name, absent), after.get(name, absent))
        for name in (before.keys() | after.keys()) - UNCOMPARED
    }
    return {name for name, (one, other) in pairs.items() if one != other or type(one) is not type(other)}
