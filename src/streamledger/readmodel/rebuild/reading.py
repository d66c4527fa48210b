"""One pass over the ledger: what each event says is read once, and kept, counted and told."""

from collections.abc import Collection, Iterable
from typing import Any, Final

import psycopg

from streamledger.domain.events import Delivery, is_notification
from streamledger.domain.kinds import kind_of
from streamledger.domain.senders import Shown
from streamledger.ledger import mapper
from streamledger.readmodel.fold.facts import MEDIA_NAMES, plain_of
from streamledger.readmodel.fold.judging import may_be_noted
from streamledger.readmodel.projections.addresses import SendersView, shown_by, t_shown
from streamledger.readmodel.projections.parking import described
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.tallies import Counted, TalliesView
from streamledger.readmodel.rebuild.shuffle import Sorter, Whole
from streamledger.tencent.envelope import read_envelope
from streamledger.tencent.reader import read_plain

READ: Final = (SendersView.name, SessionsView.name, TalliesView.name)
"""Projections that are made of this pass; the others take history in, in order."""


Row = tuple[int, str, str, bytes]
"""position, originator, name and state of an event"""

_SQL: Final = (
    "SELECT notification_id, originator_id, topic, state FROM ledger_events"
    " WHERE notification_id > %b AND notification_id <= %b ORDER BY notification_id LIMIT %b"
)


def read_rows(connection: psycopg.Connection[Any], after: int, until: int, limit: int) -> list[Row]:
    """The next events after a position, up to another: of each only what the pass looks at."""
    with connection.cursor(binary=True) as cursor:
        cursor.execute(_SQL, (after, until, limit), prepare=True)
        return cursor.fetchall()


class Pass:
    """What some of the ledger's rows give to the projections that are wanted."""

    def __init__(self, wanted: Collection[str], buckets: int) -> None:
        self._sorts = SessionsView.name in wanted
        self._counts = TalliesView.name in wanted
        self._shows = SendersView.name in wanted
        self.sorter = Sorter(buckets)
        self.counted: list[Counted] = []
        self.shown: list[Shown] = []
        self.errors: dict[int, str] = {}
        """Position to error of the events that cannot be read."""

    def take(self, rows: Iterable[Row]) -> None:
        """The next rows, in the order of positions."""
        for position, originator, topic, state in rows:
            try:
                name, delivery = mapper.decode(topic, state)
                if is_notification(name):
                    self._take(position, name, originator, delivery)
            except Exception as error:  # whatever one event does to the reader, the others go on
                self.errors[position] = described(error)

    def _take(self, position: int, name: str, originator: str, delivery: Delivery) -> None:
        read = read_plain(delivery.body) if name in MEDIA_NAMES else None
        media = None if read is None else plain_of(position, originator, delivery, read)
        if media is None or read is None or may_be_noted(media):
            envelope = read_envelope(delivery.body)
            kind, t_s, sign = kind_of(envelope.event_type).value, t_shown(envelope.t), envelope.sign
            if self._sorts:
                self.sorter.put(envelope.stream_id, Whole(position, delivery))
        else:
            kind, t_s, sign = media.kind, read.t, read.sign
            if self._sorts:
                media.delivery = None
                media.t = None  # that it is not noted was seen just now
                self.sorter.put(originator, media)
        if self._counts:
            self.counted.append(Counted(position, kind, delivery))
        if self._shows and (shown := shown_by(position, delivery, t_s, sign)) is not None:
            self.shown.append(shown)
