"""Places: a push domain and path, told apart as the sender means them and not as they are spelt."""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from streamledger.domain.notification import bounded

PORTS_BY_DEFAULT: Final = frozenset({"80", "443", "1935"})
"""Of RTMP, and of it over TLS or tunnelled over HTTP: to name one says nothing more than to name none."""

_PORT: Final = re.compile(r"(.*[^:]):([0-9]{1,5})")


@lru_cache(maxsize=4096)
def host_of(app: str | None) -> str | None:
    """A push domain as it is compared: in lower case, without a port that goes without saying."""
    text = bounded(app)  # as sessions keep it
    if not text:
        return None
    host = text.strip().lower()
    found = _PORT.fullmatch(host)
    if found and found[2] in PORTS_BY_DEFAULT and (":" not in found[1] or found[1].endswith("]")):
        host = found[1]
    return host.removesuffix(".") or None


@lru_cache(maxsize=4096)
def is_address(app: str | None) -> bool:
    """Whether a push domain is an address: some push to one, and media name the domain all the same."""
    host = host_of(app)
    if host is None:
        return False
    found = _PORT.fullmatch(host)
    if found and (":" not in found[1] or found[1].endswith("]")):
        host = found[1]
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def same_host(one: str | None, other: str | None) -> bool:
    """Whether two push domains are one wherever both are known."""
    return one is None or other is None or one == other or host_of(one) == host_of(other)


def agree(app: str | None, appname: str | None, other_app: str | None, other_appname: str | None) -> bool:
    """Whether app and appname are the same wherever both sides know them."""
    if appname is not None and other_appname is not None and bounded(appname) != bounded(other_appname):
        return False
    return same_host(app, other_app)


def may_agree(app: str | None, other_app: str | None) -> bool:
    """Whether two push domains that differ may be one all the same: where just one of them is an address."""
    return is_address(app) != is_address(other_app)
