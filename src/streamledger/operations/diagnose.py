"""Diagnose a ledger: the checks of `doctor`, each with what it found."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import psycopg

from streamledger.ledger import reader
from streamledger.operations.limits import LIMITS, WRONG_TOKEN, descriptors_sentence
from streamledger.operations.troubles import clock_trouble, parked_trouble, settings_trouble
from streamledger.readmodel.projections.registry import PROJECTIONS

EVENTS_READ: Final = 2000
"""At once."""
_VERSION_GAPS_SQL: Final = (
    "SELECT count(*) FROM (SELECT FROM ledger_events GROUP BY originator_id"
    " HAVING max(originator_version) <> count(*)) AS gaps"
)


class Finding(msgspec.Struct, frozen=True):
    """What one check found; level is good, warning or bad."""

    check: str
    level: str
    detail: str


def diagnose(
    connection: psycopg.Connection[Any],
    now_us: int,
    limits: Mapping[str, int] | None = None,
    *,
    deep: bool = False,
) -> list[Finding]:
    """Every check, in one snapshot of the database. `limits` are the settings that limit strangers.

    With `deep` every event is read, and the rows of each reason are counted against their counters.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return [
            _durability(connection),
            _append_only(connection),
            _positions(connection),
            _conservation(connection),
            _quarantine_usage(connection),
            *_projections(connection, now_us),
            _parked(connection),
            _clock(connection, now_us),
            _nodes(connection),
            *((_events(connection), _set_aside(connection)) if deep else ()),
            *_limits(connection, limits or {}),
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
    if _value(
        connection, "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool"
    ):
        return Finding(
            "durability",
            "bad",
            f"PostgreSQL {version} takes no writes: a standby, paused, or set to read only",
        )
    return Finding("durability", "good", f"PostgreSQL {version}, fsync on")


def _append_only(connection: psycopg.Connection[Any]) -> Finding:
    enabled = _value(
        connection,
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ledger_events'::regclass"
        " AND tgname IN ('ledger_events_append_only', 'ledger_events_no_truncate') AND tgenabled <> 'D'",
    )
    may_change = _value(connection, "SELECT has_table_privilege('ledger_events', 'UPDATE, DELETE, TRUNCATE')")
    if enabled != 2 and may_change:
        return Finding("append-only", "bad", "the triggers that refuse changes of the ledger are missing")
    if enabled != 2:  # as on Citus, which takes none
        return Finding(
            "append-only", "good", "this role has no right to change the ledger; no triggers are there"
        )
    return Finding("append-only", "good", "UPDATE, DELETE and TRUNCATE on the ledger are refused")


def _positions(connection: psycopg.Connection[Any]) -> Finding:
    """The head is the number of events and the position of the last: there is no gap."""
    head = _value(connection, "SELECT position FROM ledger_head")
    count = _value(connection, "SELECT count(*) FROM ledger_events")
    last = _value(connection, "SELECT coalesce(max(notification_id), 0) FROM ledger_events")
    if not head == count == last:
        return Finding("positions", "bad", f"the head says {head}, of {count} events the last is at {last}")
    return Finding("positions", "good", f"1 to {head} without a gap")


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


def _limits(connection: psycopg.Connection[Any], limits: Mapping[str, int]) -> list[Finding]:
    """Each limit with how often it was reached since the ledger began; that alone is nothing bad."""
    if not limits:
        return []
    counters = dict(connection.execute("SELECT outcome, count FROM intake_counters").fetchall())
    enough, files = descriptors_sentence(limits["connections_max"])
    found = [Finding("open files", "good" if enough else "warning", files)]
    for limit in LIMITS.values():
        times = counters.get(limit.counter, 0)
        reached = f"reached {times} times, then {limit.beyond}" if times else "never reached"
        found.append(Finding(f"limit {limit.name}", "good", f"{limits[limit.name]} {limit.unit}, {reached}"))
    wrong = counters.get(WRONG_TOKEN, 0)
    return [*found, Finding("wrong tokens", "good", f"{wrong} came")]


def _projections(connection: psycopg.Connection[Any], now_us: int) -> list[Finding]:
    head = _value(connection, "SELECT position FROM ledger_head")
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


def _parked(connection: psycopg.Connection[Any]) -> Finding:
    found = parked_trouble(connection)
    return Finding("parked", "warning" if found else "good", found.detail if found else "no event is parked")


def _clock(connection: psycopg.Connection[Any], now_us: int) -> Finding:
    found = clock_trouble(connection, now_us)
    if found is not None:
        return Finding("clock", "warning", found.detail)
    return Finding("clock", "good", "nothing received in the last minutes speaks against this machine's")


def _nodes(connection: psycopg.Connection[Any]) -> Finding:
    found = settings_trouble(connection)
    agreed = "nodes that share this ledger go by the same settings"
    return Finding("settings", "warning" if found else "good", found.detail if found else agreed)


def _events(connection: psycopg.Connection[Any]) -> Finding:
    """Positions 1 to n, versions of each stream 1 to m, and every event readable."""
    before, unreadable = 0, 0
    while rows := reader.read_rows_after(connection, before, EVENTS_READ):
        if [row[0] for row in rows] != list(range(before + 1, before + len(rows) + 1)):
            return Finding("events", "bad", f"a position after {before} is missing or there twice")
        unreadable += len(reader.events_and_errors(rows)[1])
        before = rows[-1][0]
    gaps = _value(connection, _VERSION_GAPS_SQL)
    if gaps or unreadable:
        return Finding(
            "events", "bad", f"{unreadable} cannot be read, {gaps} streams have gaps in their versions"
        )
    return Finding("events", "good", f"{before} read, versions without gaps")


def _set_aside(connection: psycopg.Connection[Any]) -> Finding:
    """The quarantine's rows of each reason are those that its counters tell."""
    counters = dict(connection.execute("SELECT outcome, count FROM intake_counters").fetchall())
    held = dict(connection.execute("SELECT reason, count(*) FROM quarantine GROUP BY reason").fetchall())
    reasons = {outcome.partition(":")[2] for outcome in counters if outcome.startswith("quarantine:")}
    wrong = [
        f"{reason}: {held.get(reason, 0)} rows, {told} counted"
        for reason in sorted(reasons | held.keys())
        if (told := counters.get(f"quarantine:{reason}", 0) - counters.get(f"purged:{reason}", 0))
        != held.get(reason, 0)
    ]
    if wrong:
        return Finding("set aside", "bad", "; ".join(wrong))
    return Finding("set aside", "good", f"{sum(held.values())} rows, by reason as counted")
