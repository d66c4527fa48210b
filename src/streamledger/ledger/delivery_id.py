"""The id that every delivery gets at receipt: a version 7 UUID (RFC 9562), so indexes grow at their end."""

import os
import random
import uuid
from typing import Final

_VERSION_AND_VARIANT: Final = 0x7 << 76 | 0x2 << 62
_FREE_BITS: Final = ~(0xF << 76 | 0x3 << 62)

# Unique, not secret: a generator seeded by the system once a process saves a system call a delivery.
_random: Final = random.Random(os.urandom(32))  # noqa: S311  # the ids authorise nothing
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))


def new_delivery_id(now_us: int) -> uuid.UUID:
    """A fresh id for a delivery received at `now_us` (microseconds since 1970 UTC)."""
    value = (now_us // 1000 & 0xFFFF_FFFF_FFFF) << 80 | _random.getrandbits(80)
    return uuid.UUID(int=value & _FREE_BITS | _VERSION_AND_VARIANT)
