"""How many feeds and live pages each token follows: the readers of one leave room for those of others."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from litestar.connection import ASGIConnection

from streamledger.domain.errors import StreamledgerError
from streamledger.operations.tokens import ANONYMOUS
from streamledger.readmodel.feed.feed import Tail, TooManyReaders
from streamledger.web.reached import ReachedLimits
from streamledger.web.senders import Senders


class TooManyReadersOfOne(StreamledgerError):
    """{readers} readers with this token, or from this address without one, follow already; try again later"""


class Readers:
    """The readers of a process, by the token that they bear, or by address where none is needed."""

    def __init__(self, per_token_max: int, reached: ReachedLimits, senders: Senders) -> None:
        self._per_token_max = per_token_max
        self._reached = reached
        self._senders = senders
        self._following: Counter[str] = Counter()

    def check_room(self, connection: ASGIConnection[Any, Any, Any, Any], tail: Tail | None = None) -> str:
        """Whom the next reader counts for. Raises TooManyReaders or TooManyReadersOfOne."""
        address = self._senders.address_of(connection.scope)
        caller = connection.state.get("caller") or connection.state.get("page_token")
        named = caller is not None and caller.name != ANONYMOUS
        owner = f"token:{caller.name}" if named else f"address:{address}"
        try:
            if tail is not None:
                tail.check_room()
        except TooManyReaders:
            self._reached.note("readers_max", address)
            raise
        if self._following[owner] >= self._per_token_max:
            self._reached.note("readers_per_token_max", address)
            raise TooManyReadersOfOne(readers=self._per_token_max)
        return owner

    async def counted(self, owner: str, parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """A reader's feed, counted from its first part to its end."""
        self._following[owner] += 1
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield part
        finally:
            self._following[owner] -= 1
            if not self._following[owner]:
                del self._following[owner]
