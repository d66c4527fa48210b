"""The heartbeat of a ledger: a commit of any node, and the times without one (ADR 0022)."""

from typing import Any, Final

import msgspec
import psycopg

ABSENT_S: Final = 30
"""Without a heartbeat for longer, nobody was there."""
REMEMBERED_S: Final = 3600
"""A try comes no later than that after the signing that it may still prove."""

_BEAT_SQL: Final = (
    "INSERT INTO heartbeat (at_us) VALUES (%s)"
    " ON CONFLICT (sole) DO UPDATE SET at_us = greatest(heartbeat.at_us, excluded.at_us)"
)


class Absence(msgspec.Struct, frozen=True):
    """A time in which nothing could be received, in microseconds since 1970 UTC."""

    began_at_us: int
    ended_at_us: int


def beat(connection: psycopg.Connection[Any], now_us: int) -> list[Absence]:
    """Be there now; returns the absences of the last hour, one that ends with this beat among them.

    Before the first beat of a ledger there was nobody to be absent.
    """
    with connection.transaction():
        last = connection.execute("SELECT at_us FROM heartbeat FOR UPDATE").fetchone()
        if last is not None and now_us - last[0] > ABSENT_S * 1_000_000:
            connection.execute(
                "INSERT INTO absences (began_at_us, ended_at_us) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (last[0], now_us),
            )
        connection.execute(_BEAT_SQL, (now_us,))
        rows = connection.execute(
            "SELECT began_at_us, ended_at_us FROM absences WHERE ended_at_us > %s ORDER BY began_at_us",
            (now_us - REMEMBERED_S * 1_000_000,),
        ).fetchall()
    return [Absence(*row) for row in rows]
