"""Who acts on the ledger: released, made a token, imported. `Ledger` keeps each act as an event."""

import msgspec


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, why, when (microseconds since 1970 UTC), and from which address where there is one."""

    by: str
    reason: str
    at_us: int
    source_ip: str = ""
