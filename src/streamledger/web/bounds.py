"""Everything in a web process that bounds what strangers hold of it, made once from the settings."""

import msgspec

from streamledger.operations.descriptors import connections_within
from streamledger.operations.refusal_limit import RefusalLimit
from streamledger.web.connections import ConnectionLimits, Connections
from streamledger.web.holding import LateAnswers
from streamledger.web.reached import ReachedLimits
from streamledger.web.readers import Readers
from streamledger.web.senders import Senders
from streamledger.web.wrong_tokens import WrongTokens


class Bounds(msgspec.Struct, frozen=True):
    """One of each for all requests."""

    reached: ReachedLimits
    connections: Connections
    late: LateAnswers
    wrong_tokens: WrongTokens
    readers: Readers


def bounds_of(
    limits: ConnectionLimits,
    senders: Senders,
    *,
    wrong_tokens_per_minute_max: int,
    readers_per_token_max: int,
) -> Bounds:
    """All of them, nothing held yet; as many connections as the system has open files for."""
    limits = msgspec.structs.replace(limits, connections_max=connections_within(limits.connections_max))
    reached, late = ReachedLimits(), LateAnswers()
    return Bounds(
        reached=reached,
        connections=Connections(limits, reached, senders.is_trusted_proxy),
        late=late,
        wrong_tokens=WrongTokens(RefusalLimit(wrong_tokens_per_minute_max), reached, senders, late),
        readers=Readers(readers_per_token_max, reached, senders),
    )
