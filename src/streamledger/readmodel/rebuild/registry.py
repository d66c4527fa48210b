"""Which projections are folded stream by stream in a rebuild; the others take history in, in order."""

from collections.abc import Collection, Mapping
from typing import Final

from streamledger.readmodel.rebuild.delivery_folding import DeliveriesStreamwise
from streamledger.readmodel.rebuild.folding import SessionsStreamwise, Streamwise
from streamledger.readmodel.rebuild.minutes_folding import MinutesStreamwise

STREAMWISE: Final[Mapping[str, Streamwise]] = {
    "sessions": SessionsStreamwise(),
    "deliveries": DeliveriesStreamwise(),
    "minutes": MinutesStreamwise(),
}
"""By name of the projection, in the order in which they are added up."""

ADDED_UP_FROM: Final[Mapping[str, str]] = {"minutes": "deliveries"}
"""Rebuilt without the other, such a projection takes history in, in order."""


def streamwise_of(names: Collection[str]) -> dict[str, Streamwise]:
    """How to fold those of these projections that can be folded stream by stream when rebuilt together."""
    return {
        name: streamwise
        for name, streamwise in STREAMWISE.items()
        if name in names and ADDED_UP_FROM.get(name, name) in names
    }
