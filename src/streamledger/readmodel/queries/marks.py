"""What is known of deliveries only beside all others: that a captured pair came with them."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from streamledger.readmodel.fold.judging import with_mark
from streamledger.readmodel.fold.rows import RepeatRow
from streamledger.readmodel.queries.fetching import fetch


async def marked(connection: AsyncConnection, rows: Sequence[RepeatRow]) -> list[RepeatRow]:
    """The rows, with the mark of a captured pair on what came with one."""
    found = await fetch(
        connection,
        "SELECT position FROM delivery_marks WHERE position = ANY(%(positions)s::int8[])",
        {"positions": [row.position for row in rows]},
    )
    theirs = {position for (position,) in found}
    return [with_mark(row, "pair_elsewhere") if row.position in theirs else row for row in rows]
