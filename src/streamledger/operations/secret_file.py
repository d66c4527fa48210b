"""A secret of the program's own in a file: made at first start, for nobody else to read."""

import contextlib
import logging
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from streamledger.domain.errors import SettingInvalid
from streamledger.operations.private_files import PRIVATE

logger = logging.getLogger(__name__)

SECRET_BYTES: Final = 32
COOKIE_KEY_NAME: Final = "cookie.key"
"""In the data directory, beside the database and not in it: a database that has leaked signs no cookie."""


def secret_in(path: Path) -> str:
    """The secret in a file, which is made when it is not there. Raises SettingInvalid.

    A file that others could read is closed to them, and its secret made anew: they may know it.
    """
    with contextlib.suppress(FileExistsError):
        _make(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, error.strerror or "an error") from error
    with os.fdopen(descriptor) as file:
        found = os.fstat(file.fileno())
        text = file.read(4096).strip()
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise _unusable(path, "another user's file, or none")
    if stat.S_IMODE(found.st_mode) & 0o077 or len(text) < SECRET_BYTES:
        logger.warning("%s could be read by others, or is not whole: a new secret is made", path)
        path.unlink()
        return secret_in(path)
    return text


def _make(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
    except FileExistsError:
        raise
    except OSError as error:
        raise _unusable(path, error.strerror or "an error") from error
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), PRIVATE)
        file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _unusable(path: Path, got: str) -> SettingInvalid:
    return SettingInvalid(name=f"file {path}", expected="a file of this user alone", got=got)
