"""The ledger as an application of the eventsourcing library: its users find what they know.

`Ledger(env).history("stream")` loads a live stream's events with the library's repository.
The hot path does not come through here; it appends with `ledger.appender`.
"""

from typing import Any, ClassVar

import msgspec
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import get_topic

from streamledger.domain.events import Delivery
from streamledger.ledger import mapper
from streamledger.ledger.recorder import LedgerRecorder


class StoredDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as the library hands it out: a domain event of the stream named by originator_id."""

    originator_id: str
    originator_version: int
    name: str
    delivery: Delivery

    def mutate(self, history: "StreamHistory | None") -> "StreamHistory":
        """The stream's history with this event added."""
        if history is None:
            return StreamHistory(id=self.originator_id, version=self.originator_version, events=(self,))
        return StreamHistory(id=history.id, version=self.originator_version, events=(*history.events, self))


class StreamHistory(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's events in their order, as an aggregate of the library."""

    id: str
    version: int
    events: tuple[StoredDelivery, ...] = ()


class StableNameMapper(Mapper[Any]):
    """Maps stable names instead of Python paths, so that a rename in the code orphans no row."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """A row of the table from an event."""
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.name,
            state=mapper.encode(domain_event.delivery),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """An event from a row of the table."""
        name, delivery = mapper.decode(stored_event.topic, bytes(stored_event.state))
        return StoredDelivery(
            originator_id=str(stored_event.originator_id),
            originator_version=stored_event.originator_version,
            name=name,
            delivery=delivery,
        )


class Ledger(Application[Any]):
    """The library's view of the ledger. `env` comes from `postgres.connection.eventsourcing_env`."""

    name = "ledger"
    env: ClassVar[dict[str, str]] = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "APPLICATION_RECORDER_TOPIC": get_topic(LedgerRecorder),
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "n",
    }

    def construct_mapper(self) -> StableNameMapper:
        """The mapper of stable names; its transcoder is not used."""
        return StableNameMapper(transcoder=self.construct_transcoder())

    def history(self, originator_id: str) -> StreamHistory:
        """All events of one stream. Raises the library's AggregateNotFoundError when there is none."""
        events = tuple(event for event in self.events.get(originator_id) if isinstance(event, StoredDelivery))
        if not events:
            raise AggregateNotFoundError(originator_id)
        return StreamHistory(id=originator_id, version=events[-1].originator_version, events=events)
