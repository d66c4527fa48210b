"""To which sessions a medium must be attributed: naive code that counts seconds, as `expectation` does.

It knows the rules only as docs/sessions.md and ADR 0008 state them, and imports nothing of the product.
"""

from dataclasses import dataclass

from tests.oracle.expectation import SLACK_S, Held, began, domain_of, push_param, same_place, was_refused
from tests.oracle.true_history import History, TrueItem, TruePush

REFUSED_S = 10
"""A push that is known to have lasted longer ran, whatever its stop says."""


@dataclass(frozen=True)
class Judged:
    """One session that an item must be attributed to."""

    sequence: str
    confidence: str
    alternatives: tuple[str, ...]


def by_address(item: TrueItem, push: TruePush) -> bool:
    """Whether one of both names an address for the push domain, and only an equal stream_param joins them."""
    known = domain_of(push)
    if item.param is None or item.param != push_param(push) or same_place(item.app, push):
        return False
    return item.app is not None and known is not None and item.app[0].isdigit() != known[0].isdigit()


def overlap(item: TrueItem, seconds: set[int]) -> int:
    """How many seconds of an item are among these, less one; negative numbers say how far they are off."""
    covered = set(range(item.at_s, item.until_s + 1)) & seconds
    if covered:
        return len(covered) - 1
    return -distance(set(range(item.at_s, item.until_s + 1)), seconds)


def distance(one: set[int], other: set[int]) -> int:
    """Seconds between the closest of two sets."""
    if one & other:
        return 0
    return min(abs(one_s - other_s) for one_s in (min(one), max(one)) for other_s in (min(other), max(other)))


def judge(item: TrueItem, history: History, held: Held) -> list[Judged]:
    """To which sessions an item must be attributed, in order of time: what times say, then the witnesses."""
    here = [
        push
        for push in history.known()
        if held.may[push.sequence] and (same_place(item.app, push) or by_address(item, push))
    ]
    may = {push.sequence: held.for_param(push, item.param) for push in history.known()}
    here = _without_refused(item, here, may, held.sure)
    told = _by_time(item, history, here, may, held)
    chosen = [each.sequence for each in told]
    around = set(range(item.began_s - SLACK_S, item.until_s + SLACK_S + 1))
    possible = [push for push in here if may[push.sequence] & around]
    named = [push for push in possible if item.param is not None and push_param(push) == item.param]
    writing = set(range(item.began_s - SLACK_S, item.began_s + SLACK_S + 1))
    begun = [push for push in possible if may[push.sequence] & writing]
    near = any(push.sequence in chosen for push in begun)
    gap = item.began_s < item.at_s - SLACK_S
    if near and not gap:
        begun = [push for push in possible if item.began_s in may[push.sequence]]
    others = [push for push in begun if push.sequence not in chosen]
    begun = others if len(others) == len(begun) or gap else []
    if not chosen or item.kind != "recording":
        begun = []
    witness = None
    if len(named) == 1:
        core = set(range(item.at_s + SLACK_S, item.until_s - SLACK_S + 1))
        alone = len(set(chosen)) > 1 and core <= may[named[0].sequence]
        witness = named[0] if alone or named[0].sequence not in chosen else None
    elif len(begun) == 1 and not near and not differ(item.param, push_param(begun[0])):
        spoken_for = begun[0] not in named and any(push.sequence in chosen for push in named)
        witness = None if spoken_for else begun[0]
    elif chosen and item.kind == "recording":
        # A file that began with a push, just then and with no other, is of that push.
        with_it = [push for push in possible if item.began_s in may[push.sequence]]
        spoken_for = any(push.sequence in chosen for push in named)
        if len(with_it) == 1 and with_it[0] in named:
            spoken_for = False
        if len(with_it) == 1 and with_it[0].sequence not in chosen and not spoken_for:
            started_s = began(with_it[0])[0]
            fresh = started_s is not None and item.began_s - min(may[with_it[0].sequence]) <= SLACK_S
            witness = with_it[0] if fresh and not differ(item.param, push_param(with_it[0])) else None
    if witness is not None:
        fits = item.began_s + item.until_s - item.at_s <= max(may[witness.sequence]) + SLACK_S
        also = [] if fits else told
        others = {push.sequence for push in possible} - {witness.sequence, *(each.sequence for each in also)}
        first = Judged(witness.sequence, "probable", tuple(sorted(others)))
        return [first, *(in_doubt(each) for each in also)]
    by_name = {push.sequence: push for push in here}
    return [_against(item, each, by_name.get(each.sequence), begun) for each in told]


def _without_refused(
    item: TrueItem, here: list[TruePush], may: dict[str, set[int]], sure: dict[str, set[int]]
) -> list[TruePush]:
    """Who was refused at once never ran: where another comes near, only its stream_param speaks for it."""
    around = set(range(item.at_s - SLACK_S, item.until_s + SLACK_S + 1))
    near = [push for push in here if may[push.sequence] & around]
    never_ran = [push for push in here if was_refused(push) and len(sure[push.sequence]) <= REFUSED_S + 1]
    if all(push in never_ran for push in near):
        return here
    named = [push for push in near if item.param is not None and push_param(push) == item.param]
    return [push for push in here if push not in never_ran or named == [push]]


def _against(item: TrueItem, each: Judged, push: TruePush | None, begun: list[TruePush]) -> Judged:
    """What times say, with what the witnesses say against it."""
    if push is None:
        return each
    if differ(item.param, push_param(push)) or by_address(item, push):
        each = in_doubt(each)
    if begun:
        names = {*each.alternatives, *(push.sequence for push in begun)}
        each = in_doubt(Judged(each.sequence, each.confidence, tuple(sorted(names))))
    return each


