"""`sign`, the lower-case hex MD5 of the callback key and `t` (267/38080): making and verifying it.

The body is not covered, so a captured pair signs any body until `t`; `expiry` bounds that time.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from streamledger.domain.errors import SettingInvalid

KEY_NAME_CHARACTERS_MAX: Final = 100


class CallbackKey:
    """A callback key with its name, and the instants (inclusive, Unix seconds) between which it is valid.

    None leaves a side open. Neither repr nor str shows the secret. Raises SettingInvalid on an empty one,
    for which anybody could sign, and on a name that cannot be shown.
    """

    __slots__ = ("_secret", "name", "not_after_s", "not_before_s")

    def __init__(
        self, name: str, secret: str, not_before_s: int | None = None, not_after_s: int | None = None
    ) -> None:
        if not 0 < len(name) <= KEY_NAME_CHARACTERS_MAX or not name.isprintable():
            # It is kept on every event, and shown.
            raise SettingInvalid(
                name="the name of a callback key",
                expected=f"1 to {KEY_NAME_CHARACTERS_MAX} printable characters",
                got=f"{len(name)} characters",
            )
        if not secret:
            raise SettingInvalid(name=f"callback key {name}", expected="a secret", got="an empty one")
        self.name = name
        self.not_before_s = not_before_s
        self.not_after_s = not_after_s
        self._secret = secret.encode()

    def __repr__(self) -> str:
        window = f"not_before_s={self.not_before_s}, not_after_s={self.not_after_s}"
        return f"CallbackKey(name={self.name!r}, {window})"

    @property
    def characters(self) -> int:
        """How long the secret is."""
        return len(self._secret.decode())

    def is_valid_at(self, now_s: float) -> bool:
        """Whether `now_s` lies in the key's window."""
        return (self.not_before_s is None or self.not_before_s <= now_s) and (
            self.not_after_s is None or now_s <= self.not_after_s
        )

    def signature(self, t: bytes) -> bytes:
        """The signature that this key gives `t`, as ASCII hex."""
        return hashlib.md5(self._secret + t, usedforsecurity=False).hexdigest().encode()

    def has_signed(self, t: str, sign: str) -> bool:
        """Whether `sign` is this key's for `t`, whatever its window. The case of `sign` matters."""
        t_sent, sign_sent = t.encode(errors="surrogatepass"), sign.encode(errors="surrogatepass")
        return hmac.compare_digest(self.signature(t_sent), sign_sent)


def signature_of(secret: str, t: str) -> str:
    """Hex MD5 of secret + t, as the sender makes it."""
    return hashlib.md5((secret + t).encode(), usedforsecurity=False).hexdigest()


def verify(keys: Sequence[CallbackKey], t: str, sign: str, now_s: float) -> str | None:
    """The name of the first key valid at `now_s` that signed `t`, or None. The case of `sign` matters.

    Every key is tried and compared in constant time, so the time taken tells nothing about the keys.
    """
    matched: str | None = None
    for key in keys:
        agrees = key.has_signed(t, sign)
        if agrees and matched is None and key.is_valid_at(now_s):
            matched = key.name
    return matched
