"""Every projection, in the order in which they take a batch in (docs/adding-a-projection.md)."""

from typing import Final

from streamledger.readmodel.projections.addresses import SendersView
from streamledger.readmodel.projections.sessions import SessionsView
from streamledger.readmodel.projections.tallies import TalliesView
from streamledger.readmodel.projections.view import Projection

PROJECTIONS: Final[tuple[Projection, ...]] = (SendersView, SessionsView, TalliesView)
