"""What administrators did, as events of the ledger: in the same transaction as the act itself."""

import msgspec

from streamledger.domain.events import ADMIN_ACTED, ADMIN_ORIGINATOR, AdminAct, Delivery
from streamledger.ledger import mapper
from streamledger.ledger.append import NewEvent
from streamledger.ledger.delivery_id import new_delivery_id

COUNTER = "acted"
"""The intake counter of these events: they were never received, so conservation counts them apart."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts, why, when (microseconds since 1970 UTC), and from which address where there is one."""

    by: str
    reason: str
    at_us: int
    source_ip: str = ""


def act_event(action: str, actor: Actor, subject: dict[str, object]) -> NewEvent:
    """The event of one act; `subject` must hold no secret."""
    act = AdminAct(action=action, by=actor.by, reason=actor.reason, subject=subject)
    delivery = Delivery(body=msgspec.json.encode(act), received_at_us=actor.at_us, source_ip=actor.source_ip)
    return NewEvent(ADMIN_ORIGINATOR, ADMIN_ACTED, mapper.encode(delivery), new_delivery_id(actor.at_us))
