"""The rows of the deliveries projection, and loading them in one generation of its tables."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

import msgspec
import psycopg

from streamledger.domain.forensics import Evidence, Known
from streamledger.readmodel.row_tables import RowTables, key_columns
from streamledger.readmodel.rows import DIGEST_MODULUS, TableRow, copy_line, digest_of

NotificationKey = tuple[str, str, str]
"""(stream_id, kind, key), the stream "" when the notification names none"""
DayKey = tuple[int, str]
"""(days since 1970, class)"""

MS_A_DAY: Final = 86_400_000
RECOUNT_PAGE_ROWS: Final = 5000


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of `deliveries`: written once, never changed."""

    TABLE: ClassVar[str] = "deliveries"

    position: int
    first_position: int
    stream_id: str
    sequence: str
    event_type: int
    received_ms: int
    judged_as: str
    try_number: int | None
    source_ip: str
    callback_key: str
    signed_early: bool
    evidence: str
    """Evidence as JSON."""
    identity: str
    """Of the notification, see first_delivery.identity_of: 32 hexadecimal digits."""


class NotificationRow(Known, frozen=True, kw_only=True):
    """A row of `notifications`: what is known of one that was delivered more than once."""

    TABLE: ClassVar[str] = "notifications"

    stream_id: str
    kind: str
    key: str


class DayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `delivery_days`."""

    TABLE: ClassVar[str] = "delivery_days"

    day: int
    judged_as: str
    deliveries: int


TYPES: Final[dict[str, type[TableRow]]] = {
    "deliveries": DeliveryRow,
    "notifications": NotificationRow,
    "delivery_days": DayRow,
}
KEYS: Final = {
    "deliveries": ("position",),
    "notifications": ("stream_id", "kind", "key"),
    "delivery_days": ("day", "judged_as"),
}
JSON_COLUMNS: Final = frozenset({"other_contents"})

IDENTITY_SQL: Final = (
    r"encode(substr(sha256(convert_to({row}.stream_id, 'UTF8') || '\x00'::bytea"
    r" || convert_to({row}.kind, 'UTF8') || '\x00'::bytea || convert_to({row}.key, 'UTF8')), 1, 16), 'hex')"
    "::uuid"
)
"""The identity of the notification that a row names, as first_delivery.identity_of gives it."""


_decode_evidence = msgspec.json.Decoder(Evidence).decode
_decode_contents = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode


class Change(msgspec.Struct, frozen=True):
    """What becomes of one row: inserted (no before), or updated."""

    before: TableRow | None
    after: TableRow


def columns_of(table: str, alias: str) -> str:
    """The select list of a table, jsonb as text, in the order of its struct."""
    return ", ".join(
        f"{alias}.{name}::text" if name in JSON_COLUMNS else f"{alias}.{name}"
        for name in TYPES[table].__struct_fields__
    )


def delivery_row(values: Sequence[Any]) -> DeliveryRow:
    """A row as selected by `columns_of("deliveries")`."""
    given = dict(zip(DeliveryRow.__struct_fields__, values, strict=True))
    return DeliveryRow(**{**given, "identity": given["identity"].hex})


def evidence_of(row: DeliveryRow) -> Evidence:
    """Why a delivery is classed as it is."""
    return _decode_evidence(row.evidence)


def notification_row(values: Sequence[Any]) -> NotificationRow:
    """A row as selected by `columns_of("notifications")`."""
    given = dict(zip(NotificationRow.__struct_fields__, values, strict=True))
    contents = given["other_contents"]
    if contents is not None:
        given["other_contents"] = _decode_contents(contents)
    return NotificationRow(**given)


def day_row(values: Sequence[Any]) -> DayRow:
    """A row as selected by `columns_of("delivery_days")`."""
    return DayRow(**dict(zip(DayRow.__struct_fields__, values, strict=True)))


def recount_deliveries(connection: psycopg.Connection[Any]) -> int:
    """The digest of the projection's live rows, computed anew from them; within a transaction."""
    digest = 0
    readers: dict[str, Callable[[Sequence[Any]], TableRow]] = {
        "deliveries": delivery_row,
        "notifications": notification_row,
        "delivery_days": day_row,
    }
    for table, row_of in readers.items():
        with connection.cursor(name=f"recount_{table}", binary=True) as cursor:
            cursor.itersize = RECOUNT_PAGE_ROWS
            cursor.execute(f"SELECT {columns_of(table, 'r')} FROM {table} AS r")  # noqa: S608  # constant names
            for values in cursor:
                digest += digest_of(table, copy_line(row_of(values)))
    return digest % DIGEST_MODULUS


class DeliveryTables(RowTables):
    """The three tables of the deliveries projection in one generation."""

    types = TYPES
    keys = KEYS
    json_columns = JSON_COLUMNS

    def first_positions(self, identities: Iterable[bytes]) -> dict[bytes, int]:
        """Where these notifications were delivered first, of those that were."""
        found = self._select(
            f"SELECT identity, position FROM {self.name('deliveries')}"  # noqa: S608  # constant names
            " WHERE position = first_position AND identity = ANY(%t::uuid[])",
            ([identity.hex() for identity in identities],),
        )
        return {identity.bytes: position for identity, position in found}

    def notifications(self, keys: Iterable[NotificationKey]) -> dict[NotificationKey, NotificationRow]:
        """What is known of these notifications, of those that were delivered more than once."""
        found = self._select(
            f"SELECT {columns_of('notifications', 'n')}"  # noqa: S608  # constant names
            f" FROM unnest(%t::text[], %t::text[], %t::text[]) AS named(stream_id, kind, key)"
            f" JOIN {self.name('notifications')} AS n USING (stream_id, kind, key)",
            tuple(key_columns(keys, 3)),
        )
        rows = map(notification_row, found)
        return {(row.stream_id, row.kind, row.key): row for row in rows}

    def days(self, days: Iterable[int]) -> dict[DayKey, DayRow]:
        """The counts of these days."""
        found = self._select(
            f"SELECT day, judged_as, deliveries FROM {self.name('delivery_days')}"  # noqa: S608  # constant names
            " WHERE day = ANY(%t::int8[])",
            (sorted(set(days)),),
        )
        return {(row.day, row.judged_as): row for row in map(day_row, found)}
