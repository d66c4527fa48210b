"""Verify the read model: its rows against the digest it keeps, and against what history gives."""

from collections.abc import Callable

import msgspec

from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.rebuild.building import Standing
from streamledger.readmodel.rebuild.record import Progress
from streamledger.readmodel.recount import RECOUNTS, kept_and_counted


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one projection."""

    projection: str
    position: int
    """At which history was held against the rows."""
    kept_digest: str
    row_digest: str | None
    """Of the rows as they stand; None when they cannot be counted for this projection."""
    history_digest: str
    """Of the rows that a rebuild gives."""
    sound: bool
    detail: str


def verify_projections(
    database: Database,
    order: Order,
    *,
    clock_us: Callable[[], int],
    on_progress: Callable[[Progress], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> list[Verified]:
    """Each projection's digests three ways: kept, of the rows, and from history. Changes nothing.

    Raises as `rebuild` does.
    """
    counted = {}
    with connect(database, application_name="streamledger verify") as connection:
        for each in order.projections:
            if each.name in RECOUNTS:
                counted[each.name] = kept_and_counted(connection, each.name)
    made = rebuild(
        database,
        msgspec.structs.replace(order, purpose="verify"),
        clock_us=clock_us,
        on_progress=on_progress,
        is_cancelled=is_cancelled,
    )
    versions = {each.name: each.version for each in order.projections}
    return [_verdict(standing, versions, counted) for standing in made.standings]


def _verdict(standing: Standing, versions: dict[str, int], counted: dict[str, tuple[int, int]]) -> Verified:
    version = versions[standing.projection]
    kept, rows = counted.get(standing.projection, (0, 0))
    detail = "rows, kept digest and history agree"
    sound = standing.equal is True and kept == rows
    if standing.live_version != version:
        sound = False
        detail = (
            f"the rows were made by version {standing.live_version} of the rules, this is {version}: rebuild"
        )
    elif kept != rows:
        detail = "the rows were changed by something other than the projection"
    elif standing.equal is None:
        detail = f"the live rows are at position {standing.live_position}: start serve, then verify again"
    elif not standing.equal:
        detail = "the rows are not those that history gives: rebuild"
    return Verified(
        projection=standing.projection,
        position=standing.rebuilt_position,
        kept_digest=standing.live_digest,
        row_digest=_of_now(standing.live_digest, kept, rows) if standing.projection in counted else None,
        history_digest=standing.rebuilt_digest,
        sound=sound,
        detail=detail,
    )


def _of_now(live_digest: str, kept: int, rows: int) -> str:
    """The rows' digest at the position of the comparison: what the runner added since, it added to both."""
    return str((int(live_digest) + rows - kept) % 2**64)
