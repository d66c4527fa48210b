"""Who sends: which addresses are known to be the sender's, which keys stand side by side, and which pairs of
`t` and `sign` came from more than one side. A pure fold of the believed deliveries in ledger order.

The protocol documents no addresses. One that was the first to show three distinct verified `t` must have been
told them by whoever signs: a captured pair of `t` and `sign` cannot make that.
"""

from typing import Final

import msgspec

KNOWN_BY_T_MIN: Final = 3
"""So many distinct `t` must an address have been the first to show."""

T_AWAY_S_MAX: Final = 1000
"""A delivery whose `t` lies further from its own receipt tells nothing of senders."""

PAIRS_MAX: Final = 16_384
"""Pairs that are remembered, the last that came: if sixteen keys sign every second, as long as one can be
believed. Not those of the latest `t`: a ledger may take in old logs after new ones (ADR 0051)."""

SIDE_BY_SIDE_S_MIN: Final = 60
"""A key that still signs so long after another one began was not replaced by it."""

POSITIONS_MAX: Final = 16
"""Deliveries of one pair that are remembered until a second address tells that they need a mark."""


ADDRESSES_MAX: Final = 2
"""From which a pair came that are remembered: that there is a second one is all that matters."""


class Shown(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What this fold looks at in one delivery: those without a `t`, a key or an address tell nothing."""

    position: int
    source_ip: str
    key: str
    t_s: int
    sign: str


class Pair(msgspec.Struct):
    """One `t` and `sign`: from where it came, and what came with it from addresses not known."""

    position: int
    """Of the delivery that showed it first."""
    from_known: bool
    positions: list[int]
    """Of those from addresses that were not known, until they are marked."""
    addresses: list[str]


class KeyUse(msgspec.Struct):
    """From when until when a key is known to have signed."""

    from_s: int
    until_s: int


class Senders:
    """All that is known of senders up to a position; small, but for the pairs of the last minutes."""

    def __init__(self) -> None:
        self.known_from: dict[str, int] = {}
        """Of each address that is known, the position from which on."""
        self.shown: dict[str, tuple[int, ...]] = {}
        """Of each that is not, the distinct `t` that it was the first to show."""
        self.keys: dict[str, KeyUse] = {}
        self.beside_from: dict[tuple[str, str], int] = {}
        """Of two keys, in order, that stand side by side, the position from which on that is known."""
        self.pairs: dict[tuple[int, str], Pair] = {}
        """In the order in which they came."""
        self.changed_addresses: set[str] = set()
        self.changed_keys: set[str] = set()
        self.changed_pairs: set[tuple[int, str]] = set()
        self.gone_pairs: set[tuple[int, str]] = set()
        """What was changed, and which were forgotten, since somebody cleared these, for those who keep it."""

    def take(self, shown: Shown) -> list[int]:
        """Take one delivery in; returns the positions to be marked: this one's, or earlier ones'."""
        t_s = shown.t_s
        use = self.keys.get(shown.key)
        if use is None or not use.from_s <= t_s <= use.until_s:
            self._use_key(shown)
        pair = self.pairs.get((t_s, shown.sign))
        if pair is None:
            self._first_shown(shown)
            known = shown.source_ip in self.known_from
            self.pairs[t_s, shown.sign] = Pair(
                position=shown.position,
                from_known=known,
                positions=[] if known else [shown.position],
                addresses=[shown.source_ip],
            )
            self.changed_pairs.add((t_s, shown.sign))
            self._forget()
            return []
        if len(pair.addresses) >= ADDRESSES_MAX or shown.source_ip in pair.addresses:
            is_known = shown.source_ip in self.known_from
            is_full = len(pair.positions) >= POSITIONS_MAX
            if is_known if pair.from_known else is_full and not is_known:
                return []  # as nearly all: it says nothing new
        return self._again(pair, shown)

    def is_known(self, source_ip: str, position: int) -> bool:
        """Whether an address was known to be the sender's at this position."""
        return self.known_from.get(source_ip, position + 1) <= position

    def keys_beside(self, key: str | None, position: int) -> tuple[str, ...]:
        """The keys that were known to stand side by side with this one at this position."""
        return tuple(
            sorted(
                one if other == key else other
                for (one, other), from_position in self.beside_from.items()
                if key in (one, other) and from_position <= position
            )
        )

    def _first_shown(self, shown: Shown) -> None:
        if shown.source_ip in self.known_from:
            return
        before = self.shown.get(shown.source_ip, ())
        if shown.t_s in before:
            return
        self.changed_addresses.add(shown.source_ip)
        if len(before) + 1 >= KNOWN_BY_T_MIN:
            self.shown.pop(shown.source_ip, None)
            self.known_from[shown.source_ip] = shown.position
        else:
            self.shown[shown.source_ip] = (*before, shown.t_s)

    def _again(self, pair: Pair, shown: Shown) -> list[int]:
        """A pair shown before: what came of it from unknown addresses, if another one of it is known."""
        if shown.source_ip in self.known_from:
            pair.from_known = True
        elif len(pair.positions) < POSITIONS_MAX:
            pair.positions.append(shown.position)
        if shown.source_ip not in pair.addresses and len(pair.addresses) < ADDRESSES_MAX:
            pair.addresses.append(shown.source_ip)
        self.changed_pairs.add((shown.t_s, shown.sign))
        if not pair.from_known or len(pair.addresses) < ADDRESSES_MAX:
            return []
        found, pair.positions = pair.positions, []
        return found

    def _use_key(self, shown: Shown) -> None:
        use = self.keys.get(shown.key)
        if use is None:
            self.keys[shown.key] = KeyUse(shown.t_s, shown.t_s)
            self.changed_keys.add(shown.key)
            return
        use.from_s, use.until_s = min(use.from_s, shown.t_s), max(use.until_s, shown.t_s)
        self.changed_keys.add(shown.key)
        for other, its in self.keys.items():
            names = (min(shown.key, other), max(shown.key, other))
            if other == shown.key or names in self.beside_from:
                continue
            overlap_s = min(use.until_s, its.until_s) - max(use.from_s, its.from_s)
            if overlap_s >= SIDE_BY_SIDE_S_MIN:
                self.beside_from[names] = shown.position

    def _forget(self) -> None:
        """Drop the first that came."""
        if len(self.pairs) > PAIRS_MAX:
            first = next(iter(self.pairs))
            del self.pairs[first]
            self.changed_pairs.discard(first)
            self.gone_pairs.add(first)
