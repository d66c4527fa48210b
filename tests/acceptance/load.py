"""A sender with a record: what it sent, what it was told and how long it waited, over every trouble."""

import contextlib
import http.client
import itertools
import random
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import msgspec

from tests.acceptance.serving import CALLBACKS, Service, signed_now
from tests.deliveries import push_started

NOW_S: Final = int(time.time())
TIMEOUT_S: Final = 20
"""Tencent waits as long for an answer."""
KINDS: Final = ("believed", "believed", "believed", "believed", "believed", "believed", "expired", "forged")
"""What is sent, in these shares."""
BELIEVED: Final = ("believed",)
"""The same where nothing but what is kept is of interest."""
EXPECTED: Final = {"believed": 200, "expired": 200, "forged": 403}


class Sent(msgspec.Struct, frozen=True):
    """One delivery and its answer; a status of None is a connection that broke, or no answer in 20 s."""

    sequence: str
    kind: str
    status: int | None
    sent_s: float
    """By `time.monotonic`."""
    waited_s: float


class Record:
    """Everything that was sent, in the order of its answers."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.news = threading.Condition()

    def add(self, sent: Sent) -> None:
        with self.news:
            self.sent.append(sent)
            self.news.notify_all()

    def sequences(self, kind: str, *statuses: int | None) -> set[str]:
        """Of this kind, with one of these answers, or whatever the answer was."""
        return {
            each.sequence
            for each in list(self.sent)
            if each.kind == kind and (not statuses or each.status in statuses)
        }

    def statuses(self) -> Counter[int | None]:
        return Counter(each.status for each in list(self.sent))

    def waited_s_max(self) -> float:
        return max((each.waited_s for each in list(self.sent)), default=0.0)

    def first_since(self, since_s: float, status: int) -> float | None:
        """How long after this moment the first delivery that was sent later had this answer."""
        found = [
            each.sent_s + each.waited_s - since_s
            for each in list(self.sent)
            if each.status == status and each.sent_s >= since_s
        ]
        return min(found, default=None)

    def wait_for(self, number: int, status: int = 200, wait_s: float = 60) -> None:
        """Returns once so many more deliveries have had this answer."""
        with self.news:
            wanted = self.statuses()[status] + number
            assert self.news.wait_for(lambda: self.statuses()[status] >= wanted, wait_s), self.statuses()


class Client:
    """Sends from several threads until it is left; connections that break are made anew."""

    def __init__(
        self,
        url: str,
        record: Record,
        *,
        clients: int = 8,
        pause_s: float = 0.02,
        seed: int = 1,
        first: int = 1,
        kinds: Sequence[str] = KINDS,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._record = record
        self._pause_s = pause_s
        self._kinds = kinds
        self._numbers = itertools.count(first)
        self._enough = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(number, random.Random(f"{seed} {first} {number}")))
            for number in range(clients)
        ]

    def _send(self, client: int, chance: random.Random) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            while not self._enough.wait(self._pause_s):
                kind = chance.choice(self._kinds)
                sequence = str(2**61 + next(self._numbers))
                body = _body(kind, push_started(f"load-{client}", sequence, NOW_S))
                began = time.monotonic()
                status = None
                try:
                    connection.request("POST", CALLBACKS, body, {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    response.read()
                    status = response.status
                except (OSError, http.client.HTTPException):
                    connection.close()
                self._record.add(Sent(sequence, kind, status, began, time.monotonic() - began))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def _body(kind: str, facts: Mapping[str, Any]) -> bytes:
    if kind == "forged":
        return signed_now(facts, key="not the key")
    return signed_now(facts, ahead_s=-60 if kind == "expired" else 600)


def stored_sequences(service: Service) -> list[str]:
    """The sequence of every event in the ledger, in order."""
    after, found = 0, []
    while items := service.read("/v1/events", after=after, limit=500)["items"]:
        found += [item["sequence"] for item in items]
        after = items[-1]["position"]
    return found
