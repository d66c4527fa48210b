"""What stands for a stream_param where it is only compared: shorter, and no secret in the read model."""

from functools import lru_cache
from typing import Final

from xxhash import xxh3_64_hexdigest

from streamledger.domain.notification import bounded

REMEMBERED_MAX: Final = 20_000


@lru_cache(REMEMBERED_MAX)
def witness_of(stream_param: str | None) -> str | None:
    """Sixteen digits that stand for a stream_param; None for none."""
    text = bounded(stream_param)  # as sessions keep it
    return xxh3_64_hexdigest(text.encode(errors="surrogatepass")) if text else None
