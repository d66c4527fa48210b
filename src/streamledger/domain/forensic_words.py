"""Evidence in words: one line that a person can read, for the audit and the page."""

from collections.abc import Callable
from typing import Final

from streamledger.domain.forensics import REASONS, Evidence
from streamledger.domain.schedule_fit import Grid

WORDS: Final = {
    **{f"because_{code}": words for code, words in REASONS.items()},
    "separator": "; ",
    "span_d": "{count} d",
    "span_h": "{count} h",
    "span_min": "{count} min",
    "span_s": "{count} s",
    **{f"era_{era}": era for era in ("2016", "seed", "today", "presumed")},
    "comma": ", ",
    "after_first": "{since} after the first, position {position}",
    "before_first": "{since} before the first, position {position}",
    "differs": "differs in {fields}",
    "same_as": "as position {position} said before",
    "same_bytes": "the same bytes",
    "t_same": "with the t of the first",
    "t_renewed": "with a new t",
    "t_older": "with an older t",
    "t_absent": "without t",
    "other_key": "signed with the key {key}, not the first's",
    "signed_before": "signed {span} before what it reports",
    "other_address": "from {address}, the first came from {first}",
    "address_unknown": "an unknown address",
    "address_another": "another one",
    "t_passed": "its t had passed {span} before",
    "retry": "retry {number} of {schedule}",
    "nearest": "{because}; the nearest is {schedule}",
    "schedule_early": "the {interval} s schedule ({era}), {off} early",
    "schedule_late": "the {interval} s schedule ({era}), {off} late",
}
"""Every phrase that a line is made of, in English; the pages have them in other languages."""

Say = Callable[..., str]
"""From a key of WORDS and the facts in it to the phrase."""


def english(key: str, /, **facts: object) -> str:
    """The phrase as the JSON interface and the command line have it."""
    return WORDS[key].format(**facts)


def in_words(
    evidence: Evidence, source_ip: str, first_position: int | None, first_ip: str | None, say: Say = english
) -> str:
    """One line on why a delivery is classed as it is; the codes alone are in the evidence itself."""
    parts = []
    if evidence.since_first_s is not None and first_position is not None:
        key = "after_first" if evidence.since_first_s >= 0 else "before_first"
        parts.append(say(key, since=span(abs(evidence.since_first_s), say), position=first_position))
    parts += [
        _reason(code, evidence, source_ip, first_ip, say)
        for code in evidence.because
        if code != "signed_early"  # told below, with how long
    ]
    if evidence.differs:
        parts.append(say("differs", fields=say("comma").join(evidence.differs)))
    if evidence.same_as is not None:
        parts.append(say("same_as", position=evidence.same_as))
    if evidence.bytes == "same":
        parts.append(say("same_bytes"))
    elif evidence.t is not None:
        parts.append(say(f"t_{evidence.t}" if evidence.t in ("same", "renewed", "older") else "t_absent"))
    if evidence.key is not None:
        parts.append(say("other_key", key=evidence.key))
    if evidence.signed_after_s is not None and evidence.signed_after_s < 0:
        parts.append(say("signed_before", span=span(-evidence.signed_after_s, say)))
    return say("separator").join(parts)


def span(seconds: float, say: Say = english) -> str:
    """`0.4 s`, `59 s`, `12 min 5 s`, `1 h`, `3 d 2 h`: two units at most."""
    if seconds < 10:
        return say("span_s", count=f"{seconds:.1f}".removesuffix(".0"))
    rest = round(seconds)
    if rest < 60:
        return say("span_s", count=rest)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    counted = []
    for size, name in units:
        count, rest = divmod(rest, size)
        counted.append((count, name))
    begin = next(place for place, (count, _) in enumerate(counted) if count)
    return " ".join(say(f"span_{name}", count=count) for count, name in counted[begin : begin + 2] if count)


def _reason(code: str, evidence: Evidence, source_ip: str, first_ip: str | None, say: Say) -> str:
    if code == "other_address":
        return say(
            "other_address",
            address=source_ip or say("address_unknown"),
            first=first_ip or say("address_another"),
        )
    if code == "after_t" and evidence.late_s is not None:
        return say("t_passed", span=span(evidence.late_s, say))
    grid = evidence.grid
    if grid is not None and code == "on_schedule":
        return say("retry", number=grid.retry, schedule=_schedule(grid, say))
    because = say(f"because_{code}") if code in REASONS else code
    if grid is not None and code == "off_schedule":
        return say("nearest", because=because, schedule=_schedule(grid, say))
    return because


def _schedule(grid: Grid, say: Say) -> str:
    key = "schedule_early" if grid.distance_s < 0 else "schedule_late"
    off = span(abs(grid.distance_s), say)
    return say(key, interval=grid.interval_s, era=say(f"era_{grid.era}"), off=off)
