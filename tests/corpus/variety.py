"""Command: how varied the corpus is: in how many histories each trouble, reason, class and state occurs.

python -m tests.corpus.variety
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tests.corpus import kept
from tests.corpus.comparing import WHOLE
from tests.corpus.kept import History
from tests.corpus.plots import WEIGHTS

MUST_OCCUR = {
    "plot": ", ".join(WEIGHTS),
    "attribution": "inside, near, sticks_out, start_unknown, stop_missing, only_candidate, fits_best,"
    " stream_param, several, rivals, last_open",
    "confidence": "certain, probable, ambiguous",
    "candidate": "chosen, alternative, other_place, too_far, touches_only",
    "anomaly": "duration_mismatch, place_conflict, push_errors_only, sequence_shared, sequence_zero,"
    " start_conflict, start_missing, stop_before_start, stop_conflict, unreadable_field",
    "state": "ended, live, suspect",
    "state reason": "silence, newer_push, recording_ended",
    "presence": "live, suspect, offline",
    "start source": "reported, inferred, None",
    "duration source": "reported, measured, running, None",
    "stop": "clean, client_network, client_content, idle, platform, refused, replaced, unknown",
    "rule of a field": "earliest_start, latest_stop, start_inferred, nothing_known, start_before_stop,"
    " first_frame, leading, stop_known, no_stop, duration_reported, duration_measured, duration_running,"
    " suspected, identity, attributed, all_deliveries, push_errors, compared, last_delivery",
    "delivery": "first, retry, late_retry, replay, conflict, released",
    "evidence": "on_schedule, sent_twice, other_address, older_t, off_schedule, signed_early, after_t,"
    " other_content, operator_decision",
    "t beside the first": "same, renewed, older, absent",
    "schedule": "2016, seed, today, presumed",
    "kind": "push_started, push_stopped, recording, screenshot, push_error, recording_status,"
    " recording_exception, other",
    "mended": "bom, invalid_utf8, lone_surrogate, number_out_of_range, json5",
    "broadcast": "ended, live, suspect, of several sessions, with a gap",
    "a moment": "known_at, as_of, slack_s, unknown then",
    "refused": "404, 409",
}
"""What every corpus must hold, in at least one history each."""


def found_in(history: History) -> set[tuple[str, str]]:
    """What occurs in one history: pairs of a heading and what occurs under it."""
    found = {("plot", history.plot)} | {("trouble", trouble) for trouble in history.troubles}
    for each in history.asked:
        answer = msgspec.json.decode(each.answer)
        for name in ("known_at", "as_of", "slack_s"):
            if name in each.question:
                found.add(("a moment", name))
        if isinstance(answer, dict) and "status" in answer:
            found.add(("refused", str(answer["status"])))
            if "was not known" in answer["detail"] or "unknown" in answer["detail"]:
                found.add(("a moment", "unknown then"))
            continue
        found |= set(_OF.get(each.question["ask"], _of_nothing)(answer))
    return found


def _of_nothing(_: Any) -> Iterator[tuple[str, str]]:
    yield from ()


def _of_session(answer: Any) -> Iterator[tuple[str, str]]:
    yield "state", answer["state"]
    yield from (("state reason", reason) for reason in answer["state_reasons"])
    yield "start source", str(answer["start_source"])
    yield "duration source", str(answer["duration_source"])
    if answer["stop"] is not None:
        yield "stop", answer["stop"]["class"]
    yield from (("anomaly", each["code"]) for each in answer["anomalies"])


def _of_explanation(answer: Any) -> Iterator[tuple[str, str]]:
    yield from _of_session(answer["session"])
    yield from (("rule of a field", each["rule"]["code"]) for each in answer["fields"])
    for each in answer["attributions"]:
        yield "confidence", each["confidence"]
        yield from (("attribution", rule["code"]) for rule in each["because"])
        yield from (("candidate", candidate["outcome"]) for candidate in each["candidates"])


def _of_timeline(answer: Any) -> Iterator[tuple[str, str]]:
    yield from (("kind", each["kind"]) for each in answer)


def _of_deliveries(answer: Any) -> Iterator[tuple[str, str]]:
    for each in answer:
        evidence = each["evidence"]
        yield "delivery", each["class"]
        yield from (("evidence", code) for code in evidence.get("because", ()))
        if "t" in evidence:
            yield "t beside the first", evidence["t"]
        if "grid" in evidence:
            yield "schedule", evidence["grid"]["era"]


def _of_delivery(answer: Any) -> Iterator[tuple[str, str]]:
    yield from (("mended", way) for way in answer["mended"])


def _of_broadcasts(answer: Any) -> Iterator[tuple[str, str]]:
    for each in answer:
        yield "broadcast", each["state"]
        if len(each["parts"]) > 1:
            yield "broadcast", "of several sessions"
        if each["gaps"]:
            yield "broadcast", "with a gap"


_OF = {
    "session": _of_session,
    "explain": _of_explanation,
    "timeline": _of_timeline,
    "notifications": _of_timeline,
    "deliveries": _of_deliveries,
    "delivery": _of_delivery,
    "broadcasts": _of_broadcasts,
    "stream": lambda answer: [("presence", answer["presence"])],
}


def count(histories: Iterable[History]) -> Counter[tuple[str, str]]:
    """In how many histories each thing occurs."""
    counts: Counter[tuple[str, str]] = Counter()
    for history in histories:
        if history.name != WHOLE:
            counts.update(found_in(history))
    return counts


def missing(counts: Counter[tuple[str, str]]) -> list[tuple[str, str]]:
    """What must occur and does not."""
    return [
        (heading, what)
        for heading, all_of in MUST_OCCUR.items()
        for what in all_of.split(", ")
        if not counts[heading, what]
    ]


def main() -> None:
    """Print the table."""
    counts = count(kept.read_histories())
    for heading in [*MUST_OCCUR, "trouble"]:
        print(heading)
        rows = [(what, number) for (under, what), number in counts.items() if under == heading]
        for what, number in sorted(rows, key=lambda row: (-row[1], row[0])):
            print(f"  {number:5} {what}")
    for heading, what in missing(counts):
        print(f"MISSING {heading}: {what}")


if __name__ == "__main__":
    main()
