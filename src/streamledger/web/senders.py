"""Who sent a request: its address, also behind trusted proxies, and whether callbacks are taken from it."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ADDRESSES_REMEMBERED: Final = 4096
FORWARDED_BYTES_MAX: Final = 2048
"""Of X-Forwarded-For; what is longer is no proxy's work."""


class Senders:
    """Addresses of requests. Without `callback_networks` every network may send callbacks."""

    def __init__(
        self, callback_networks: Sequence[Network] = (), trusted_proxies: Sequence[Network] = ()
    ) -> None:
        self._trusted_proxies = tuple(trusted_proxies)
        self._limited = bool(callback_networks)
        # The same few addresses send nearly everything, so each is looked up once.
        self._may_send = lru_cache(ADDRESSES_REMEMBERED)(lambda text: _is_in(text, callback_networks))
        self._is_proxy = lru_cache(ADDRESSES_REMEMBERED)(lambda text: _is_in(text, trusted_proxies))

    def address_of(self, scope: Any) -> str:
        """The sender's address: that of the connection, or the last in X-Forwarded-For that is no proxy's.

        The header is believed only as far as trusted proxies wrote it: from its right end.
        """
        client = scope.get("client")
        address: str = client[0] if client else ""
        if not self._trusted_proxies or not self._is_proxy(address):
            return address
        for hop in reversed(_hops(scope["headers"])):
            text = _without_port(hop)
            if text is None:
                return address  # whoever wrote this, it names nobody: the last proxy is all we know
            address = text
            if not self._is_proxy(address):
                break
        return address

    def is_trusted_proxy(self, address: str) -> bool:
        """Whether what a connection from this address forwards is believed."""
        return bool(self._trusted_proxies) and self._is_proxy(address)

    def may_send_callbacks(self, address: str) -> bool:
        """Whether the address is in one of the networks that callbacks are taken from."""
        return not self._limited or self._may_send(address)


def networks_of(texts: Iterable[str]) -> list[Network]:
    """Networks in CIDR form; a single address is a network of one. Raises ValueError."""
    return [ipaddress.ip_network(text.strip(), strict=False) for text in texts]


def is_loopback(text: str) -> bool:
    """Whether an address is one of this machine's own."""
    address = _address(text)
    return address is not None and address.is_loopback


def _is_in(text: str, networks: Sequence[Network]) -> bool:
    address = _address(text)
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _hops(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    joined = b",".join(value for name, value in headers if name == b"x-forwarded-for")
    return [hop.strip() for hop in joined[-FORWARDED_BYTES_MAX:].decode("latin-1").split(",") if hop.strip()]


def _without_port(hop: str) -> str | None:
    text = hop
    if hop.startswith("["):
        text = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        text = hop.partition(":")[0]
    address = _address(text)
    return None if address is None else str(address)
