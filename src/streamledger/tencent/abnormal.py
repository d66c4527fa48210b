"""What the types of abnormal events in a push error (event type 321) are called (267/53310)."""

from typing import Final

ABNORMAL_NAMES: Final[dict[int, str]] = {
    1: "video timestamp went back",
    2: "audio timestamp went back",
    3: "video timestamp jumped ahead by more than 1 s",
    4: "audio timestamp jumped ahead by more than 1 s",
    5: "chunk size above 8192",
    6: "video frames arrived too far apart",
    7: "audio frames arrived too far apart",
    8: "video codec changed",
    9: "audio codec changed",
    10: "video frame without a codec header before it",
    11: "audio frame without a codec header before it",
    12: "audio timestamps too far apart",
    13: "uncommon audio or video codec",
}
"""Types 14 to 16 exist; where their names are wanted, the notification's own type_desc_en has them."""


def abnormal_name(number: int) -> str:
    """The name of a type of abnormal event; `type N` where it has none here."""
    return ABNORMAL_NAMES.get(number, f"type {number}")
