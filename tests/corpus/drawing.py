"""What was pushed and recorded in one history of the corpus, and what is told of it."""

import itertools
from typing import Any

from tests.corpus import bodies
from tests.corpus.bodies import Body, Push
from tests.corpus.delivering import Delivering


class Drawing(Delivering):
    """One history while it is drawn: its pushes, its media, and what else is reported of them."""

    def sequence(self) -> str:
        """A sequence that no other push of the corpus has."""
        number = self.next()
        form = self.random.random()
        if form < 0.85:
            return str(2_210_464_508_000_000_000 + self.number * 1000 + number)
        if form < 0.95:
            return str(self.number * 1000 + number)
        return f"s_{self.number}-{number}"

    def push(self, stream_id: str, start_s: int, length_s: int | None, **given: Any) -> Push:
        """A push of a stream; None for one that goes on."""
        random = self.random
        param = self.shared_param if self.shared_param and random.random() < 0.5 else self._param()
        width, height = random.choice([(1280, 720), (1920, 1080), (640, 352), (0, 0)])
        facts: dict[str, Any] = {
            "stream_id": stream_id,
            "sequence": self.sequence(),
            "start_s": start_s,
            "end_s": None if length_s is None else start_s + length_s,
            "app": random.choice(self.apps),
            "appname": "live" if random.random() < 0.95 else "studio",
            "param": param,
            "node": f"198.51.100.{random.randint(1, 9)}",
            "user_ip": f"203.0.113.{random.randint(1, 9)}",
            "width": width,
            "height": height,
        }
        return Push(**(facts | given))

    # What is told.

    def push_told(self, push: Push, *, stops: bool | None = None, starts: bool | None = None) -> None:
        """The start, the stop and the push errors of a push, as far as they are reported."""
        random, rates = self.random, self.rates
        if starts is None:
            starts = random.random() >= rates.startless
        if stops is None:
            stops = random.random() >= rates.stopless
        stops = stops and push.end_s is not None
        if starts:
            at_s = push.start_s + random.choice([0, 0, 0, 1])
            self.tell(bodies.started(push, at_s), at_s)
        else:
            self.note("a start is missing")
        if push.end_s is None:
            self.note("a push goes on")
        elif not stops:
            self.note("a stop is missing")
        else:
            self._stop_told(push, push.end_s)
        if random.random() < (0.2 if starts or stops else 1.0):
            self.errors_told(push)

    def _stop_told(self, push: Push, end_s: int) -> None:
        random = self.random
        at_s = end_s + random.choice([0, 0, 0, 1])
        if random.random() < 0.03:
            at_s = push.start_s - random.randint(1, 40)
            self.note("a stop before its start")
        lasted_ms: int | None = (end_s - push.start_s) * 1000 + random.randint(-400, 400)
        if random.random() < 0.08:
            lasted_ms = (end_s - push.start_s + random.randint(3, 90)) * 1000
            self.note("durations disagree")
        elif random.random() < 0.15:
            lasted_ms = None
            self.note("a stop without a duration")
        errcode, errmsg = random.choice(bodies.STOPS)
        body = bodies.stopped(push, at_s, None if lasted_ms is None else max(0, lasted_ms), errcode, errmsg)
        if random.random() < 0.04:
            body["app" if random.random() < 0.6 else "appname"] = "other.example.com"
            self.note("start and stop name other places")
        if random.random() < 0.1:
            del body["stream_param"]
        self.tell(body, at_s)

    def errors_told(self, push: Push) -> None:
        """Push errors, of one type or several."""
        random = self.random
        for _ in range(random.choice([1, 1, 2, 4])):
            at_ms = random.randint(push.start_s, max(push.start_s, push.until_s())) * 1000 + random.choice(
                [0, 123, 971]
            )
            counts = {number: random.randint(1, 5) for number in random.sample([1, 3, 6, 7, 11], 2)}
            body = bodies.push_error(push, at_ms, counts)
            if random.random() < 0.1:
                body["abnormal_event"] = random.choice([[], "", [{"count": 1}], "broken", {"type": "6"}])
            self.note("a push error")
            self.tell(body, at_ms // 1000)

    def media_told(self, push: Push, screenshots: int, *, recorded: bool | None = None) -> None:
        """Screenshots of a push, its files and what the recorder says of them."""
        random = self.random
        for _ in range(screenshots):
            self.screenshot_told(push, random.randint(push.start_s - 2, push.until_s() + 2))
        if random.random() < 0.6 if recorded is None else recorded:
            self.recorded(push)
            if random.random() < 0.12:
                self.note("two tasks record a push")
                self.recorded(push)

    def screenshot_told(self, push: Push, at_s: int) -> None:
        """One screenshot."""
        random = self.random
        path = bodies.picture_path(push, at_s)
        if random.random() < 0.1:
            path = f"/{self.name}/{self.next()}.jpg"
        if random.random() < 0.03:
            path = f"/{push.stream_id}/latest.jpg"
            self.note("a picture's name that comes again")
        self.tell(self.placed(bodies.screenshot(push, at_s, path)), at_s)

    def recorded(self, push: Push, *, slack_s: int = 3) -> None:
        """The files of a push, in one interval or more and one or two formats, and its recorder's reports."""
        random = self.random
        task = f"task-{self.number}-{self.next()}"
        reported = random.random() < 0.4
        if reported:
            self._status_told(push, push.start_s + 1, "record_start_succeeded", task)
        cuts = [push.start_s, push.until_s()]
        if cuts[1] - cuts[0] > 20 and random.random() < 0.5:
            cuts.insert(1, random.randint(cuts[0] + 5, cuts[1] - 5))
            self.note("several files follow each other")
        for cut_s, next_s in itertools.pairwise(cuts):
            from_s = cut_s + random.randint(-slack_s, slack_s)
            until_s = max(from_s, next_s + random.randint(-slack_s, slack_s))
            for file_format in ("flv", "mp4")[: random.choice([1, 1, 2])]:
                self.file_told(push, from_s, until_s, file_format, task)
        if reported and push.end_s is not None and random.random() < 0.8:
            self._status_told(push, push.end_s, "record_ended", task)
        if random.random() < 0.08:
            kind = random.choice(["no_frames", "no_audio", "upload_slow"])
            self.note("a recording exception")
            at_s = random.randint(push.start_s, push.until_s())
            self.tell(bodies.recording_exception(push, at_s, task, kind), at_s)

    def file_told(
        self, push: Push, from_s: int, until_s: int, file_format: str = "flv", task: str = "task"
    ) -> None:
        """One file; its content may be shorter than its writing, its times finer than seconds."""
        random = self.random
        file_id = f"file-{self.number}-{self.next()}"
        body = bodies.recording(push, file_id, file_format, from_s, until_s, task)
        form = random.random()
        if form < 0.1:
            body |= {"start_time": from_s - random.randint(1, 30)}
            self.note("a file is shorter than its writing")
        elif form < 0.2:
            body |= {"start_time_usec": 316_441, "end_time_usec": 618_577}
        elif form < 0.25:
            body["duration"] = random.choice([0, None, "", until_s])
            self.note("a file without a usable duration")
        elif form < 0.28:
            body["record_file_id"] = body.pop("file_id")
        delay_s = random.randint(34, 300) if random.random() < 0.05 else random.randint(2, 34)
        self.tell(self.placed(body), until_s, delay_s=delay_s)

    def _status_told(self, push: Push, at_s: int, record_event: str, task: str) -> None:
        seq = str(self.number * 1000 + self.next())
        body = bodies.recording_status(push, at_s, record_event, seq, task)
        if record_event == "record_ended":
            self.note("the recorder says that it ended")
        if self.random.random() < 0.3:
            body["stream_param"] = push.param
        self.tell(body, at_s)

    def placed(self, body: Body) -> Body:
        """A medium with what it names of its push: not always the place, not always the stream_param."""
        random, rates = self.random, self.rates
        if random.random() < rates.no_param:
            body.pop("stream_param", None)
        if random.random() < rates.no_place:
            body.pop("app", None)
            if random.random() < 0.7:
                body.pop("appname", None)
        if random.random() < rates.elsewhere:
            body["app"] = "elsewhere.example.com"
            self.note("a medium of another place")
        elif random.random() < rates.respelled and "app" in body:
            app = body["app"]
            body["app"] = random.choice([app.upper(), f"{app}:1935", f" {app} ", "203.0.113.80"])
            self.note("a place spelled otherwise")
        return body
