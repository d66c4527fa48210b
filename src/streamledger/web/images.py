"""Which images a page loads by itself: those on hosts that the operator has named, and no others.

A notification names its image's address, so whoever can send one chooses what every visitor's browser asks
for. An image elsewhere is a link with its host's name: it is opened by a click, or not at all.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

ANY_PUBLIC: Final = "*"
_PATTERN: Final = re.compile(
    r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[0-9]{1,5})?|\[[0-9a-f:.]+\](?::[0-9]{1,5})?"
)
_HOST: Final = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+")
_STRANGE: Final = re.compile(r"[\\\s\x00-\x1f\x7f]")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_ENDINGS: Final = (".localhost", ".local", ".internal", ".lan", ".home", ".corp", ".home.arpa")


class ImageHosts:
    """Hosts by name, `*.name` for those below it, `*` for all public ones; with a port that is not usual."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        """Raises ValueError for what is no host."""
        self._patterns = tuple(
            dict.fromkeys(pattern.strip().lower() for pattern in patterns if pattern.strip())
        )
        for pattern in self._patterns:
            if pattern != ANY_PUBLIC and not _PATTERN.fullmatch(pattern):
                raise ValueError(pattern)

    def __contains__(self, url: str) -> bool:
        """Whether an image at this address may be loaded without a click."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            return False
        # What a browser reads in another way than we do is no address that we know.
        is_plain = _HOST.fullmatch(host) and not _STRANGE.search(url) and parts.username is None
        if not is_plain or parts.scheme not in ("http", "https"):
            return False
        named = f"[{host}]" if ":" in host else host
        if port is not None and port != {"http": 80, "https": 443}[parts.scheme]:
            named = f"{named}:{port}"
        return any(
            named == pattern
            or (
                not is_private(host)
                and (pattern == ANY_PUBLIC or (pattern.startswith("*.") and named.endswith(pattern[1:])))
            )
            for pattern in self._patterns
        )

    def policy(self) -> str:
        """The sources of images for the Content-Security-Policy of the pages."""
        if ANY_PUBLIC in self._patterns:
            return "'self' http: https:"
        return " ".join(("'self'", *self._patterns))


def is_private(host: str) -> bool:
    """Whether a host is this machine, or one of a network of its own, as far as its name tells."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        # Browsers take 127.1 and 0x7f000001 for addresses too; public names have a dot and end in no number.
        last = host.rpartition(".")[2]
        return "." not in host or host.endswith(_PRIVATE_ENDINGS) or _NUMBER.fullmatch(last) is not None


def host_of(url: str) -> str:
    """The host of an address; empty where it names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
