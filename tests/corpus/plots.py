"""The plots of the corpus's histories: what each of them is about."""

from collections.abc import Callable
from random import Random

from tests.corpus import bodies, spelling
from tests.corpus.delivering import APPS, VALIDITY_S, Drawn, Rates
from tests.corpus.drawing import Drawing

HALF_A_DAY_S = 12 * 3600
SEQUENCE_CHARACTERS_MAX = 64


def draw(number: int, begin_s: int, plot: str, rank: int, random: Random) -> Drawn:
    """History `number`, whose first push begins at `begin_s`, the `rank`-th by one of PLOTS."""
    drawing = Drawing(number, begin_s, plot, rank, random)
    PLOTS[plot](drawing)
    drawing.finish()
    return drawing.drawn


def _ordinary(drawing: Drawing) -> None:
    """A stream, or two, pushed to now and then; a backup beside it at times."""
    random = drawing.random
    for cam in range(1, 1 + random.choice([1, 1, 1, 2])):
        stream_id, clock_s = drawing.stream(cam), drawing.begin_s + random.randint(0, 20)
        pushes = random.randint(1, 4)
        for number in range(pushes):
            length_s = random.choice([1, 3, 8, 20, 45, 60, 150])
            goes_on = number == pushes - 1 and random.random() < 0.3
            push = drawing.push(stream_id, clock_s, None if goes_on else length_s)
            drawing.push_told(push)
            drawing.media_told(push, random.randint(0, 3))
            if random.random() < 0.25:
                begin_s = clock_s + random.randint(0, length_s)
                backup = drawing.push(stream_id, begin_s, random.choice([2, 10, 30, 70]), app=push.app)
                drawing.note("main and backup overlap")
                drawing.push_told(backup)
                drawing.media_told(backup, random.randint(0, 1))
            gap_s = random.choice([0, 0, 1, 2, 4, 6, 15, 40])
            if gap_s <= 5:
                drawing.note("a reconnect within the slack")
            clock_s += length_s + gap_s
        _others(drawing, stream_id, 0.25)


def _others(drawing: Drawing, stream_id: str, share: float) -> None:
    """Types that are not modelled, with and without a sequence."""
    random = drawing.random
    if random.random() < share:
        push = drawing.push(stream_id, drawing.begin_s, 60)
        for _ in range(random.choice([1, 2])):
            event_type = random.choice([314, 315, 317, 343, 348, 999, 2_000_000_000])
            at_s = drawing.begin_s + random.randint(0, 120)
            drawing.note("a type that is not modelled")
            drawing.tell(bodies.other(event_type, push, at_s, str(drawing.next())), at_s)


def _resumed(drawing: Drawing) -> None:
    """A file that goes on over three pushes or more, of which only the last is called back."""
    random = drawing.random
    clock_s, pushes = drawing.begin_s, []
    for _ in range(random.randint(3, 5)):
        length_s = random.choice([15, 40, 80])
        push = drawing.push(drawing.stream(), clock_s, length_s, app=APPS[0])
        drawing.push_told(push)
        pushes.append(push)
        clock_s += length_s + random.choice([0, 3, 8, 20])
    drawing.note("a resumed file over several pushes")
    drawing.file_told(pushes[-1], pushes[0].start_s + random.randint(-3, 3), clock_s, "hls")
    if random.random() < 0.4:
        last = pushes[-1]
        file_id = f"file-{drawing.number}-{drawing.next()}"
        body = bodies.recording(last, file_id, "hls", last.start_s, last.until_s(), "task")
        drawing.note("a file whose writing began in an earlier push")
        drawing.tell(drawing.placed(body | {"start_time": pushes[0].start_s}), last.until_s(), delay_s=9)
    drawing.media_told(random.choice(pushes), 2, recorded=False)


def _crowd(drawing: Drawing) -> None:
    """Many pushes at one name at once, told apart by their stream_param, or not."""
    random = drawing.random
    drawing.note("many pushes at one name overlap")
    for _ in range(random.randint(4, 11)):
        begin_s = drawing.begin_s + random.randint(0, 30)
        push = drawing.push(drawing.stream(), begin_s, random.choice([40, 80, 120]))
        drawing.push_told(push)
        if random.random() < 0.5:
            drawing.media_told(push, random.randint(0, 2))


