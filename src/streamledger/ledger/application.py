"""The ledger as an application of the eventsourcing library: its commands are the only writers there are.

Each command ends in `self.events.put(...)`: the mapper makes rows of the events, and the recorder's
`insert_events` appends them in one statement (ADR 0013).
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
import psycopg
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment, get_topic

from streamledger.domain.events import (
    ADMIN_ORIGINATOR,
    AdminAct,
    AdminActed,
    Delivery,
    DeliveryEvent,
    NewEvent,
    StreamHistory,
)
from streamledger.ledger import quarantine
from streamledger.ledger.acts import Actor
from streamledger.ledger.append import Appended
from streamledger.ledger.attempt import Attempt
from streamledger.ledger.delivery_id import new_delivery_id
from streamledger.ledger.mapper import StableNameMapper
from streamledger.ledger.quarantine import Quarantined
from streamledger.ledger.quarantining import (
    NewQuarantined,
    QuarantineCaps,
    add_counts,
    hold,
    insert_quarantined,
    kept_among,
)
from streamledger.ledger.reader import positions_of
from streamledger.ledger.recorder import DSN, LedgerFactory, LedgerRecorder
from streamledger.postgres.connection import Database, eventsourcing_env

NOTHING: Final[frozenset[uuid.UUID]] = frozenset()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction of the intake stores."""

    events: Sequence[NewEvent] = ()
    quarantined: Sequence[NewQuarantined] = ()
    counts: Mapping[str, int] = {}
    """Refusals that leave nothing but a count, by outcome."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch."""

    positions: Sequence[int]
    """Of the events, in their order."""
    kept: frozenset[uuid.UUID]
    """Ids of the quarantined deliveries that fitted under the caps."""


def environment(database: Database) -> dict[str, str]:
    """What `Ledger`, and the library's runners over it, are constructed with."""
    return {**eventsourcing_env(database), DSN: database.dsn}


class Ledger(Application[Any]):
    """The ledger: what it takes in, and what the library reads of it.

    The commands write on the connection that they are given, in its transaction where one is open, so that
    what belongs to a command is stored with its events or not at all. After a connection error nobody knows
    whether the transaction was committed: a batch is then given again with its `attempt`.
    """

    name = "ledger"
    env: ClassVar[dict[str, str]] = {
        "APPLICATION_RECORDER_TOPIC": get_topic(LedgerRecorder),
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "n",
    }

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        """The factory that does not connect before somebody reads."""
        return LedgerFactory(env)

    def construct_mapper(self) -> StableNameMapper:
        """The mapper of stable names; its transcoder is not used."""
        return StableNameMapper(transcoder=self.construct_transcoder())

    def receive(
        self,
        connection: psycopg.Connection[Any],
        batch: Batch,
        caps: QuarantineCaps,
        attempt: Attempt | None = None,
    ) -> Stored:
        """Store a batch of the intake, or nothing of it. Returns after the commit is on disk.

        `attempt` is what earlier tries with this batch have left, and takes what this one leaves: nothing is
        stored or counted twice.
        """
        attempt = attempt or Attempt()
        if batch.quarantined or not batch.events:
            return self._receive_in_steps(connection, batch, caps, attempt)
        again, attempt.sent = attempt.sent, True
        counts = _counts(batch, NOTHING)
        outcome: list[Appended] = []
        self.events.put(batch.events, connection=connection, counts=counts, look_first=again, outcome=outcome)
        return Stored(positions=_positions(outcome), kept=NOTHING)

    def _receive_in_steps(
        self, connection: psycopg.Connection[Any], batch: Batch, caps: QuarantineCaps, attempt: Attempt
    ) -> Stored:
        with connection.transaction():
            with connection.cursor() as cursor:
                hold(cursor)  # an earlier try holds it to its end, should that be still on its way
                ids = [event.delivery_id for event in batch.events]
                if attempt.is_committed(cursor, ids):  # the whole transaction was, counters included
                    known = positions_of(cursor, ids)
                    return Stored(
                        positions=[known[each] for each in ids], kept=kept_among(cursor, batch.quarantined)
                    )
                kept = insert_quarantined(cursor, batch.quarantined, caps) if batch.quarantined else NOTHING
                counts = _counts(batch, kept)
                if not batch.events:
                    add_counts(cursor, counts)
            outcome: list[Appended] = []
            self.events.put(batch.events, connection=connection, counts=counts, outcome=outcome)
            attempt.note(connection)
        return Stored(positions=_positions(outcome), kept=kept)

    def release(
        self,
        connection: psycopg.Connection[Any],
        pairs: Sequence[tuple[Quarantined, NewEvent]],
        actor: Actor,
        subject: dict[str, object],
    ) -> list[int]:
        """Believe deliveries of the quarantine, held by the caller: their events, the act, the marks.

        Returns the positions of the events.
        """
        events = [event for _, event in pairs]
        act = _acted("quarantine-released", actor, subject)
        counts = {"released": len(events), "acted": 1}
        with connection.transaction():
            recordings = self.events.put([*events, act], connection=connection, counts=counts)
            positions = [recording.notification.id for recording in recordings[: len(events)]]
            with connection.cursor() as cursor:
                quarantine.mark_released(cursor, [row for row, _ in pairs], positions, actor)
        return positions

    def act(
        self, connection: psycopg.Connection[Any], action: str, actor: Actor, subject: dict[str, object]
    ) -> int:
        """Note what an administrator did, in the transaction that does it; `subject` holds no secret.

        Returns the position.
        """
        acted = _acted(action, actor, subject)
        return self.events.put([acted], connection=connection, counted_as="acted")[0].notification.id

    def take_over(self, connection: psycopg.Connection[Any], events: Sequence[NewEvent]) -> int:
        """Append the events of an import in their order, but for those whose delivery id is there.

        Returns how many were new.
        """
        outcome: list[Appended] = []
        self.events.put(
            events, connection=connection, counted_as="imported", look_first=True, outcome=outcome
        )
        return sum(appended.new for appended in outcome)

    def history(self, originator_id: str) -> StreamHistory:
        """All events of one stream. Raises the library's AggregateNotFoundError when there is none."""
        history: StreamHistory | None = None
        for event in self.events.get(originator_id):
            if isinstance(event, DeliveryEvent):
                history = event.mutate(history)
        if history is None:
            raise AggregateNotFoundError(originator_id)
        return history


def _acted(action: str, actor: Actor, subject: dict[str, object]) -> AdminActed:
    act = AdminAct(action=action, by=actor.by, reason=actor.reason, subject=subject)
    return AdminActed(
        originator_id=ADMIN_ORIGINATOR,
        delivery_id=new_delivery_id(actor.at_us),
        delivery=Delivery(
            body=msgspec.json.encode(act), received_at_us=actor.at_us, source_ip=actor.source_ip
        ),
    )


def _positions(outcome: Sequence[Appended]) -> list[int]:
    return [position for appended in outcome for position in appended.positions]


def _counts(batch: Batch, kept: frozenset[uuid.UUID]) -> dict[str, int]:
    counts = dict(batch.counts)
    refused = sum(count for outcome, count in counts.items() if outcome.startswith("refused:"))
    received = refused + len(batch.quarantined) + len(batch.events)  # limits are counted, too: no deliveries
    counts["received"] = received
    if batch.events:
        counts["ledger"] = len(batch.events)
    for row in batch.quarantined:
        outcome = f"{'quarantine' if row.delivery_id in kept else 'refused'}:{row.reason}"
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
