"""How many refused deliveries of one address are looked after: a token bucket each, in a bounded table.

It never stands in the way of a genuine delivery: it is asked only once a delivery is known to be refused.
"""

import ipaddress
from collections import OrderedDict
from typing import Final

MINUTE_US: Final = 60_000_000
ADDRESSES_MAX: Final = 10_000
"""Addresses remembered. Beyond it the one seen longest ago is forgotten, and starts afresh."""


REFUSAL_BYTES: Final = 4096
"""A refused body counts once, and once more for each of these."""

IPV6_NETWORK_BITS: Final = 64
"""One subscriber has as many addresses as such a network holds, so all of them share a bucket."""


class RefusalLimit:
    """Allows each address `per_minute_max` refusals, refilled evenly over a minute; 0 sets no limit."""

    def __init__(self, per_minute_max: int, addresses_max: int = ADDRESSES_MAX) -> None:
        self._per_minute_max = per_minute_max
        self._addresses_max = addresses_max
        # What is left of a bucket, in refusals times microseconds a minute: whole numbers do not drift.
        self._buckets: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def allows(self, address: str, now_us: int, size: int = 0) -> bool:
        """Whether one more refusal of this address is kept or looked into; takes it from its bucket.

        One of many bytes counts as several; the last one that is allowed may take what is not there yet.
        """
        if self._per_minute_max == 0:
            return True
        owner = owner_of(address)
        left = self._left(owner, now_us)
        allowed = left >= MINUTE_US
        self._buckets.pop(owner, None)
        self._buckets[owner] = (left - weight_of(size) * MINUTE_US if allowed else left, now_us)
        if len(self._buckets) > self._addresses_max:
            self._buckets.popitem(last=False)
        return allowed

    def is_used_up(self, address: str, now_us: int) -> bool:
        """Whether the next refusal of this address would not be allowed; takes nothing."""
        return self._per_minute_max > 0 and self._left(owner_of(address), now_us) < MINUTE_US

    def _left(self, owner: str, now_us: int) -> int:
        full = self._per_minute_max * MINUTE_US
        left, since_us = self._buckets.get(owner, (full, now_us))
        return min(full, left + max(0, now_us - since_us) * self._per_minute_max)

    @property
    def retry_after_s(self) -> int:
        """Seconds until an exhausted bucket holds one again, at least 1."""
        return max(1, -(-60 // self._per_minute_max)) if self._per_minute_max else 1


def weight_of(size: int) -> int:
    """How many refusals a body of this many bytes counts as."""
    return 1 + size // REFUSAL_BYTES


def owner_of(address: str) -> str:
    """Whose limit counts: an IPv4 address, or the network of an IPv6 one."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(int(found) >> (128 - IPV6_NETWORK_BITS))
