"""What a rebuild would change, in sentences: kind by kind, how often, and the first examples."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from streamledger.domain.rebuild_answers import Change

_PLACES: Final = {
    None: "were not there",
    "none": "belonged to no session",
    "session": "belonged to a session",
}
_NOW: Final = {None: "are gone", "none": "belong to none", "session": "belong to a session"}
_MEDIA: Final = {
    "recording": ("recording", "recordings"),
    "screenshot": ("screenshot", "screenshots"),
    "recording_status": ("report of the recorder", "reports of the recorder"),
    "recording_exception": ("recording exception", "recording exceptions"),
}
_FIELDS: Final = {
    "started_at": "start",
    "ended_at": "stop",
    "duration_ms": "duration in ms",
    "errcode": "errcode of the stop",
    "recordings": "number of recordings",
    "screenshots": "number of screenshots",
    "recorded_ms": "recorded time in ms",
    "anomalies": "anomalies",
}
_CERTAINTY: Final = "_certainty"


def lines_of(changes: Sequence[Change], examples: int | None = None) -> Iterator[str]:
    """A line for each kind of change with its count, and one for each of so many examples; all without."""
    for each in changes:
        yield f"  {_headline(each)}"
        shown = each.examples[:examples]
        for example in shown:
            yield f"    {_example(each, example)}"
        told = sum(example.get("count", 1) for example in shown)
        if shown and told < each.count:
            yield f"    and {each.count - told} more"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _headline(each: Change) -> str:
    if each.what == "session":
        verb = "appear" if each.before is None else "disappear"
        state = each.after if each.before is None else each.before
        verb += "s" * (each.count == 1)
        return f"{_counted(each.count, 'session', 'sessions')}, {state}: {verb}"
    if each.what == "state" and each.before == each.after:
        return f"{_counted(each.count, 'session', 'sessions')}: {each.before} for other reasons"
    if each.what == "state":
        return f"{_counted(each.count, 'session', 'sessions')}: state {each.before} -> {each.after}"
    if each.what == "delivery":
        return f"{_counted(each.count, 'delivery', 'deliveries')}: {each.before} -> {each.after}"
    if each.what in _MEDIA:
        counted = _counted(each.count, *_MEDIA[each.what])
        if each.before == each.after:
            return f"{counted}: to another session"
        return f"{counted}: {_PLACES[each.before]}, {_NOW[each.after]}"
    kind = each.what.removesuffix(_CERTAINTY)
    if kind in _MEDIA:
        counted = _counted(each.count, *_MEDIA[kind])
        return f"{counted}: attribution {each.before} -> {each.after}"
    return f"{_counted(each.count, 'session', 'sessions')}: another {_FIELDS.get(each.what, each.what)}"


def _example(each: Change, example: dict[str, Any]) -> str:
    stream = example["stream_id"]
    session = f"session {example.get('sequence')} of {stream}"
    if each.what == "session":
        return session + _because(example["reasons"], example["ended_at"])
    if each.what == "state":
        before = f"{each.before}{_because(example['reasons_before'], None)}"
        return f"{session}: {before} -> {each.after}{_because(example['reasons_after'], example['ended_at'])}"
    if each.what == "delivery":
        of = f"{session}" if example["sequence"] else stream or "no stream"
        return f"delivery {example['position']} of {of}: {each.before} -> {each.after}"
    if each.what in _MEDIA:
        counted = _counted(example["count"], *_MEDIA[each.what])
        moved = f"{_session(example['before'])} -> {_session(example['after'])}"
        return f"{stream}: {counted} {'moves' if example['count'] == 1 else 'move'}, {moved}"
    if each.what.removesuffix(_CERTAINTY) in _MEDIA:
        counted = _counted(example["count"], *_MEDIA[each.what.removesuffix(_CERTAINTY)])
        return f"{session}: {counted} {each.before} -> {each.after}"
    return f"{session}: {_value(example['before'])} -> {_value(example['after'])}"


def _because(reasons: Sequence[str], ended_at: str | None) -> str:
    told = list(reasons) if ended_at is None else [f"its stop was {ended_at}"]
    return f" ({', '.join(told)})" if told else ""


def _session(sequence: str | None) -> str:
    return "nowhere" if sequence is None else f"session {sequence}" if sequence else "no session"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
