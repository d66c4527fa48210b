"""Nodes of one ledger that go by different settings: told by ready, on the page, by doctor, in the log."""

import asyncio
import logging
from typing import Any

import pytest

from streamledger import bootstrap
from streamledger.operations.agreement import Agreement, described
from streamledger.postgres.connection import Database, connect
from streamledger.settings import Secret, Settings
from tests.integration.intake.receiver import KEY, findings, running
from tests.integration.intake.test_health import degraded


def settings(database: Database, port: int, **more: Any) -> Settings:
    given = {"callback_keys": Secret(f"main:{KEY}"), "cookie_key": Secret("c" * 32)} | more
    return Settings(database_url=Secret(database.dsn), port=port, **given)


def say(database: Database, start: str, settings: Settings) -> None:
    with connect(database, application_name="test") as connection:
        Agreement(settings, bootstrap.key_ring(settings), start).say(connection)


def test_a_node_of_other_settings_is_told_by_name_until_it_agrees_or_is_gone(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        facts = {"database_url": Secret(database.dsn), "cookie_key": Secret("c" * 32), "port": 1}
        async with running(database, expiry_grace_s=30, **facts) as receiver:
            say(database, "other", settings(database, 2, expiry_grace_s=30, believe_after_absence=False))
            assert await degraded(receiver) == {}
            say(database, "other", settings(database, 2, believe_after_absence=False))
            told = (await degraded(receiver))["settings"]
            assert "expiry_grace_s is " in told
            for part in ("0 on ", ":2", "30 on ", ":1"):
                assert part in told
            assert findings(database)["settings"].detail == told
            with connect(database, application_name="test") as connection:
                connection.execute("UPDATE nodes SET seen_at = now() - interval '16 s' WHERE id = 'other'")
            assert await degraded(receiver) == {}
            assert findings(database)["settings"].level == "good"

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    lines = [record.getMessage() for record in caplog.records if "degraded" in record.getMessage()]
    assert len(lines) == 2
    assert "expiry_grace_s" in lines[0]


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("callback_keys", Secret("main:one-key"), Secret("main:other-key")),
        ("callback_token", Secret("one-path-token"), Secret("other-path-token")),
        ("cookie_key", Secret("a" * 32), Secret("b" * 32)),
        ("api_tokens", Secret("watch:read:one-token"), Secret("watch:read:other-token")),
    ],
)
def test_secrets_are_compared_and_never_kept(
    database: Database, name: str, one: Secret, other: Secret
) -> None:
    say(database, "one", settings(database, 1, **{name: one}))
    say(database, "two", settings(database, 2, **{name: other}))
    told = findings(database)["settings"].detail
    assert f"differ: {name} is " in told
    with connect(database, application_name="test") as connection:
        kept = str(connection.execute("SELECT * FROM nodes").fetchall())
    for secret in (one, other):
        assert secret.reveal().rpartition(":")[2] not in kept + told
    say(database, "two", settings(database, 2, **{name: one}))
    assert findings(database)["settings"].level == "good"


def test_each_setting_that_the_judgement_and_the_answers_rest_on_is_compared() -> None:
    """A setting that is added has to be decided upon: it is a node's own, or the ledger's."""
    own = {
        *("callback_keys_file", "trusted_proxies", "refused_per_minute_max", "database_url"),
        *("owner_database_url", "database_schema", "data_dir", "host", "port", "public_url", "workers"),
        *("image_hosts", "insecure", "batch_size_max", "queue_length_max", "store_wait_s_max"),
        *("rebuild_automatically", "readers_max", "readers_per_token_max", "wrong_tokens_per_minute_max"),
        *("connections_max", "connections_per_address_max", "head_bytes_max", "head_lines_max", "head_s_max"),
        *("body_s_max", "idle_s_max", "pipelined_requests_max", "unfinished_bytes_max", "unread_bytes_max"),
        *("unread_s_max", "tolerant_bytes_per_s_max", "refused_kept_per_s_max", "refused_waiting_bytes_max"),
        *("server_url", "server_token", "log_level", "log_format", "log_deliveries", "traces_url"),
    }
    compared = set(described(Settings(), ())) - {"release"}
    assert compared | own == set(Settings.__struct_fields__)
    assert compared & own == set()