def _stopless(drawing: Drawing) -> None:
    """A stream whose stops never come, as no stop URL is configured."""
    random = drawing.random
    drawing.note("a stream whose stops never come")
    clock_s = drawing.begin_s
    drawing.rates.startless = min(drawing.rates.startless, 0.1)
    apps = random.choice([APPS[:1], APPS])
    count = {3: 40, 7: 110}.get(drawing.rank, random.randint(5, 16))
    for _ in range(count):
        length_s = random.choice([10, 30, 60])
        push = drawing.push(drawing.stream(), clock_s, length_s, app=random.choice(apps))
        drawing.push_told(push, stops=False)
        drawing.media_told(push, random.randint(0, 2 if count < 40 else 1), recorded=random.random() < 0.3)
        clock_s += length_s + random.choice([0, 5, 60])


def _half_a_day(drawing: Drawing) -> None:
    """Lost starts and stops whose reach ends half a day later, and media near those ends."""
    random = drawing.random
    drawing.note("media half a day away")
    stream_id, clock_s = drawing.stream(), drawing.begin_s
    if random.random() < 0.4:
        lost = drawing.push(stream_id, clock_s, 600, app=APPS[0], appname="live")
        newer = drawing.push(stream_id, clock_s + 3600, 600, app=APPS[0], appname="live")
        drawing.push_told(lost, starts=True, stops=False)
        drawing.push_told(newer, starts=True, stops=True)
        drawing.note("media after the reach of a lost stop")
        for _ in range(2):
            about_s = newer.start_s + HALF_A_DAY_S + random.choice([-4, 4, 30, 900])
            drawing.screenshot_told(lost, about_s)
            drawing.file_told(lost, about_s, about_s + random.choice([0, 60]))
        return
    for _ in range(random.randint(1, 3)):
        push = drawing.push(stream_id, clock_s, random.choice([60, 3600]))
        told = random.choice(["start", "stop", "both", "neither"])
        drawing.push_told(push, starts=told in ("start", "both"), stops=told in ("stop", "both"))
        for _ in range(random.randint(1, 4)):
            about_s = random.choice([push.start_s, push.until_s(), push.start_s + HALF_A_DAY_S])
            about_s += random.choice([-HALF_A_DAY_S, 0, HALF_A_DAY_S]) + random.randint(-30, 30)
            if random.random() < 0.5:
                drawing.screenshot_told(push, about_s)
            else:
                drawing.file_told(push, about_s - random.choice([5, 100]), about_s)
        clock_s += random.choice([600, 7200, HALF_A_DAY_S, HALF_A_DAY_S + 5])


