"""What the program sends to PostgreSQL, all features walked through, is what Citus takes.

There is no Citus here, which shards by schema: the statements are those that PostgreSQL logged, parsed for
the forms that it refused.
"""

import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from streamledger.readmodel.queries.pages import PICTURE_SCREENSHOTS_ALL_MAX
from tests import sql_forms
from tests.acceptance.serving import Service, data_directory, database_of, run, serving, signed_now
from tests.deliveries import push_started, push_stopped, recording, screenshot
from tests.house.rooms import ROOT
from tests.sql_forms import faults_of, logged

NOW_S = int(time.time())
STREAM, SEQUENCE = "walked", "2210464508206756938"
AT = quote(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW_S)))
KNOWN = {
    "stream_id": STREAM,
    "sequence": SEQUENCE,
    "position": "1",
    "from": str(NOW_S - 86_400),
    "to": str(NOW_S),
    "as_of": AT,
    "known_at": "7",
    "q": "wal",
    "name": "wal",
}
SCREENSHOTS = PICTURE_SCREENSHOTS_ALL_MAX + 20
"""Of a push: more than a page shows all of."""
ENDLESS = ("/v1/events/live", "/live", "/changes")
PAGES = (
    "/", "/streams", "/streams?q=wal", f"/streams/{STREAM}", "/sessions", "/sessions?state=live",
    f"/sessions/{SEQUENCE}", f"/sessions/{SEQUENCE}?known_at=7",
    f"/sessions/{SEQUENCE}?known_at={SCREENSHOTS}", f"/sessions/{SEQUENCE}?step=20&why=state",
    "/search?q=walked", "/search?q=7", "/search?q=abcdef", "/search?q=a.b", "/audit", "/deliveries",
    "/deliveries/1", "/deliveries?verdict=set_aside", "/sessions?anomaly=any", "/sessions?sort=media",
    "/quarantine", "/quarantine?reason=expired", "/system",
)  # fmt: skip


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """Every statement that was sent, and the functions of PostgreSQL that are not immutable."""
    files = tmp_path_factory.mktemp("walk")
    with data_directory(made=True) as data_dir:
        with (data_dir / "postgres" / "postgresql.auto.conf").open("a") as settings:
            settings.write("log_statement = 'all'\n")
        with serving(data_dir) as service:
            deliver(service)
            act(service)
            query(service)
            command(str(data_dir), files)
            with psycopg.connect(database_of(data_dir).dsn) as connection:
                found = connection.execute(
                    "SELECT DISTINCT proname FROM pg_proc WHERE provolatile <> 'i'"
                ).fetchall()
        return logged((data_dir / "postgres.log").read_text()), {name for (name,) in found}


def deliver(service: Service) -> None:
    """Each kind once, and each way of being wrong."""
    began_s = NOW_S - 900
    for body in (
        push_started(STREAM, SEQUENCE, began_s),
        recording(STREAM, "file-1", began_s + 300, 240),
        *(screenshot(STREAM, began_s + second) for second in range(SCREENSHOTS)),
        push_stopped(STREAM, SEQUENCE, began_s + 600),
        push_started(STREAM, "2210464508206756939", NOW_S - 60),
        {"event_type": 332, "stream_id": STREAM, "event_time": NOW_S},
        {"event_type": 4711},
    ):
        service.deliver(body)
    service.deliver(push_started(STREAM, SEQUENCE, began_s))
    service.deliver(push_started(STREAM, SEQUENCE, began_s, user_ip="198.51.100.9"))
    for number, ahead_s in enumerate((-30, -20, 9000)):
        service.post(signed_now(push_started("apart", str(2**60 + number), NOW_S), ahead_s=ahead_s))
    service.post(b"{}")
    service.post(signed_now(push_started("apart", "5", NOW_S), key="another"))
    service.read("/v1/sessions")


