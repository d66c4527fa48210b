"""What the errcode of a stop means (267/38081 and the seed): a class to act on, a sentence to read.

The wording and language of errmsg changed over the years, so nothing here looks at it.
"""

from enum import StrEnum
from typing import Final


class ErrcodeClass(StrEnum):
    """Whom or what the end of a push is owed to."""

    CLEAN = "clean"
    CLIENT_NETWORK = "client_network"
    CLIENT_CONTENT = "client_content"
    IDLE = "idle"
    PLATFORM = "platform"
    REFUSED = "refused"
    REPLACED = "replaced"
    UNKNOWN = "unknown"


_LINK_ABNORMAL: Final = (ErrcodeClass.CLIENT_NETWORK, "the network of the push link was abnormal")
_CONTENT_ABNORMAL: Final = (ErrcodeClass.CLIENT_CONTENT, "the RTMP content or AMF was abnormal")
_INTERNAL: Final = (ErrcodeClass.PLATFORM, "internal error of the service")
_UNKNOWN: Final = (ErrcodeClass.UNKNOWN, "unknown (seed: an internal error of the service)")

ERRCODES: Final[dict[int, tuple[ErrcodeClass, str]]] = {
    1: (ErrcodeClass.CLEAN, "the client ended the push (seed: recv rtmp deleteStream)"),
    2: (ErrcodeClass.CLEAN, "the client ended the push (seed: recv rtmp closeStream)"),
    3: (ErrcodeClass.CLEAN, "the client ended the push (seed: recv() return 0)"),
    4: (
        ErrcodeClass.CLIENT_NETWORK,
        "the client's TCP connection broke (seed); the client ended the push (today's page)",
    ),
    5: _INTERNAL,
    6: _CONTENT_ABNORMAL,
    7: (ErrcodeClass.CLIENT_CONTENT, "a frame was over the size limit (seed: rtmp message large than 1M)"),
    8: (ErrcodeClass.IDLE, "cut by the system after long without data"),
    9: _INTERNAL,
    10: (ErrcodeClass.PLATFORM, "cut on request of the proxy layer"),
    11: _INTERNAL,
    12: _LINK_ABNORMAL,
    13: _LINK_ABNORMAL,
    14: _LINK_ABNORMAL,
    15: _LINK_ABNORMAL,
    16: _LINK_ABNORMAL,
    17: _LINK_ABNORMAL,
    18: (ErrcodeClass.REFUSED, "the push was refused"),
    19: (ErrcodeClass.REFUSED, "third-party authentication failed"),
    20: (ErrcodeClass.IDLE, "cut by the system after long without data"),
    21: (ErrcodeClass.REPLACED, "cut by API, or replaced by a newer push of the same name"),
    23: _CONTENT_ABNORMAL,
    24: _INTERNAL,
    33: _CONTENT_ABNORMAL,
    35: (ErrcodeClass.CLEAN, "the client ended the push"),
    37: (ErrcodeClass.PLATFORM, "cut because nobody played"),
    38: _INTERNAL,
    39: (ErrcodeClass.CLIENT_CONTENT, "the frame rate was over the limit"),
}


def class_of(errcode: int | None) -> ErrcodeClass:
    """The class of a stop's errcode; UNKNOWN for absent ones and for codes without a documented meaning."""
    return _UNKNOWN[0] if errcode is None else ERRCODES.get(errcode, _UNKNOWN)[0]


def meaning_of(errcode: int | None) -> str:
    """What a stop's errcode says, in short; names both generations of the protocol where they differ."""
    return "not reported" if errcode is None else ERRCODES.get(errcode, _UNKNOWN)[1]