def _shared(drawing: Drawing) -> None:
    """One sequence under two streams, or a sequence of zeros."""
    random = drawing.random
    sequence = drawing.sequence()
    if drawing.rank % 2 == 0 and drawing.rank // 2 < SEQUENCE_CHARACTERS_MAX:
        sequence = "0" * (1 + drawing.rank // 2)  # of its own: all that have it would be one push's
        drawing.note("a sequence of zeros")
    cams = random.choice([1, 2]) if not sequence.strip("0") else 2
    if cams > 1:
        drawing.note("a sequence under two streams")
    for cam in range(1, 1 + cams):
        start_s = drawing.begin_s + random.randint(0, 40)
        push = drawing.push(drawing.stream(cam), start_s, random.choice([20, 60]), sequence=sequence)
        drawing.push_told(push)
        drawing.media_told(push, 1)
        if random.random() < 0.5:
            later = drawing.push(drawing.stream(cam), start_s + 90, 30)
            drawing.push_told(later)


def _many_contents(drawing: Drawing) -> None:
    """One push of which many different starts and stops are told."""
    random = drawing.random
    push = drawing.push(drawing.stream(), drawing.begin_s, 120)
    drawing.push_told(push, starts=True, stops=True)
    contents = random.choice([3, 6, 12])
    drawing.note("more contents than are kept" if contents > 8 else "many contents")
    for number in range(contents):
        at_s = push.start_s + random.randint(-30, 30)
        body = bodies.started(push, at_s) | {"node": f"198.51.100.{number}"}
        drawing.tell(body, push.start_s)
        if random.random() < 0.5:
            at_s = push.until_s() + random.randint(-30, 30)
            drawing.tell(bodies.stopped(push, at_s, 1000 * (60 + number), 1, "ok"), push.until_s())
    drawing.media_told(push, 3)
    file = bodies.recording(
        push, f"file-{drawing.number}-many", "flv", push.start_s, push.start_s + 50, "task"
    )
    for number in range(random.randint(2, 12)):
        drawing.tell(file | {"file_size": number}, push.start_s + 50)


def _pushless(drawing: Drawing) -> None:
    """Media without any push, notifications without a stream, pushes without a sequence."""
    random = drawing.random
    push = drawing.push(drawing.stream(), drawing.begin_s, 60)
    drawing.media_told(push, random.randint(1, 3))
    drawing.note("media without a push")
    if random.random() < 0.6:
        body = bodies.other(random.choice([315, 348, 999]), push, push.start_s, str(drawing.next()))
        for name in ("stream_id", "sequence"):
            body.pop(name, None)
        drawing.note("a notification without a stream")
        drawing.tell(body | {"extra": drawing.name}, push.start_s)
    if random.random() < 0.5:
        at_s = push.start_s
        body = random.choice([bodies.started(push, at_s), bodies.stopped(push, at_s, 60_000, 1, "ok")])
        body["sequence"] = random.choice([None, "", 1.5, "no sequence!"])
        drawing.note("a push without a sequence")
        drawing.tell(body, at_s)
    if random.random() < 0.4:
        body = bodies.screenshot(push, push.start_s, f"/{drawing.name}/x.jpg")
        body["stream_id"] = random.choice([None, "", ["x"], "a\0b", "x" * 257])
        if random.random() < 0.5:
            del body["channel_id"]
        drawing.note("a medium without a stream")
        drawing.tell(body, push.start_s)
    _others(drawing, drawing.stream(), 0.5)


FORMS = ("spaces", "tilde", "emoji", "chinese", "gbk", "gbk", "channel", "channel", "number", "slash", "long")
"""Of names that are none of the plain ones."""


def _named_oddly(drawing: Drawing) -> None:
    """Streams whose names are none of the plain ones."""
    random = drawing.random
    name = drawing.stream()
    form = random.choice(FORMS)
    drawing.note(f"a stream's name: {form}")
    odd = {
        "spaces": f"  {name} two ",
        "tilde": f"~{name}",
        "emoji": f"{name}-👩‍👩‍👧",
        "chinese": f"{name}-直播间",
        "number": f"{name}%2F100%",
        "slash": f"{name}/../b?c=d&e",
        "long": name + "x" * 240,
    }.get(form, name)
    push = drawing.push(odd, drawing.begin_s, 60)
    at_s, end_s = push.start_s, push.until_s()
    told = [
        (bodies.started(push, at_s), at_s),
        (bodies.stopped(push, end_s, 60_000, 1, "ok"), end_s),
        (bodies.screenshot(push, at_s + 9, bodies.picture_path(push, at_s + 9)), at_s + 9),
        (bodies.recording(push, f"file-{drawing.number}-odd", "flv", at_s, end_s, "task"), end_s),
    ]
    for body, happened_s in told:
        if form == "channel":
            del body["stream_id"]
        if form == "gbk":
            at_ms = happened_s * 1000 + random.randint(0, 2000)
            signed = drawing.signed(body, happened_s + VALIDITY_S)
            sent = spelling.usual(signed).replace(name.encode(), f"{name}-直播".encode("gbk"))
            drawing.send(sent, at_ms, originator=f"{name}-gbk" if random.random() < 0.2 else None)
            if random.random() < 0.3:
                drawing.send(sent, at_ms + 60_000)
        else:
            drawing.tell(body, happened_s)


def _errors_only(drawing: Drawing) -> None:
    """Push errors, or types not modelled, name a push of which nothing else is told."""
    random = drawing.random
    push = drawing.push(drawing.stream(), drawing.begin_s, 60)
    drawing.note("push errors alone")
    drawing.errors_told(push)
    if drawing.rank == 9:
        drawing.note("more push errors than are listed")
        drawing.rates = Rates()
        for second in range(110):
            drawing.tell(
                bodies.push_error(push, (push.start_s + second) * 1000, {6: 1}), push.start_s + second
            )
    if random.random() < 0.5:
        drawing.tell(bodies.other(999, push, push.start_s, str(drawing.next())), push.start_s)
    if random.random() < 0.6:
        drawing.media_told(push, 2)
    if random.random() < 0.4:
        later = drawing.push(drawing.stream(), drawing.begin_s + 80, None)
        drawing.push_told(later)
        drawing.media_told(later, 1)


def _retried(drawing: Drawing) -> None:
    """A receiver that answers badly for a quarter of an hour: everything comes again and again."""
    drawing.note("everything is retried")
    drawing.rates.copied = 1.0
    drawing.rates.lost = 0.0
    push = drawing.push(drawing.stream(), drawing.begin_s, drawing.random.choice([60, 200]))
    drawing.push_told(push)
    drawing.media_told(push, 2)
    if drawing.rank == 3:
        drawing.note("more copies than are shown")
        body = bodies.screenshot(push, push.start_s, f"/{drawing.name}/again.jpg")
        sent = spelling.usual(drawing.signed(body, push.start_s + VALIDITY_S))
        for second in range(60):
            drawing.send(sent, (push.start_s + 7 * second) * 1000)


def _steady(drawing: Drawing) -> None:
    """A push that gives signs by a rhythm of its own, and falls silent, or does not."""
    random = drawing.random
    interval_s = random.choice([5, 20, 60, 300])
    signs = random.choice([10, 30, 50])
    drawing.note("signs by a rhythm")
    drawing.rates.shuffled = False
    push = drawing.push(
        drawing.stream(), drawing.begin_s, None if random.random() < 0.7 else interval_s * signs
    )
    drawing.push_told(push, starts=True)
    recorded = random.random() < 0.4
    for number in range(signs):
        at_s = push.start_s + interval_s * number + random.choice([0, 0, 1])
        if recorded:
            drawing.file_told(push, at_s, at_s + interval_s)
        else:
            drawing.screenshot_told(push, at_s)


def _refused(drawing: Drawing) -> None:
    """A push that goes on while rivals at its name are refused, or replace it."""
    random = drawing.random
    drawing.note("a rival is refused")
    push = drawing.push(drawing.stream(), drawing.begin_s, None)
    drawing.push_told(push, starts=True)
    drawing.media_told(push, 2, recorded=False)
    for number in range(random.randint(1, 3)):
        start_s = push.start_s + 20 + 15 * number
        rival = drawing.push(drawing.stream(), start_s, random.choice([0, 1]), app=push.app)
        drawing.tell(bodies.started(rival, start_s), start_s)
        errcode, errmsg = random.choice([(18, "push refused"), (19, "no"), (21, "replaced")])
        drawing.tell(bodies.stopped(rival, rival.until_s(), 0, errcode, errmsg), rival.until_s())


PLOTS: dict[str, Callable[[Drawing], None]] = {
    "ordinary": _ordinary,
    "resumed": _resumed,
    "crowd": _crowd,
    "stopless": _stopless,
    "half a day": _half_a_day,
    "shared": _shared,
    "many contents": _many_contents,
    "pushless": _pushless,
    "named oddly": _named_oddly,
    "errors only": _errors_only,
    "retried": _retried,
    "refused": _refused,
    "steady": _steady,
}

WEIGHTS = {
    "ordinary": 43,
    "resumed": 8,
    "crowd": 5,
    "stopless": 5,
    "half a day": 5,
    "shared": 6,
    "many contents": 4,
    "pushless": 5,
    "named oddly": 5,
    "errors only": 5,
    "retried": 3,
    "refused": 3,
    "steady": 3,
}
"""Of a hundred histories so many have each plot."""