def query(service: Service) -> None:
    """Every GET that is described, plain and with every parameter, and every page."""
    known = dict(KNOWN)
    known["quarantine_id"] = service.read("/v1/quarantine")["items"][0]["id"]
    paths = service.get("/schema").json()["paths"]
    asked = [path for template, path in described(paths, known) if not template.endswith(ENDLESS)]
    with contextlib.closing(service.connect()) as connection:
        for path in (*asked, *PAGES, f"/quarantine/{known['quarantine_id']}"):
            answer = service.request("GET", path, connection=connection)
            assert answer.status == 200 or "?" in path, (path, answer)


def described(paths: dict[str, Any], known: dict[str, str]) -> Iterator[tuple[str, str]]:
    for template, methods in paths.items():
        parameters = methods.get("get", {}).get("parameters", [])
        path = re.sub(r"\{(\w+)\}", lambda name: known.get(name[1], "1"), template)
        if "get" in methods:
            yield template, path
        for each in parameters:
            if each["in"] == "query":
                values = values_of(each["schema"]) or [known.get(each["name"], "1")]
                yield from ((template, f"{path}?{each['name']}={value}") for value in values)


def values_of(schema: dict[str, Any]) -> list[str]:
    """Those that the document lists."""
    inner = itertools.chain(schema.get("oneOf", []), schema.get("anyOf", []), [schema.get("items", {})])
    return [str(value) for value in schema.get("enum", []) if value is not None] + [
        value for each in inner if each for value in values_of(each)
    ]


def command(data_dir: str, files: Path) -> None:
    """Every command that reads or writes the store."""
    lines = files / "export.jsonl"
    commands: list[tuple[str, ...]] = [
        ("sessions",), ("session", SEQUENCE), ("timeline", SEQUENCE), ("explain", SEQUENCE), ("audit",),
        ("doctor",), ("quarantine", "list"), ("parked", "list"), ("parked", "retry"),
        ("token", "create", "walker"), ("token", "list"), ("token", "revoke", "walker"),
        ("quarantine", "release", "--reason", "expired", "--because", "walked", "--first-only"),
        ("export", str(lines)), ("export", "--stream", STREAM, str(files / "one.jsonl")),
        ("export", "--table", "sessions", str(files / "sessions.csv")), ("import", str(lines)),
        ("verify", "projections"), ("rebuild", "--dry-run"), ("rebuild", "--workers", "2"),
        ("rebuild", "--to", "3"), ("rebuild", "--stream", STREAM), ("rebuild",),
    ]  # fmt: skip
    for arguments in commands:
        ended = run(*arguments, "--data-dir", data_dir)
        assert ended.returncode == 0, (arguments, ended)


def act(service: Service) -> None:
    """What is asked for over HTTP."""
    waiting = service.read("/v1/quarantine", reason="too_far_ahead")["items"][0]["id"]
    json_body = {"Content-Type": "application/json"}
    reason = json.dumps({"reason": "walked"}).encode()
    released = service.request("POST", f"/v1/quarantine/{waiting}/release", reason, json_body)
    assert released.status == 200, released
    asked = service.request("POST", "/v1/projections/rebuild", b"{}", json_body)
    assert asked.status == 202, asked
    service.get(f"/v1/rebuilds/{asked.json()['id']}/live")
    service.request("DELETE", f"/v1/rebuilds/{asked.json()['id']}")


def test_no_statement_has_a_form_that_citus_refuses(sent: tuple[set[str], set[str]]) -> None:
    statements, mutable = sent
    assert len(statements) > 200
    faults = sorted((fault, text) for text in statements for fault in faults_of(text, mutable))
    unexpected = [f"{fault}: {text}" for fault, text in faults if not sql_forms.is_allowed(fault, text)]
    assert not unexpected, "\n\n".join(unexpected)


def test_what_is_mended_is_off_the_list(sent: tuple[set[str], set[str]]) -> None:
    statements, mutable = sent[0] | set(sql_forms.constants(ROOT / "src")), sent[1]
    faults = [(fault, text) for text in statements for fault in faults_of(text, mutable)]
    mended = [
        each
        for each in sql_forms.ALLOWED
        if not any(fault == each.form and each.part in text for fault, text in faults)
    ]
    assert mended == []
