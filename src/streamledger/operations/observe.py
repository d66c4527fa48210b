"""Tell of each delivery: a line in the log, a span. Receivers are observed by setting alone."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from streamledger.domain.errors import StreamledgerError
from streamledger.domain.events import NO_HEADERS, RequestHeaders
from streamledger.operations.receive import Begun, Receipt, Receiver
from streamledger.telemetry import facts

logger = logging.getLogger(__name__)

NOT_ACKNOWLEDGED: Final = "not_acknowledged"


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery as it went; times are nanoseconds since 1970 UTC."""

    began_ns: int
    ended_ns: int
    source_ip: str
    bytes: int
    outcome: str
    """One of `Outcome`, or not_acknowledged."""
    delivery_id: str | None = None
    position: int | None = None
    reason: str | None = None
    cause: str | None = None
    """Why it was not acknowledged."""

    def known(self) -> dict[str, Any]:
        """What is known of it, without its times."""
        told = msgspec.structs.asdict(self)
        del told["began_ns"], told["ended_ns"]
        return {name: value for name, value in told.items() if value is not None}


Observer = Callable[[Observed], None]


class ObservedReceiver(Receiver):
    """Receives as any receiver does, and tells of each delivery."""

    def __init__(self, *parts: Any, observers: Sequence[Observer]) -> None:
        super().__init__(*parts)
        self._observers = observers

    def begin(
        self, body: bytes, source_ip: str, *, path_token_matched: bool, headers: RequestHeaders
    ) -> Begun | None:
        """Never: what is to be told of takes the ordinary way."""
        return None

    async def receive(
        self,
        body: bytes,
        source_ip: str,
        *,
        path_token_matched: bool = False,
        headers: RequestHeaders = NO_HEADERS,
    ) -> Receipt:
        """Keep one delivery; returns once it is on disk, and was told of."""
        began_ns = time.time_ns()
        receipt, cause = None, None
        try:
            receipt = await super().receive(
                body, source_ip, path_token_matched=path_token_matched, headers=headers
            )
        except StreamledgerError as error:
            cause = str(error)
            raise
        finally:
            kept = receipt is not None and receipt.delivery_id is not None
            seen = Observed(
                began_ns=began_ns,
                ended_ns=time.time_ns(),
                source_ip=source_ip,
                bytes=len(body),
                outcome=NOT_ACKNOWLEDGED if receipt is None else receipt.outcome.value,
                delivery_id=str(receipt.delivery_id) if receipt is not None and kept else None,
                position=None if receipt is None else receipt.position,
                reason=None if receipt is None else receipt.reason,
                cause=cause,
            )
            for observe in self._observers:
                observe(seen)
        return receipt


def log_delivery(seen: Observed) -> None:
    """One line in the log."""
    known = seen.known() | {"duration_ms": round((seen.ended_ns - seen.began_ns) / 1e6, 3)}
    logger.info(
        "delivery %s", " ".join(f"{name}={value}" for name, value in known.items()), extra=facts(known)
    )
