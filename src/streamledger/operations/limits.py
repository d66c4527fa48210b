"""What a stranger can hold and ask for: every limit by the name of its setting, and what happens at it.

`/metrics`, `doctor`, the log and docs/security.md all speak of limits by this table.
"""

from typing import Final

import msgspec

from streamledger.operations.descriptors import KEPT, connections_within, granted


class Limit(msgspec.Struct, frozen=True):
    """One limit. Its name is that of the setting; each time it is reached a counter goes up."""

    name: str
    unit: str
    beyond: str
    """What becomes of what is beyond it."""
    ordinary: bool = False
    """Whether it is reached every day without anybody's fault, and so is no news for the log."""

    @property
    def counter(self) -> str:
        """The outcome under which it is counted; no outcome of a delivery, so conservation leaves it out."""
        return COUNTER_PREFIX + self.name


COUNTER_PREFIX: Final = "limit:"
WRONG_TOKEN: Final = "wrong_token"  # noqa: S105  # the name of a counter
"""The counter of wrong API tokens, those included that are within the limit."""

LIMITS: Final = {
    limit.name: limit
    for limit in (
        Limit("head_bytes_max", "bytes", "answered 431 late, closed"),
        Limit("head_lines_max", "header lines", "answered 431 late, closed"),
        Limit("head_s_max", "s", "closed", ordinary=True),
        Limit("body_s_max", "s", "answered 408, closed"),
        Limit("idle_s_max", "s", "closed", ordinary=True),
        Limit("connections_max", "connections a process", "the oldest without a whole head is closed"),
        Limit(
            "connections_per_address_max",
            "connections an address",
            "its oldest without a whole head is closed",
        ),
        Limit("pipelined_requests_max", "requests a connection", "read no more, closed late"),
        Limit("unfinished_bytes_max", "bytes a process", "the oldest unfinished body is closed"),
        Limit("unread_bytes_max", "bytes a process", "who holds most is closed"),
        Limit("unread_s_max", "s", "closed"),
        Limit("body_bytes_max", "bytes", "answered 413, closed"),
        Limit("tolerant_bytes_max", "bytes", "answered 400, not read"),
        Limit("tolerant_bytes_per_s_max", "bytes/s a process", "answered 429, not read"),
        Limit("refused_per_minute_max", "deliveries a minute an address", "answered 429 late, counted only"),
        Limit("refused_kept_per_s_max", "deliveries/s a process", "answered late, counted only"),
        Limit("refused_waiting_bytes_max", "bytes a process", "answered late, counted only"),
        Limit("wrong_tokens_per_minute_max", "tokens a minute an address", "answered 429 late"),
        Limit("readers_max", "readers a process", "answered 503"),
        Limit("readers_per_token_max", "readers a token", "answered 503"),
    )
}


def descriptors_sentence(connections_max: int) -> tuple[bool, str]:
    """Whether a web process has open files for its connections, and how many for what."""
    most, within = granted(), connections_within(connections_max)
    files = "without a limit" if most is None else f"{most}"
    said = f"open files {files}, {KEPT} of them kept for the store; {within} connections a web process"
    return within == connections_max, said if within == connections_max else f"{said}, not {connections_max}"
