"""How a rebuild ended: what it found, and what became of it."""

import msgspec

from streamledger.domain.rebuild_answers import Change
from streamledger.readmodel.rebuild.building import Standing, all_equal
from streamledger.readmodel.rebuild.comparison import Difference


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """How a rebuild ended."""

    id: int
    purpose: str
    position: int
    events: int
    seconds: float
    events_per_s: float
    """Of everything: fold, indexes, catching up and switch."""
    standings: list[Standing]
    switched: bool
    parked: dict[str, int]
    memory_bytes_max: int
    """Of the largest process: of a worker, or of the parent."""
    differences: list[Difference] = []
    """Of a dry run: rows that differ, table by table."""
    changes: list[Change] = []
    """Of a dry run: what the answers would say otherwise."""

    @property
    def digests_equal(self) -> bool | None:
        """Whether live and rebuilt digests are equal; None when they could not be compared."""
        return all_equal(self.standings)
