"""Files that the program writes, for its own user to read; and those that it reads, whoever else may."""

import os
import stat
from pathlib import Path
from typing import IO, Final

PRIVATE: Final = 0o600
OF_OTHERS: Final = stat.S_IRWXO | stat.S_IWGRP
"""A group may have been given a file to read; nobody else, and nobody to change it."""


def open_private(path: Path, mode: str) -> IO[bytes]:
    """The file, opened in a binary mode, made and kept for this user alone; a pipe is left as it is."""
    file = open(path, mode, opener=lambda name, flags: os.open(name, flags, PRIVATE))  # noqa: SIM115  # the caller's
    found = os.fstat(file.fileno())
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077 and found.st_uid == os.geteuid():
        os.fchmod(file.fileno(), PRIVATE)
    return file


def mode_for_others(path: Path) -> str | None:
    """The mode of a file that others may read or change, as it is written; None for one that is private."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return f"{stat.S_IMODE(mode):04o}" if mode & OF_OTHERS else None
