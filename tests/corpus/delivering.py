"""How the notifications of a history reach the ledger: late, twice, changed, misspelt, released, or never."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.corpus import spelling
from tests.corpus.bodies import Body
from tests.corpus.signing import signature

VALIDITY_S = 600
SENDERS = ("192.0.2.7", "192.0.2.8", "2001:db8::7")
STRANGERS = ("198.51.100.9", "198.51.100.77", "")
APPS = ("push.example.com", "backup.example.com")
TODAY_S = {0: (60, 12), 1: (60, 12), 100: (60, 12), 317: (60, 12), 200: (120, 5)}
"""Interval and retries of the schedule that the sender keeps today."""
_TIMES = ("event_time", "create_time", "end_time", "data_time", "timestamp")


@dataclass(kw_only=True)
class Sent:
    """One delivery, at the place in time where it comes into the ledger."""

    arrived_us: int
    received_us: int
    body: bytes
    source_ip: str
    key: str | None
    t_passed: bool = False
    release: dict[str, Any] | None = None
    originator: str | None = None
    """Of one that is filed under another stream than its body names."""
    act: bool = False
    """What an administrator did: no notification."""
    unknown: bool = False
    """An event of a later version, whose name this one does not know."""


@dataclass(kw_only=True)
class Rates:
    """How often each thing goes wrong in one history."""

    lost: float = 0.0
    copied: float = 0.0
    late: float = 0.0
    conflicting: float = 0.0
    foreign: float = 0.0
    released: float = 0.0
    early: float = 0.0
    spelled: float = 0.0
    retyped: float = 0.0
    mended: float = 0.0
    unreadable: float = 0.0
    elsewhere: float = 0.0
    respelled: float = 0.0
    no_param: float = 0.3
    no_place: float = 0.3
    stopless: float = 0.12
    startless: float = 0.1
    shuffled: bool = False
    unsigned: bool = False


@dataclass
class Drawn:
    """A history: its deliveries, in the order in which they were drawn, and the troubles that are in it."""

    name: str
    begin_s: int
    plot: str
    sent: list[Sent] = field(default_factory=list)
    troubles: Counter[str] = field(default_factory=Counter)


def _in_step(at_s: int) -> int:
    """A second rounded down to five: few signatures, so that the corpus packs well."""
    return at_s - at_s % 5


class Delivering:
    """One history while it is drawn, as far as its deliveries go."""

    def __init__(self, number: int, begin_s: int, plot: str, rank: int, random: Random) -> None:
        self.random = random
        self.rank = rank
        self.number = number
        self.name = f"h{number:04d}"
        self.begin_s = begin_s
        self.drawn = Drawn(self.name, begin_s, plot)
        self.rates = self._rates()
        self.key_changes_s = begin_s + random.randint(0, 300) if random.random() < 0.1 else None
        self.count = 0
        self.shared_param = self._param() if random.random() < 0.5 else None
        self.apps = APPS[:1] if random.random() < 0.75 else APPS

    def _rates(self) -> Rates:
        random = self.random

        def some(share: float, *values: float) -> float:
            return random.choice(values) if random.random() < share else 0.0

        return Rates(
            lost=some(0.4, 0.05, 0.2, 0.4),
            copied=some(0.7, 0.1, 0.2, 0.5),
            late=some(0.4, 0.1, 0.5),
            conflicting=some(0.5, 0.05, 0.15, 0.3),
            foreign=some(0.2, 0.05, 0.2),
            released=some(0.15, 0.1, 0.3),
            early=some(0.12, 0.1, 0.3),
            spelled=some(0.3, 0.2, 0.8),
            retyped=some(0.25, 0.2, 0.8),
            mended=some(0.2, 0.1, 0.3),
            unreadable=some(0.2, 0.05, 0.2),
            elsewhere=some(0.15, 0.1, 0.3),
            respelled=some(0.1, 0.2, 0.5),
            no_param=random.choice([0.0, 0.3, 0.6, 1.0]),
            no_place=random.choice([0.0, 0.3, 1.0]),
            stopless=random.choice([0.1, 0.1, 0.1, 0.7]),
            startless=random.choice([0.05, 0.1, 0.3]),
            shuffled=random.random() < 0.2,
            unsigned=random.random() < 0.06,
        )

    # What things are named.

    def note(self, trouble: str) -> None:
        """A trouble that this history has."""
        self.drawn.troubles[trouble] += 1

    def next(self) -> int:
        """A number that nothing else of this history has."""
        self.count += 1
        return self.count

    def stream(self, cam: int = 1) -> str:
        """A stream's name."""
        return f"{self.name}-cam{cam}"

    def _param(self) -> str:
        return f"txSecret={self.random.getrandbits(64):032x}&txTime={self.begin_s + 86_400:X}"

    # How it is delivered.

    def tell(self, body: Body, happened_s: int, *, delay_s: int = 0) -> None:
        """A notification and its deliveries; a conflicting one too, now and then."""
        random, rates = self.random, self.rates
        if random.random() < rates.lost:
            self.note("a notification is lost")
            return
        if random.random() < rates.unreadable:
            body = self._unreadable(body)
        self._deliver(body, happened_s, delay_s)
        if random.random() < rates.conflicting:
            for _ in range(random.choice([1, 1, 2])):
                self._deliver(self.altered(body), happened_s, delay_s + random.choice([0, 1, 45]))

    def _unreadable(self, body: Body) -> Body:
        """The same with a time, or another field, that cannot be read or cannot be true."""
        random = self.random
        times = [name for name in _TIMES if name in body]
        others = [
            name for name in ("push_duration", "errcode", "width", "sequence", "file_size") if name in body
        ]
        found: Body = dict(body)
        if times and random.random() < 0.6:
            name = times[0]
            value = body[name]
            wrong: list[Any] = ["soon", 0, -5, value * 1000, 1_200_000_000, value + 2000, None]
            wrong += [253_402_300_800, True, [value], value - 7 * 86_400]
            found[name] = random.choice(wrong)
            self.note("a time that cannot be read, or cannot be true")
        elif others:
            name = random.choice(others)
            found[name] = random.choice(["12 s", 1.5, True, {}, 2**70 + self.number, "a\0b"])
            self.note("a field that cannot be read")
        return found

    def altered(self, body: Body) -> Body:
        """The same identity with another content, of another meaning or only of other types."""
        random = self.random
        found: Body = dict(body)
        times = [name for name in _TIMES if isinstance(body.get(name), int)]
        change = random.choice(["earlier", "later", "later", "place", "field", "type", "blank", "unreadable"])
        if change in ("earlier", "later") and times:
            unit = 1000 if times[0] == "data_time" else 1
            found[times[0]] = body[times[0]] + (-1 if change == "earlier" else 1) * unit * random.randint(
                1, 90
            )
        elif change == "place":
            found["app"] = "other.example.com"
        elif change == "field":
            found["node"] = f"198.51.100.{random.randint(10, 99)}"
            found["errcode"] = random.choice([1, 4, 8, 12])
        elif change == "type":
            found = spelling.retyped(body, random)
        elif change == "blank":
            found[random.choice(["width", "stream_param", "file_format", "errmsg"])] = random.choice(
                [None, ""]
            )
        elif times:
            found[times[0]] = random.choice(["soon", None, 0])
        self.note("a conflict")
        return found

    def _deliver(self, body: Body, happened_s: int, delay_s: int) -> None:
        """The first try of a notification, and what follows it."""
        random, rates = self.random, self.rates
        delay_ms = delay_s * 1000 + random.randint(0, 1500)
        if random.random() < rates.late:
            delay_ms += random.choice([5_000, 45_000, 120_000, 400_000])
            self.note("a late delivery")
        elif rates.shuffled:
            delay_ms += random.randint(0, 300_000)
            self.note("deliveries in another order")
        elif random.random() < 0.01:
            delay_ms -= 4_000
            self.note("received before it happened")
        at_ms = happened_s * 1000 + delay_ms
        t_s = _in_step(at_ms // 1000) + VALIDITY_S
        if random.random() < rates.early:
            t_s = happened_s + VALIDITY_S - random.randint(60, 590)
            self.note("signed early")
        sent = self.spelled(self.signed(body, t_s), random.random())
        if random.random() < rates.released:
            self._release(sent, at_ms)
            if random.random() < 0.6:
                return
        elif random.random() < 0.02:
            late_ms = t_s * 1000 + random.randint(1, 90) * 1000
            self.note("a t that had passed, within the grace")
            self.send(sent, late_ms, t_passed=True)
            return
        else:
            self.send(sent, at_ms)
        if random.random() < rates.copied:
            self.copies(body, sent, at_ms, t_s)

    def signed(self, body: Body, t_s: int) -> Body:
        """The body with its t and a good sign; without both where nothing is signed."""
        if self.rates.unsigned and self.random.random() < 0.8:
            self.note("neither t nor sign")
            return body
        sign = signature(t_s, self._key_at(t_s - VALIDITY_S))
        if self.random.random() < 0.003:
            self.note("a t with a leading zero")
            return body | {"sign": sign, "t": f"0{t_s}"}
        return body | {"sign": sign, "t": t_s}

    def _key_at(self, at_s: float) -> str:
        return "next" if self.key_changes_s is not None and at_s >= self.key_changes_s else "main"

    def spelled(self, body: Body, dice: float) -> bytes:
        """The bytes of a body; `dice` picks among the spellings that this history has."""
        random, rates = self.random, self.rates
        if random.random() < rates.retyped:
            body = spelling.retyped(body, random)
            self.note("other types of fields")
        if random.random() < rates.mended:
            way = random.choice(spelling.MENDED)
            if way == "long" and random.random() < 0.8:
                way = "comma"
            self.note(f"mended: {way}")
            return spelling.mended(body, way)
        if random.random() < rates.spelled:
            self.note("another spelling")
            return spelling.spaced(body) if dice < 0.5 else spelling.turned(body, random)
        return spelling.usual(body)

    def send(
        self,
        sent: bytes,
        at_ms: int,
        *,
        source_ip: str | None = None,
        key: str | None = "",
        t_passed: bool = False,
        originator: str | None = None,
    ) -> None:
        """One believed delivery."""
        random = self.random
        if key == "":
            key = None if self.rates.unsigned else self._key_at(at_ms / 1000)
        if key == "next":
            self.note("another key")
        if random.random() < 0.9:
            at_ms -= at_ms % 50  # most times are rough, so that the corpus packs well
        at_us = at_ms * 1000 + random.choice([0, 0, 0, 250])
        if originator is None and random.random() < 0.002:
            originator = self.stream(9)
            self.note("misfiled")
        self.drawn.sent.append(
            Sent(
                arrived_us=at_us + random.choice([2_000, 5_000, 40_000, 300_000]),
                received_us=at_us,
                body=sent,
                source_ip=SENDERS[self.number % 3] if source_ip is None else source_ip,
                key=key,
                t_passed=t_passed,
                originator=originator,
            )
        )

    def _release(self, sent: bytes, at_ms: int) -> None:
        """A delivery that was set aside and that an operator believed later."""
        random = self.random
        reason = random.choice(
            ["expired", "expired", "bad_signature", "unsigned", "too_far_ahead", "malformed"]
        )
        released_us = (at_ms + random.choice([20_000, 200_000, 900_000])) * 1000
        number = self.next()
        release = {
            "quarantine_id": f"00000000-0000-4000-8000-{self.number:06d}{number:06d}",
            "quarantine_reason": reason,
            "by": "operator",
            "reason": "an outage",
            "released_at_us": released_us,
        }
        self.note("a release")
        self.drawn.sent.append(
            Sent(
                arrived_us=released_us,
                received_us=at_ms * 1000,
                body=sent,
                source_ip=SENDERS[self.number % 3] if reason != "bad_signature" else STRANGERS[0],
                key="main" if reason in ("expired", "too_far_ahead") else None,
                t_passed=reason == "expired",
                release=release,
            )
        )
        if random.random() < 0.3:
            act = {
                "action": "quarantine-released",
                "by": "operator",
                "reason": "an outage",
                "subject": {"quarantine_id": release["quarantine_id"]},
            }
            self.drawn.sent.append(
                Sent(
                    arrived_us=released_us + 1,
                    received_us=released_us,
                    body=spelling.usual(act),
                    source_ip="",
                    key=None,
                    act=True,
                )
            )

    def copies(self, body: Body, sent: bytes, at_ms: int, t_s: int) -> None:
        """Further deliveries of a notification: on a schedule or off, from there or from elsewhere."""
        random = self.random
        event_type = body.get("event_type")
        form = random.choice(
            ["today", "today", "today", "today", "2016", "seed", "twice", "twice", "off", "off", "all"]
        )
        if random.random() < self.rates.foreign:
            form = "foreign"
        if form == "twice":
            self.note("a try sent twice")
            self.send(sent, at_ms + random.randint(1, 1900))
        elif form in ("off", "foreign"):
            self._replay(body, sent, at_ms, t_s, foreign=form == "foreign")
        else:
            interval_s, retries = TODAY_S.get(event_type if isinstance(event_type, int) else -1, (60, 12))
            if form == "2016":
                interval_s, retries = 3, 3
            elif form == "seed":
                interval_s, retries = 60, 3
            tries = retries if form == "all" else random.randint(1, min(3, retries))
            self._retries(body, sent, at_ms, t_s, interval_s=interval_s, tries=tries)

    def _retries(self, body: Body, sent: bytes, at_ms: int, t_s: int, *, interval_s: int, tries: int) -> None:
        random = self.random
        renews = random.random() < 0.3
        slow = random.random() < 0.2
        for number in range(tries):
            at_ms += interval_s * 1000 + random.randint(0, 900) + (random.randint(0, 20_000) if slow else 0)
            if random.random() < 0.2 and number < tries - 1:
                self.note("a retry is lost")
                continue
            if renews:
                self.note("a retry with a new t")
                t_s = _in_step(at_ms // 1000) + VALIDITY_S
                sent = self.spelled(self.signed(body, t_s), 0)
            if at_ms > t_s * 1000:
                self.note("a late retry")
            else:
                self.note("a retry")
            self.send(sent, at_ms, t_passed=at_ms > t_s * 1000)

    def _replay(self, body: Body, sent: bytes, at_ms: int, t_s: int, *, foreign: bool) -> None:
        random = self.random
        for _ in range(random.choice([1, 1, 2, 5])):
            form = random.random()
            after_ms = random.choice([10_000, 31_000, 97_000, 250_000, 900_000, -4_000])
            if form < 0.3 and not foreign:
                sent = self.spelled(self.signed(body, t_s - random.randint(1, 90)), 0)
                self.note("a replay with an older t")
            elif form < 0.5 and not foreign:
                sent = self.spelled(self.signed(body, at_ms // 1000 + VALIDITY_S + 30), 0)
            elif form < 0.55:
                sent = self.spelled(body, 0)
                self.note("a copy without t")
            if foreign:
                self.note("a copy from another address")
            else:
                self.note("a copy off every schedule")
            source_ip = random.choice(STRANGERS) if foreign else None
            key = random.choice(["", "", "next", None])
            self.send(
                sent, at_ms + after_ms, source_ip=source_ip, key=key, t_passed=at_ms + after_ms > t_s * 1000
            )

    def finish(self) -> None:
        """What may be in any history, whatever its plot."""
        random = self.random
        if self.drawn.plot == "ordinary" and self.rank in (5, 500):
            at_us = (self.begin_s + random.randint(0, 100)) * 1_000_000
            self.note("an event of a later version")
            self.drawn.sent.append(
                Sent(
                    arrived_us=at_us,
                    received_us=at_us,
                    body=b"\x81\xa4lens\xa5clean",
                    source_ip="",
                    key=None,
                    originator=self.stream(),
                    unknown=True,
                )
            )
