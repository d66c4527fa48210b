"""What only the moment of receipt can tell is kept with each delivery, set aside or not, and is shown."""

import asyncio
from typing import Any

import pytest

from streamledger.ledger.quarantine import QuarantineFilter
from streamledger.operations.release import ReleaseWish, release_by_filter
from streamledger.postgres.connection import Database, connect
from tests.deliveries import LEDGER
from tests.integration.intake.receiver import NOW_S, OPERATOR, Clock, clock, push, rows, running, signed

__all__ = ["clock"]

SENT = {"user-agent": "Go-http-client/1.1", "x-forwarded-for": "192.0.2.60", "x-other": "no"}
KEPT = {"user_agent": "Go-http-client/1.1", "x_forwarded_for": "192.0.2.60"}
LATE, FRESH = NOW_S - 5, NOW_S + 600


async def events_of(database: Database, *calls: tuple[bytes, str], **settings: Any) -> list[dict[str, Any]]:
    """The feed's entries after these bodies were posted to these paths."""
    async with running(database, **settings) as receiver:
        for body, path in calls:
            await receiver.deliver(body, path=path, **SENT)
        async with receiver.client() as client:
            answer = await client.get("/v1/events")
    entries: list[dict[str, Any]] = answer.json()["items"]
    return entries


HOOK = "/callbacks/tencent"


@pytest.mark.parametrize(
    ("body", "path", "settings", "believed"),
    [
        (signed(push(1, NOW_S), FRESH), HOOK, {}, {"by": "key", "key": "main"}),
        (
            signed(push(1, NOW_S), LATE),
            HOOK,
            {"expiry_grace_s": 60},
            {"by": "key", "key": "main", "late": "grace"},
        ),
        (
            b'{"event_type":1,"stream_id":"room-1"}',
            f"{HOOK}/a-secret-path",
            {"callback_token": "a-secret-path"},
            {"by": "path_token"},
        ),
        (b'{"event_type":1,"stream_id":"room-1"}', HOOK, {"callback_keys": None}, {"by": "unchecked"}),
    ],
)
def test_an_event_says_how_it_was_believed_and_with_which_headers_it_came(
    database: Database,
    clock: Clock,
    body: bytes,
    path: str,
    settings: dict[str, Any],
    believed: dict[str, Any],
) -> None:
    (entry,) = asyncio.run(events_of(database, (body, path), **settings))
    assert entry["believed"] == believed
    assert entry["headers"] == KEPT


async def test_the_quarantine_keeps_the_same_and_a_release_carries_it_over(
    database: Database, clock: Clock
) -> None:
    body = signed(push(0, NOW_S - 300), LATE).replace(b"{", "{\u3000".encode(), 1)
    async with running(database) as receiver:
        await receiver.deliver(body, **SENT)
        ((quarantine_id,),) = rows(database, "SELECT id::text FROM quarantine")
        with connect(database, application_name="test") as connection:
            wish = ReleaseWish(wanted=QuarantineFilter(reason="expired"))
            assert release_by_filter(connection, LEDGER, wish, OPERATOR).released == 1
        receiver.project()
        async with receiver.client() as client:
            aside = (await client.get(f"/v1/quarantine/{quarantine_id}")).json()
            entry, *others = (await client.get("/v1/events")).json()["items"]
            detail = (await client.get("/v1/deliveries/1")).json()
    assert [each["believed"] for each in others] == [None]  # the act
    assert (aside["headers"], aside["key"], aside["mended"]) == (KEPT, "main", ["json5"])
    release = entry["believed"].pop("release")
    assert entry["believed"] == {"by": "release", "key": "main", "late": "expired"}
    assert (release["quarantine_id"], release["by"]) == (aside["id"], OPERATOR.by)
    assert (entry["headers"], entry["mended"]) == (KEPT, ["json5"])
    assert detail["headers"] == KEPT
    assert detail["believed"]["release"] == release
