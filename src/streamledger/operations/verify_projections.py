"""Verify the read model: its rows held against what history gives."""

from collections.abc import Callable

import msgspec

from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database
from streamledger.readmodel.rebuild.building import Standing
from streamledger.readmodel.rebuild.record import Progress


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one projection."""

    projection: str
    position: int
    """At which history was held against the rows."""
    live_digest: str | None
    """Of the rows as they stand; None when they were not counted."""
    history_digest: str | None
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
    """Each projection's digests: of the rows, and from history. Notes a digest that is right.

    Raises as `rebuild` does.
    """
    made = rebuild(
        database,
        msgspec.structs.replace(order, purpose="verify"),
        clock_us=clock_us,
        on_progress=on_progress,
        is_cancelled=is_cancelled,
    )
    versions = {each.name: each.version for each in order.projections}
    return [_verdict(standing, versions) for standing in made.standings]


def _verdict(standing: Standing, versions: dict[str, int]) -> Verified:
    version = versions[standing.projection]
    detail = "rows and history agree"
    if standing.live_version != version:
        detail = (
            f"the rows were made by version {standing.live_version} of the rules, this is {version}: rebuild"
        )
    elif standing.equal is None:
        detail = f"the live rows are at position {standing.live_position}: start serve, then verify again"
    elif not standing.equal:
        detail = "the rows are not those that history gives: rebuild"
    return Verified(
        projection=standing.projection,
        position=standing.rebuilt_position,
        live_digest=standing.live_digest,
        history_digest=standing.rebuilt_digest,
        sound=standing.equal is True and standing.live_version == version,
        detail=detail,
    )
