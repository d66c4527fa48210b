"""A stream of its own for one scenario in one order of arrival, told and asked over HTTP."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import quote

from tests.acceptance.serving import Service, signed_now
from tests.deliveries import push_started, push_stopped, recording, screenshot

Body = Mapping[str, Any]
Bodies = list[Body | bytes]
Scenario = Callable[["Room"], Iterator[Bodies]]
"""Gives the deliveries, in the order in which things happened, and then asserts what must come of them."""

ORDERS: dict[str, Callable[[Bodies], Bodies]] = {
    "as it happened": lambda bodies: bodies,
    "backwards": lambda bodies: bodies[::-1],
    "shuffled, with copies": lambda bodies: Random(7).sample([*bodies, *bodies], 2 * len(bodies)),
}


class Room:
    """One stream on a running service; `t` is when its story begins, `ago_s` before now."""

    def __init__(self, service: Service, stream_id: str, number: int) -> None:
        self.service = service
        self.stream_id = stream_id
        self._sequences = 2**61 + number * 10_000
        self._named: dict[str, str] = {}
        self.now_s = int(time.time())

    def seq(self, name: str) -> str:
        """The sequence of a push."""
        return self._named.setdefault(name, str(self._sequences + len(self._named)))

    def start(self, name: str, at_s: int, **more: Any) -> dict[str, Any]:
        return push_started(self.stream_id, self.seq(name), at_s, **more)

    def stop(self, name: str, at_s: int, **more: Any) -> dict[str, Any]:
        return push_stopped(self.stream_id, self.seq(name), at_s, **more)

    def error(self, name: str, at_s: int) -> dict[str, Any]:
        told = {"event_type": 321, "stream_id": self.stream_id, "sequence": self.seq(name)}
        return told | {"data_time": at_s * 1000, "report_interval": 5000, "abnormal_event": []}

    def file(self, name: str, begin_s: int, end_s: int, **more: Any) -> dict[str, Any]:
        return recording(self.stream_id, name, end_s, end_s - begin_s, **more)

    def shot(self, at_s: int, **more: Any) -> dict[str, Any]:
        return screenshot(self.stream_id, at_s, **more)

    def status(self, at_s: int, event: str, task: str, **more: Any) -> dict[str, Any]:
        told = {"event_type": 332, "stream_id": self.stream_id, "event_time": at_s, "task_id": task}
        return told | {"record_event": f"record_{event}", "seq": f"{at_s}-{task}-{event}"} | more

    def deliver(self, bodies: Bodies) -> None:
        for body in bodies:
            answer = self.service.post(body if isinstance(body, bytes) else signed_now(body))
            assert answer.status == 200, answer
        self.service.read("/v1/sessions", limit=1)  # waits until everything is taken in

    def session(self, name: str) -> Any:
        return self.service.read(f"/v1/sessions/{self.seq(name)}", stream_id=self.stream_id)

    def stream(self) -> Any:
        return self.service.read(f"/v1/streams/{quote(self.stream_id, safe='')}")

    def media(self, name: str, kind: str) -> list[Any]:
        """Confidence, reasons and alternatives of what is attributed to a push, in order of time."""
        found: list[Any] = self.service.read(f"/v1/sessions/{self.seq(name)}/{kind}", limit=500)["items"]
        return found

    def confidences(self, name: str, kind: str) -> list[str]:
        return [each["attribution"]["confidence"] for each in self.media(name, kind)]

    def unattributed(self) -> int:
        found: int = self.stream()["unattributed"]
        return found

    def anomalies(self, name: str) -> list[str]:
        return [each["code"] for each in self.session(name)["anomalies"]]


def told_in(module: Mapping[str, Any]) -> list[Scenario]:
    """The scenarios of a module, by its names: all functions that take a room alone and give deliveries."""
    takes = {"room": Room, "return": Iterator[Bodies]}
    return [each for each in module.values() if getattr(each, "__annotations__", None) == takes]


_rooms = itertools.count(1)


def play(service: Service, scenario: Scenario) -> None:
    """The scenario in each order of arrival, each on a stream of its own."""
    for order, arrange in ORDERS.items():
        number = next(_rooms)
        room = Room(service, f"{scenario.__name__}-{number}", number)
        story = scenario(room)
        room.deliver(arrange(next(story)))
        try:
            next(story, None)
        except AssertionError as error:
            error.add_note(f"told {order}")
            raise
