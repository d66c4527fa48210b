"""The free space of the disk that holds the embedded store, and the words when it becomes scarce."""

import logging
import os
from pathlib import Path
from typing import Final, Literal

logger = logging.getLogger(__name__)

MEBIBYTE: Final = 1024 * 1024
SCARCE_BYTES: Final = 2048 * MEBIBYTE
SCARCE_SHARE: Final = 0.1
"""Of the disk: on a small one, less than `SCARCE_BYTES` is ample."""
NEARLY_FULL_BYTES: Final = 256 * MEBIBYTE
NEARLY_FULL_SHARE: Final = 0.05
WAL_BYTES_MAX: Final = 2048 * MEBIBYTE
WAL_BYTES_MIN: Final = 128 * MEBIBYTE
WAL_SHARE: Final = 0.05
"""Of the disk, for the write-ahead log between two checkpoints."""

Level = Literal["ample", "scarce", "nearly full"]


def _free_and_all_bytes(directory: Path) -> tuple[int, int] | None:
    """What this process may still write there, and the whole disk; None where that is not told."""
    try:
        found = os.statvfs(directory)
    except (OSError, AttributeError):  # Windows has no statvfs
        return None
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def free_bytes(directory: Path) -> int | None:
    """What the user of this process may still write there; None where that is not told."""
    found = _free_and_all_bytes(directory)
    return None if found is None else found[0]


def level_of(directory: Path) -> Level:
    """How the disk is filled."""
    if (found := _free_and_all_bytes(directory)) is None:
        return "ample"
    free, of = found
    if free < min(NEARLY_FULL_BYTES, of * NEARLY_FULL_SHARE):
        return "nearly full"
    return "scarce" if free < min(SCARCE_BYTES, of * SCARCE_SHARE) else "ample"


def wal_bytes_max(directory: Path) -> int:
    """How far the write-ahead log may grow: rare checkpoints on a large disk, a small log on a small one."""
    if (found := _free_and_all_bytes(directory)) is None:
        return WAL_BYTES_MAX
    return max(WAL_BYTES_MIN, min(WAL_BYTES_MAX, int(found[1] * WAL_SHARE)))


class DiskSpace:
    """Says once, each time it changes, that the disk becomes full or has room again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._level: Level = "ample"

    def look(self) -> None:
        """Look now."""
        level = level_of(self._directory)
        if level == self._level:
            return
        self._level = level
        free = free_bytes(self._directory) or 0
        if level == "ample":
            logger.warning("the disk of %s has room again: %s MiB free", self._directory, free // MEBIBYTE)
        else:
            logger.log(
                logging.ERROR if level == "nearly full" else logging.WARNING,
                "the disk of %s is %s: %s MiB free; when it is full, deliveries are answered 503",
                self._directory,
                level if level != "scarce" else "becoming full",
                free // MEBIBYTE,
            )
