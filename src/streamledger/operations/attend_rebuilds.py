"""Attend to rebuilds that are asked for: the server does them beside its projector."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StoreUnavailable, StreamledgerError
from streamledger.domain.suspicion import DEFAULT_LIMITS, SuspectLimits
from streamledger.operations.rebuild import Order, rebuild
from streamledger.postgres.connection import Database, connect
from streamledger.postgres.patience import WRITING
from streamledger.readmodel.projections.view import Projection
from streamledger.readmodel.rebuild import generation, record
from streamledger.readmodel.rebuild.worker_pool import RebuildCancelled

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often to look for what is asked."""
FOLD_VERSION_CHANGED: Final = "a new version of the rules"
"""Who asked, where nobody did."""


class RebuildAttendant:
    """Does the rebuilds that are asked for in the table, one after another, until it is told to stop."""

    def __init__(
        self,
        database: Database,
        projections: Sequence[Projection],
        *,
        clock_us: Callable[[], int],
        automatically: bool,
        workers: int = 0,
        limits: SuspectLimits = DEFAULT_LIMITS,
    ) -> None:
        self._database = database
        self._projections = projections
        self._clock_us = clock_us
        self._automatically = automatically
        self._workers = workers
        self._limits = limits
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End `run`; a rebuild under way is cancelled and its tables are dropped."""
        self._stopping.set()

    def run(self) -> None:
        """Attend until `stop`; survives a restart of the database."""
        begun = False
        while not self._stopping.is_set():
            try:
                if not begun:
                    self.open_up()
                    begun = True
                if self._attend():
                    continue
            except (psycopg.Error, StoreUnavailable) as error:
                logger.debug("the rebuild attendant lost the store: %s", error)
                begun = False  # what was under way is to be cleared up
            self._stopping.wait(LOOK_S)

    def open_up(self) -> None:
        """Clear up after a rebuild whose process was killed; ask for one where the rules have changed."""
        with connect(
            self._database, application_name="streamledger rebuild attendant", patience=WRITING
        ) as connection:
            if not self._clear_up(connection):
                return
            if self._automatically:
                due = self._due(connection)
                if due:
                    record.ask(
                        connection,
                        self._database.schema,
                        projections=due,
                        asked_by=FOLD_VERSION_CHANGED,
                        now_us=self._clock_us(),
                    )

    def _clear_up(self, connection: psycopg.Connection[Any]) -> bool:
        """After a rebuild whose process is gone, this one's or a command's; False while one is at work."""
        try:
            with record.only_one(self._database):
                dropped = generation.drop_leftovers(connection, generation.tables_of(self._projections))
                record.close_abandoned(connection, self._clock_us())
        except record.RebuildUnderWay:
            return False  # it clears up itself
        if dropped:
            logger.warning("dropped what a rebuild left behind that was killed: %s", ", ".join(dropped))
        return True

    def _due(self, connection: psycopg.Connection[Any]) -> list[str]:
        """The projections whose rows were made by another version of their rules."""
        rows = connection.execute("SELECT name, fold_version FROM projections WHERE position > 0").fetchall()
        versions = dict(rows)
        return [
            each.name for each in self._projections if versions.get(each.name, each.version) != each.version
        ]

    def _attend(self) -> bool:
        """Do the rebuild that was asked for first; False when none is."""
        with connect(
            self._database, application_name="streamledger rebuild attendant", patience=WRITING
        ) as connection:
            row = connection.execute(
                "SELECT id, projections, asked_by, purpose, to_position FROM rebuilds"
                " WHERE state = 'asked' ORDER BY id LIMIT 1"
            ).fetchone()
            if row is None:
                if record.is_any_running(connection):
                    self._clear_up(connection)
                return False
        number, names, asked_by, purpose, to_position = row
        order = Order(
            projections=[each for each in self._projections if each.name in names],
            workers=self._workers,
            purpose=purpose,
            asked_by=asked_by,
            asked=number,
            to_position=to_position,
            limits=self._limits,
        )
        logger.info("rebuild %s begins: %s", number, ", ".join(names))
        try:
            done = rebuild(self._database, order, clock_us=self._clock_us, is_cancelled=self._stopping.is_set)
        except record.RebuildUnderWay:
            return False  # it waits for its turn
        except RebuildCancelled:
            logger.info("rebuild %s was cancelled", number)
        except StreamledgerError as error:
            logger.error("rebuild %s failed: %s", number, error)  # expected: no traceback
        except psycopg.Error:
            raise  # the store; `run` waits for it
        except Exception:  # a fault of ours: it is in the rebuild's row too, and the next is attended to
            logger.exception("rebuild %s failed", number)
        else:
            logger.info(
                "rebuild %s is %s: %s events in %s s, digests %s",
                number,
                "live" if done.switched else "compared",
                done.events,
                done.seconds,
                {True: "equal", False: "DIFFERENT", None: "not compared"}[done.digests_equal],
            )
        return True
