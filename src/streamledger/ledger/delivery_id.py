"""The id that every delivery gets at receipt: a version 7 UUID (RFC 9562), so indexes grow at their end."""

import os
import uuid


def new_delivery_id(now_us: int) -> uuid.UUID:
    """A fresh id for a delivery received at `now_us` (microseconds since 1970 UTC)."""
    millis = (now_us // 1000) & 0xFFFF_FFFF_FFFF
    random_bits = int.from_bytes(os.urandom(10), "big")
    value = millis << 80 | (random_bits & ((1 << 80) - 1))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)
