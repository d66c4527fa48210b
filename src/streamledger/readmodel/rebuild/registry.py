"""Which projections are folded stream by stream in a rebuild; the others take history in, in order."""

from collections.abc import Mapping
from typing import Final

from streamledger.readmodel.rebuild.delivery_folding import DeliveriesStreamwise
from streamledger.readmodel.rebuild.folding import SessionsStreamwise, Streamwise

STREAMWISE: Final[Mapping[str, Streamwise]] = {
    "sessions": SessionsStreamwise(),
    "deliveries": DeliveriesStreamwise(),
}
"""By name of the projection."""
