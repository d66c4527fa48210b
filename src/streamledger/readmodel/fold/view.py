"""What the fold asks of a view, and what it gives it to write: the store, nothing, a moment, memory."""

from collections import Counter
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from streamledger.domain.notification import Kind
from streamledger.domain.senders import Senders
from streamledger.readmodel.fold.facts import Fact, PlainMedia
from streamledger.readmodel.fold.pushes import Interval, Pushes
from streamledger.readmodel.fold.rows import (
    DayKey,
    FactKey,
    NotificationRow,
    RepeatRow,
    SessionKey,
    SessionRow,
    StreamRow,
    TimelineRow,
    Totals,
)
from streamledger.readmodel.fold.witness import witness_of


class Needed(msgspec.Struct, gc=False):
    """Which sessions of a stream must be at hand."""

    from_ms: int
    """All whose `reach_ms` is not before."""
    sequences: set[str]
    """And these, with their folds."""
    witnesses: set[str]
    """And those without a stop that have one of these, and `witness_until_ms` is not before `from_ms`."""
    media: Sequence[PlainMedia] = ()
    """Whose stream_params are to be looked for in the same way: that costs, and is seldom needed."""

    def all_witnesses(self) -> set[str]:
        """The witnesses, those of the media too."""
        found = {witness_of(each.stream_param) for each in self.media}
        return self.witnesses.union(each for each in found if each is not None)


class Laid(msgspec.Struct, frozen=True, gc=False):
    """Plain media as they are written: those whose notifications are there already are taken out before."""

    media: Sequence[PlainMedia]
    """Of one stream; one alone where it has `rows`."""
    sequence: str
    """Of the push in which they surely lie; "" where `rows` say more."""
    rows: Sequence[TimelineRow] | None = None
    """The rows of one that does not surely lie in one push."""
    noted: Sequence[RepeatRow] = ()


def without(found: Iterable[Laid], positions: Container[int]) -> list[Laid]:
    """The same but for the deliveries at these positions."""
    left = [
        msgspec.structs.replace(
            each,
            media=[media for media in each.media if media.position not in positions],
            noted=[row for row in each.noted if row.position not in positions],
        )
        for each in found
    ]
    return [each for each in left if each.media]


class Changes:
    """What a fold gives a view to write."""

    def __init__(self) -> None:
        self.media: list[Laid] = []
        """Plain media that did not come before, unless they turn out to be there."""
        self.entries: dict[FactKey, list[TimelineRow]] = {}
        """All rows of these notifications."""
        self.replaced: set[FactKey] = set()
        """Those of `entries` that have rows already: they go."""
        self.sessions: dict[SessionKey, SessionRow] = {}
        """New or changed, all but their media's totals."""
        self.created: set[SessionKey] = set()
        """Those of `sessions` that are new."""
        self.folded: set[SessionKey] = set()
        """Those of `sessions` whose fold is new."""
        self.totals: dict[SessionKey, Totals] = {}
        """To be added to what media make up of a session."""
        self.streams: dict[str, StreamRow] = {}
        """To be added."""
        self.repeats: list[RepeatRow] = []
        self.notifications: dict[FactKey, NotificationRow] = {}
        """All that is known by now of those that came more than once."""
        self.days: Counter[DayKey] = Counter()
        """Deliveries to be added, by day and class."""

    def add_total(self, row: TimelineRow, sign: int) -> None:
        """Add what a medium's row says to the totals of its session, or take it away."""
        if not row.sequence:
            return
        totals = self.totals.setdefault((row.stream_id, row.sequence), Totals())
        if row.kind == Kind.SCREENSHOT:
            totals.screenshots += sign
        elif row.kind == Kind.RECORDING:
            totals.recordings += sign
            totals.files_ms += sign * (row.duration_ms or 0)
            totals.recording_bytes += sign * (row.bytes or 0)


class View(Protocol):
    """Rows as they are known to somebody, and a place to write changes to."""

    def entries(self, keys: Iterable[FactKey]) -> Iterable[TimelineRow]:
        """All rows of these notifications, as far as there are; they are the caller's to change."""

    def known(self, keys: Collection[FactKey]) -> Mapping[FactKey, NotificationRow]:
        """What is known of those of these notifications that came more than once."""

    def senders(self) -> Senders:
        """Which addresses and keys are known to be the sender's, and from which position on."""

    def facts(self, positions: Sequence[int]) -> Iterable[Fact]:
        """The events of the ledger at these positions, read."""

    def pushes(self, needed: Mapping[str, Needed]) -> Mapping[str, Pushes]:
        """The sessions at hand of these streams; the caller's to change, if it writes the changes."""

    def media_in(self, intervals: Mapping[Interval, Collection[str]]) -> set[FactKey]:
        """Media that touch these intervals: moments of the named sessions and of none, and recordings."""

    def write(self, changes: Changes) -> Any:
        """Write changes."""
