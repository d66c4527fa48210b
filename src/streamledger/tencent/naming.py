"""A stream's name as it is kept and shown: without the secrets of a push URL that was taken for one."""

from hashlib import blake2b
from typing import Final

from streamledger.tencent.redaction import SECRET_NAMES, Secrets

_secrets: Final = Secrets(SECRET_NAMES)
"""Not those of a setting: a name must be the same whatever this process was told."""


def named(stream_id: str) -> str:
    """The name; of one that holds secrets the rest of it and eight digits that tell it from others.

    Idempotent, so that what is shown finds what the whole name finds.
    """
    # Nearly no name holds what may stand between a secret's name and its value.
    if "=" not in stream_id and ":" not in stream_id and "%" not in stream_id and "\\" not in stream_id:
        return stream_id
    shown = _secrets.out_of(stream_id)
    if shown == stream_id:
        return stream_id
    return f"{shown}#{blake2b(stream_id.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"
