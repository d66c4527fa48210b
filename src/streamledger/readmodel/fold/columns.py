"""Select lists of the read model's tables, and rows from what they select."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamledger.domain.forensics import Twin
from streamledger.domain.schedule_fit import Try
from streamledger.domain.session import SessionState
from streamledger.readmodel.fold.rows import (
    NotificationRow,
    RepeatRow,
    SessionRow,
    StreamRow,
    TableRow,
    TimelineRow,
)

_TYPES: Final[dict[str, type[TableRow]]] = {
    "sessions": SessionRow,
    "timeline": TimelineRow,
    "streams": StreamRow,
    "repeats": RepeatRow,
    "notifications": NotificationRow,
}
NARROW: Final = tuple(name for name in SessionRow.__struct_fields__ if name != "fold")
"""The columns of `sessions`: all but the fold, which has a table of its own."""

_FOLD: Final = (
    "(SELECT f.fold FROM session_folds{suffix} AS f"
    " WHERE f.stream_id = {alias}.stream_id AND f.sequence = {alias}.sequence)"
)

_decode_fold = msgspec.json.Decoder(SessionState).decode
_decode_twins = msgspec.json.Decoder(tuple[Twin, ...]).decode
_decode_try = msgspec.json.Decoder(Try).decode
_decode_pairs = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode
_decode_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_numbers = msgspec.json.Decoder(tuple[int, ...]).decode


def columns_of(table: str, alias: str = "", *, suffix: str = "") -> str:
    """The select list of a table, in the order of its struct; of a session with its fold."""
    prefix = f"{alias}." if alias else ""
    if table == "sessions":
        fold = _FOLD.format(suffix=suffix, alias=alias or f"sessions{suffix}")
        return ", ".join([*(prefix + name for name in NARROW), fold])
    return ", ".join(prefix + name for name in _TYPES[table].__struct_fields__)


def narrow_columns(alias: str) -> str:
    """The select list of `sessions` without the folds."""
    return ", ".join(f"{alias}.{name}" for name in NARROW)


def session_row(values: Sequence[Any]) -> SessionRow:
    """A row as selected by `columns_of("sessions")`."""
    *narrow, state = values
    row = narrow_row(narrow)
    row.fold = fold_of(state)
    return row


def fold_of(text: str) -> SessionState:
    """A session's fold from the column that holds it."""
    return _decode_fold(text)


def narrow_row(values: Sequence[Any]) -> SessionRow:
    """A row as selected by `narrow_columns`."""
    return SessionRow(**dict(zip(NARROW, values, strict=True)))


def timeline_row(values: Sequence[Any]) -> TimelineRow:
    """A row as selected by `columns_of("timeline")`."""
    given = dict(zip(TimelineRow.__struct_fields__, values, strict=True))
    if given["rivals"] is not None:
        given["rivals"] = _decode_pairs(given["rivals"])
    if given["alternatives"] is not None:
        given["alternatives"] = _decode_texts(given["alternatives"])
    if given["copies"] is not None:
        given["copies"] = _decode_numbers(given["copies"])
    return TimelineRow(**given)


def stream_row(values: Sequence[Any]) -> StreamRow:
    """A row as selected by `columns_of("streams")`."""
    return StreamRow(**dict(zip(StreamRow.__struct_fields__, values, strict=True)))


def repeat_row(values: Sequence[Any]) -> RepeatRow:
    """A row as selected by `columns_of("repeats")`."""
    return RepeatRow(**dict(zip(RepeatRow.__struct_fields__, values, strict=True)))


def notification_row(values: Sequence[Any]) -> NotificationRow:
    """A row as selected by `columns_of("notifications")`."""
    given = dict(zip(NotificationRow.__struct_fields__, values, strict=True))
    if given["other_contents"] is not None:
        given["other_contents"] = _decode_pairs(given["other_contents"])
    if given["twins"] is not None:
        given["twins"] = _decode_twins(given["twins"])
    if given["before"] is not None:
        given["before"] = _decode_try(given["before"])
    return NotificationRow(**given)
