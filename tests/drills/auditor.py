"""The auditor of drills: holds the store against the sender's record."""

from collections import Counter
from typing import Any

import psycopg

from streamledger.ledger import reader
from streamledger.operations.diagnose import diagnose
from streamledger.postgres.connection import Database, connect
from streamledger.tencent.envelope import read_envelope
from tests.acceptance.load import EXPECTED, Record
from tests.waiting import until


def audit(database: Database, record: Record, *, counts_lost: bool = False) -> dict[str, int]:
    """Each acknowledged delivery once, nothing that was not sent, positions and versions in order, and the
    counters exact; returns the counters.

    To be called when nothing is sent any more and the counts have been stored. With `counts_lost` a process
    was killed, and with it the refusals that it had not stored yet.
    """
    with connect(database, application_name="auditor") as connection:
        stored, away = _in_ledger(connection)
        aside = _in_quarantine(connection)
        aside["expired"] += away  # the drill took so long that what had expired meanwhile was believed
        counters = dict(connection.execute("SELECT outcome, count FROM intake_counters").fetchall())
        findings = [each for each in diagnose(connection, 0, deep=True) if each.level == "bad"]
        assert findings == []
        until(lambda: _is_taken_in(connection))
        sessions = connection.execute("SELECT sequence FROM sessions").fetchall()
    assert Counter(row[0] for row in sessions) == stored + away, "the read model is what was believed"
    _once(stored, record, "believed")
    for kind, reason in (("expired", "expired"), ("forged", "bad_signature")):
        _once(aside[reason], record, kind)
    _conserved(counters, record, stored + aside["expired"] + aside["bad_signature"], counts_lost=counts_lost)
    wrong = {
        (each.kind, each.status)
        for each in record.sent
        if each.status not in (EXPECTED[each.kind], 503, None)
    }
    assert wrong == set()
    return counters


def _is_taken_in(connection: psycopg.Connection[Any]) -> bool:
    head = connection.execute("SELECT position FROM ledger_head").fetchone()
    positions = connection.execute("SELECT DISTINCT position FROM projections").fetchall()
    return positions == [head]


def _in_ledger(connection: psycopg.Connection[Any]) -> tuple[Counter[str], Counter[str]]:
    """What was believed in time, and after an absence."""
    found: Counter[str] = Counter()
    away: Counter[str] = Counter()
    versions: dict[str, int] = {}
    before = 0
    for event in reader.read_all(connection):
        assert event.position > before
        before = event.position
        versions[event.originator_id] = versions.get(event.originator_id, 0) + 1
        assert event.originator_version == versions[event.originator_id]
        counted = away if event.delivery.believed.late == "away" else found
        counted[_sequence(event.delivery.body)] += 1
    return found, away


def _in_quarantine(connection: psycopg.Connection[Any]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {"expired": Counter(), "bad_signature": Counter()}
    for reason, body in connection.execute("SELECT reason, body FROM quarantine"):
        found[reason][_sequence(body)] += 1
    return found


def _sequence(body: bytes) -> str:
    sequence = read_envelope(body).sequence
    assert sequence is not None
    return sequence


def _once(stored: Counter[str], record: Record, kind: str) -> None:
    assert [sequence for sequence, times in stored.items() if times > 1] == []
    assert record.sequences(kind, EXPECTED[kind]) - stored.keys() == set(), "acknowledged and not stored"
    assert stored.keys() - record.sequences(kind) == set(), "stored and not sent"


def _conserved(counters: dict[str, int], record: Record, stored: Counter[str], *, counts_lost: bool) -> None:
    """What was refused is counted, and what is stored after all is no refusal: each delivery once."""
    told_503 = {each.sequence for each in record.sent if each.status == 503}
    unanswered = {each.sequence for each in record.sent if each.status is None}
    refused = counters.get("refused:store_unavailable", 0) + counters.get("refused:queue_full", 0)
    least = len(told_503 - stored.keys())
    assert counts_lost or least <= refused
    most = least + len(unanswered - stored.keys())
    assert refused <= most, (
        f"counted as refused {refused}, of {most}; told 503 and stored: {told_503 & stored.keys()}"
    )
    # A connection that broke may have been heard and refused, or not heard at all.
    assert counters["received"] == len(stored) + refused
