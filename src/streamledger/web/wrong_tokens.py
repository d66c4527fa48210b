"""Wrong bearer tokens and sign-ins: told to the log without the token, and limited for each address.

A right token is taken from any address at any time, so that nobody's guesses lock others out.
"""

import time
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import TooManyRequestsException

from streamledger.operations.limits import WRONG_TOKEN
from streamledger.operations.refusal_limit import RefusalLimit
from streamledger.web.holding import LateAnswers
from streamledger.web.reached import ReachedLimits
from streamledger.web.senders import Senders


class WrongTokens:
    """Counts them by address."""

    def __init__(
        self, limit: RefusalLimit, reached: ReachedLimits, senders: Senders, late: LateAnswers
    ) -> None:
        self._limit = limit
        self._reached = reached
        self._senders = senders
        self._late = late

    async def note(self, connection: ASGIConnection[Any, Any, Any, Any]) -> None:
        """A wrong token came. Raises TooManyRequestsException, late, where too many did from its address."""
        address = self._senders.address_of(connection.scope)
        self._reached.tell(WRONG_TOKEN, address, "wrong API tokens come")
        if self._limit.allows(address, time.monotonic_ns() // 1000):
            return
        self._reached.note("wrong_tokens_per_minute_max", address)
        await self._late.hold()
        raise TooManyRequestsException(
            "too many wrong tokens from this address; a right one is still taken",
            headers={"Retry-After": str(self._limit.retry_after_s)},
        )