def in_doubt(each: Judged) -> Judged:
    """The same, not certain."""
    confidence = "probable" if each.confidence == "certain" else each.confidence
    return Judged(each.sequence, confidence, each.alternatives)


def differ(one: str | None, other: str | None) -> bool:
    """Whether both are known and not the same."""
    return one is not None and other is not None and one != other


def _by_time(
    item: TrueItem, history: History, here: list[TruePush], may: dict[str, set[int]], held: Held
) -> list[Judged]:
    """What the times say of the pushes at an item's place."""
    sure, firsts = held.sure, held.firsts
    around = set(range(item.at_s - SLACK_S, item.until_s + SLACK_S + 1))
    near = [push for push in here if may[push.sequence] & around]
    if not near:
        return _last_open(item, history.known(), firsts)
    long = item.until_s - item.at_s > 2 * SLACK_S
    middle_ms = (item.at_s + item.until_s) * 500
    core = set(range(item.at_s + SLACK_S, item.until_s - SLACK_S + 1))
    if long and any(may[push.sequence] & core for push in near):
        return _long(item, near, may, sure, core)

    def off(seconds: set[int]) -> int:
        if long:
            return 1000 * distance(core, seconds)
        return max(0, min(seconds) * 1000 - middle_ms, middle_ms - max(seconds) * 1000)

    scores: dict[str, tuple[int, int]] = {}
    for push in near:
        surely = bool(sure[push.sequence] & around)
        gap = off(sure[push.sequence] if surely else may[push.sequence])
        scores[push.sequence] = ((0 if surely else 2) + (1 if gap else 0), gap)
    best = min(scores.values())
    tied = [push for push in near if scores[push.sequence] == best]
    winner = min(tied, key=lambda push: (firsts[push.sequence], push.sequence))
    witnesses = [push for push in near if item.param is not None and push_param(push) == item.param]
    if len(near) > 1 and len(witnesses) == 1:
        winner, tied = witnesses[0], witnesses
    others = tuple(sorted(push.sequence for push in near if push is not winner))
    if len(tied) > 1:
        confidence = "ambiguous"
    elif not others and scores[winner.sequence][0] == 0 and began(winner)[0] is not None:
        confidence = "certain"
    else:
        confidence = "probable"
    return [Judged(winner.sequence, confidence, others)]


def _last_open(item: TrueItem, pushes: list[TruePush], firsts: dict[str, int]) -> list[Judged]:
    """The latest push without a stop that began before an item."""
    fitting = [
        (firsts[push.sequence], push.sequence)
        for push in pushes
        if not push.has_stop and push.sequence in firsts and same_place(item.app, push)
    ]
    before = [each for each in fitting if each[0] <= item.at_s + SLACK_S]
    return [Judged(max(before)[1], "probable", ())] if before else []


def _long(
    item: TrueItem,
    near: list[TruePush],
    may: dict[str, set[int]],
    sure: dict[str, set[int]],
    core: set[int],
) -> list[Judged]:
    """A file: a push that ran all the while, else one of each group that ran at the same time."""
    held = [push for push in near if may[push.sequence] & core]
    surely = [push for push in held if sure[push.sequence] & core]
    seconds = sure if surely else may
    groups: list[list[TruePush]] = []
    whole = [push for push in surely or held if core <= seconds[push.sequence]]
    ends = [push for push in near if push not in held and overlap(item, sure[push.sequence]) > 0]
    if surely and not whole:
        surely = surely + ends
    rivals = sorted(
        surely or held, key=lambda p: (min(seconds[p.sequence]), max(seconds[p.sequence]), p.sequence)
    )
    if whole:
        groups, rivals = [whole], whole
    for push in [] if whole else rivals:
        begins_s = max(min(seconds[push.sequence]), item.at_s)
        reach_s = [min(max(seconds[each.sequence]), item.until_s) for each in (groups[-1] if groups else [])]
        if reach_s and max(reach_s) - begins_s > SLACK_S:
            groups[-1].append(push)
        else:
            groups.append([push])
    judged: dict[str, Judged] = {}
    for number, group in enumerate(groups):
        window = range(
            max(item.at_s, min(min(seconds[push.sequence]) for push in group)),
            min(item.until_s, max(max(seconds[push.sequence]) for push in group)) + 1,
        )
        doubtful = [push for push in held if push not in rivals and may[push.sequence] & set(window)]
        pool = group + doubtful
        most = max(overlap(item, seconds[push.sequence]) for push in group)
        tied = [push for push in group if overlap(item, seconds[push.sequence]) == most]
        winner = min(tied, key=lambda push: (min(may[push.sequence]), push.sequence))
        witnesses = [push for push in pool if item.param is not None and push_param(push) == item.param]
        witnessed = len(pool) > 1 and len(witnesses) == 1
        if witnessed:
            winner = witnesses[0]
        extent = seconds[winner.sequence] if winner in group else may[winner.sequence]
        fits = (number > 0 or item.at_s + SLACK_S >= min(extent)) and (
            number + 1 < len(groups) or item.until_s - SLACK_S <= max(extent)
        )
        if witnessed:
            confidence = "probable"
        elif len(group) > 1:
            confidence = "ambiguous"
        elif doubtful or not fits or not surely or began(winner)[0] is None or len(groups) > 1:
            confidence = "probable"
        else:
            confidence = "certain"
        others = tuple(sorted(push.sequence for push in pool if push is not winner))
        judged.setdefault(winner.sequence, Judged(winner.sequence, confidence, others))
    return list(judged.values())
