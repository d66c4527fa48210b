"""What pg_restore cannot read is said with what to do: a damaged file, and one of a newer PostgreSQL."""

from pathlib import Path

import pytest

from streamledger.postgres.dump import BackupTooNew, NotABackup, contents
from streamledger.postgres.embedded import POSTGRES_MAJOR, binaries_directory

HEAD = b"PGDMP\x01%c\x00\x04\x08\x01"
"""Magic, version 1.N of the format, the sizes of integers and offsets, and that it is the custom format."""


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        (b"PGDMQ", NotABackup, "is damaged"),
        (HEAD % 99, BackupTooNew, f"a newer PostgreSQL than the {POSTGRES_MAJOR}"),
    ],
)
def test_what_cannot_be_read_says_why(
    tmp_path: Path, content: bytes, error: type[Exception], told: str
) -> None:
    file = tmp_path / "store.dump"
    file.write_bytes(content)
    with pytest.raises(error, match=told):
        contents(binaries_directory() / "pg_restore", file)
