"""One search over everything that has a name: each kind by an index, or among a bounded number of rows."""

import re
import uuid
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from streamledger.readmodel.queries.fetching import fetch

HITS_MAX: Final = 10
"""Of each kind."""
FILE_STREAMS_MAX: Final = 2000
"""Streams whose recordings one search looks through: a file's id has no index over all streams."""
DOMAIN_SESSIONS_MAX: Final = 2000
"""Of the latest sessions whose domains are looked through."""
_DIGITS: Final = re.compile(r"[0-9]{1,64}", re.ASCII)
_FILE: Final = re.compile(r"[0-9A-Za-z_-]{6,40}", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9a-fA-F:.]{3,45}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{4,8}(?:-[0-9a-f-]{0,27})?", re.ASCII)
_SEQUENCES_SQL: Final = (
    # Sequences are digits, whose order is the same in every collation: a range of the key.
    "SELECT sequence, stream_id FROM sessions WHERE sequence >= %(text)s"
    " AND (%(end)s::text IS NULL OR sequence < %(end)s) AND starts_with(sequence, %(text)s)"
    " ORDER BY sequence, stream_id LIMIT %(limit)s"
)
_FILES_SQL: Final = (
    "SELECT t.stream_id, t.position, t.sequence FROM (SELECT stream_id FROM streams"
    " WHERE stream_id > %(after)s ORDER BY stream_id LIMIT %(streams)s) AS s CROSS JOIN LATERAL"
    " (SELECT stream_id, position, sequence FROM timeline AS f WHERE f.stream_id = s.stream_id"
    " AND f.kind = 'recording' AND f.key = %(text)s ORDER BY part LIMIT 1) AS t LIMIT %(limit)s"
)
_LAST_STREAM_SQL: Final = (
    # The last name whose recordings were looked through, and the one that follows.
    "SELECT stream_id FROM streams WHERE stream_id > %(after)s ORDER BY stream_id"
    " OFFSET %(streams)s - 1 LIMIT 2"
)
_QUARANTINE_SQL: Final = (
    "SELECT id::text, reason FROM quarantine WHERE id BETWEEN %(least)s::uuid AND %(most)s::uuid"
    " ORDER BY id LIMIT %(limit)s"
)
_DOMAINS_SQL: Final = (
    "SELECT DISTINCT lower(app) FROM (SELECT app FROM sessions ORDER BY sort_ms DESC"
    " LIMIT %(sessions)s) AS latest"
    " WHERE position(lower(%(text)s) IN lower(app)) > 0 ORDER BY 1 LIMIT %(limit)s"
)


class FoundFile(msgspec.Struct, frozen=True):
    """A recording whose file has the id."""

    stream_id: str
    position: int
    sequence: str


class Hits(msgspec.Struct, kw_only=True):
    """What has the name, or begins with it; and what was looked through."""

    sequences: list[tuple[str, str]] = []
    """With their streams."""
    files: list[FoundFile] = []
    files_after: str | None = None
    """The last stream whose recordings were looked through, where there are more."""
    address: str | None = None
    position: int | None = None
    quarantined: list[tuple[str, str]] = []
    """Ids and reasons."""
    domains: list[str] = []
    searched: list[str] = []
    """Kinds that such a name can be of: sequences, files, addresses, positions, quarantine, domains."""


class FindQueries:
    """Looks for what a text may name, beside the names of streams."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._pool = pool

    async def find(self, text: str, head: int, files_after: str = "") -> Hits:
        """Everything that the text may name; `head` is the last position there is."""
        hits = Hits()
        facts: dict[str, Any] = {"text": text, "limit": HITS_MAX + 1}
        async with self._pool.connection() as connection:
            if _DIGITS.fullmatch(text):
                hits.searched += ["sequences", "positions"]
                found = await fetch(connection, _SEQUENCES_SQL, facts | {"end": _end_of(text)})
                hits.sequences = [(sequence, stream_id) for sequence, stream_id in found]
                if len(text) < 19 and 0 < int(text) <= head:
                    hits.position = int(text)
            if _FILE.fullmatch(text):
                hits.searched.append("files")
                await self._files(connection, hits, facts, files_after)
            if _ADDRESS.fullmatch(text):
                hits.searched.append("addresses")
                sql = "SELECT source_ip FROM senders WHERE source_ip = %(text)s LIMIT 1"
                hits.address = next((row[0] for row in await fetch(connection, sql, facts)), None)
            if _UUID.fullmatch(text.lower()):
                hits.searched.append("quarantine")
                least, most = _uuids(text.lower())
                rows = await fetch(connection, _QUARANTINE_SQL, facts | {"least": least, "most": most})
                hits.quarantined = [(each, reason) for each, reason in rows]
            if "." in text:
                hits.searched.append("domains")
                rows = await fetch(connection, _DOMAINS_SQL, facts | {"sessions": DOMAIN_SESSIONS_MAX})
                hits.domains = [domain for (domain,) in rows]
        return hits

    async def _files(
        self, connection: AsyncConnection, hits: Hits, facts: dict[str, Any], after: str
    ) -> None:
        asked = facts | {"after": after, "streams": FILE_STREAMS_MAX}
        hits.files = [FoundFile(*row) for row in await fetch(connection, _FILES_SQL, asked)]
        ended = await fetch(connection, _LAST_STREAM_SQL, asked)
        hits.files_after = ended[0][0] if len(ended) == 2 else None


def _end_of(digits: str) -> str | None:
    """The least text of digits after all that begin with these; None when there is none."""
    kept = digits.rstrip("9")
    return kept[:-1] + str(int(kept[-1]) + 1) if kept else None


def _uuids(begin: str) -> tuple[str, str]:
    """The least and the greatest id that begins so."""
    digits = begin.replace("-", "")[:32]
    return str(uuid.UUID(digits.ljust(32, "0"))), str(uuid.UUID(digits.ljust(32, "f")))
