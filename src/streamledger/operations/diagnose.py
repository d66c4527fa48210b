"""Diagnose a ledger: the checks of `doctor`, each with what it found."""

from typing import Any

import msgspec
import psycopg

from streamledger.readmodel.session_projection import PROJECTIONS


class Finding(msgspec.Struct, frozen=True):
    """What one check found; level is good, warning or bad."""

    check: str
    level: str
    detail: str


def diagnose(connection: psycopg.Connection[Any], now_us: int) -> list[Finding]:
    """Every check, in one snapshot of the database."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return [
            _durability(connection),
            _append_only(connection),
            _conservation(connection),
            _quarantine_usage(connection),
            *_projections(connection, now_us),
        ]


def _value(connection: psycopg.Connection[Any], sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    return row[0] if row else None


def _durability(connection: psycopg.Connection[Any]) -> Finding:
    names = ("fsync", "synchronous_commit", "full_page_writes")
    off = [name for name in names if _value(connection, f"SHOW {name}") in ("off", "local")]
    version = _value(connection, "SHOW server_version")
    if off:
        return Finding("durability", "bad", f"PostgreSQL {version} runs with {', '.join(off)} off")
    return Finding("durability", "good", f"PostgreSQL {version}, fsync on")


def _append_only(connection: psycopg.Connection[Any]) -> Finding:
    enabled = _value(
        connection,
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ledger_events'::regclass"
        " AND tgname IN ('ledger_events_append_only', 'ledger_events_no_truncate') AND tgenabled <> 'D'",
    )
    if enabled != 2:
        return Finding("append-only", "bad", "the triggers that refuse changes of the ledger are missing")
    return Finding("append-only", "good", "UPDATE, DELETE and TRUNCATE on the ledger are refused")


def _conservation(connection: psycopg.Connection[Any]) -> Finding:
    """received = ledger + quarantine + counted refusals, and the counters match the tables.

    A release adds an event without a receipt, an administrator's act and an import too, and aging out takes
    a row away: each has a counter of its own, so the tables are held against the counters to the last row.
    """
    counters = dict(connection.execute("SELECT outcome, count FROM intake_counters").fetchall())
    received = counters.pop("received", 0)
    in_ledger = _value(connection, "SELECT count(*) FROM ledger_events")
    in_quarantine = _value(connection, "SELECT count(*) FROM quarantine")
    set_aside = sum(count for outcome, count in counters.items() if outcome.startswith("quarantine:"))
    refused = sum(count for outcome, count in counters.items() if outcome.startswith("refused:"))
    stored = counters.get("ledger", 0)
    added = sum(counters.get(outcome, 0) for outcome in ("released", "acted", "imported"))
    purged = sum(count for outcome, count in counters.items() if outcome.startswith("purged:"))
    sentence = f"received {received} = ledger {stored} + quarantine {set_aside} + refused {refused}"
    if received != stored + set_aside + refused:
        return Finding("conservation", "bad", f"{sentence} does not add up")
    if in_ledger < stored + added or in_quarantine != set_aside - purged:
        return Finding(
            "conservation",
            "bad",
            f"{sentence}, {added} released, acts or imported, {purged} purged,"
            f" but the ledger holds {in_ledger} events and the quarantine {in_quarantine}",
        )
    if added or purged:
        sentence += (
            f"; {counters.get('released', 0)} released, {counters.get('acted', 0)} acts,"
            f" {counters.get('imported', 0)} imported, {purged} purged"
        )
    if in_ledger > stored + added:
        sentence += f"; {in_ledger - stored - added} events came by another way than deliveries"
    return Finding("conservation", "good", sentence)


def _quarantine_usage(connection: psycopg.Connection[Any]) -> Finding:
    used = connection.execute("SELECT sum(rows), sum(bytes) FROM quarantine_usage").fetchone()
    held = connection.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM quarantine").fetchone()
    if used is None or held is None or tuple(map(int, used)) != tuple(map(int, held)):
        return Finding("quarantine", "bad", f"usage says {used}, the table holds {held} (rows, bytes)")
    return Finding("quarantine", "good", f"{held[0]} deliveries, {held[1]} bytes set aside")


def _projections(connection: psycopg.Connection[Any], now_us: int) -> list[Finding]:
    head = _value(connection, "SELECT coalesce(max(notification_id), 0) FROM ledger_events")
    found = []
    versions = {projection.name: projection.version for projection in PROJECTIONS}
    rows = connection.execute(
        "SELECT name, position, fold_version, caught_up_at_us FROM projections ORDER BY name"
    ).fetchall()
    for name, position, fold_version, moved_at_us in rows:
        check = f"projection {name}"
        if fold_version != versions.get(name, fold_version):
            found.append(
                Finding(
                    check, "warning", f"made by version {fold_version}, this is {versions[name]}: rebuild"
                )
            )
        elif position < head:
            since_s = max(0, now_us - moved_at_us) // 1_000_000
            found.append(
                Finding(
                    check,
                    "warning",
                    f"at {position} of {head}, last moved {since_s} s ago; is serve running?",
                )
            )
        else:
            found.append(Finding(check, "good", f"caught up at position {position}"))
    if not rows and head:
        found.append(Finding("projection sessions", "warning", "has not begun; is serve running?"))
    return found
