"""Clients that deliver as fast as they can and remember what was acknowledged."""

import contextlib
import http.client
import itertools
import threading
import time
from types import TracebackType
from typing import Self

from tests.acceptance.serving import CALLBACKS, Service, signed_now
from tests.deliveries import push_started

NOW_S = int(time.time())


class Load:
    """Deliveries from several clients until the service is gone; a context that ends with them."""

    def __init__(self, service: Service, clients: int, first: int = 1) -> None:
        self._service = service
        self._numbers = itertools.count(first)
        self._enough = threading.Event()
        self._news = threading.Condition()
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.faults: list[int] = []
        """Statuses that were neither 200 nor 503."""
        self._threads = [threading.Thread(target=self._deliver, args=(number,)) for number in range(clients)]

    def _deliver(self, client: int) -> None:
        connection = self._service.connect()
        with contextlib.closing(connection):
            while not self._enough.is_set():
                sequence = str(2**61 + next(self._numbers))
                body = signed_now(push_started(f"load-{client}", sequence, NOW_S))
                self.sent.add(sequence)
                try:
                    answer = self._service.request("POST", CALLBACKS, body, connection=connection)
                except (OSError, http.client.HTTPException):
                    return
                with self._news:
                    if answer.status == 200:
                        self.acknowledged.add(sequence)
                    elif answer.status != 503:
                        self.faults.append(answer.status)
                    self._news.notify_all()

    def wait_for(self, acknowledged: int, wait_s: float = 60) -> None:
        """Returns once that many deliveries have been acknowledged."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.acknowledged) >= acknowledged, wait_s)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def stored_sequences(service: Service) -> list[str]:
    """The sequence of every event in the ledger, in order."""
    after, found = 0, []
    while items := service.read("/v1/events", after=after, limit=500)["items"]:
        found += [item["sequence"] for item in items]
        after = items[-1]["position"]
    return found
