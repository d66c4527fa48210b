"""What a server's /metrics told before a cause and after it, as the series of a unit test of alert rules."""

import json
import subprocess
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.serving import Service

BEFORE_MINUTES: Final = 30
"""How long promtool is told what was before the cause; the cause comes with the next minute."""
AFTER_MINUTES: Final = 60
"""Longer than any rule looks back and waits together: an hour."""
TARGET: Final = {"job": "streamledger", "instance": "drill"}
"""What Prometheus adds to what it scrapes."""
MOMENTS: Final = "_timestamp_seconds"
"""In the name of a gauge that tells a moment."""

Series = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


class Scrape(msgspec.Struct, frozen=True):
    """What was told, or that nothing was."""

    up: bool
    at_s: float
    values: Series = {}
    grows: frozenset[str] = frozenset()
    """Names of samples that are counts."""


def scrape(service: Service) -> Scrape:
    """As Prometheus scrapes: an answer that is no 200 is as none."""
    at_s = time.time()
    try:
        answer = service.get("/metrics")
    except OSError:
        return Scrape(up=False, at_s=at_s)
    if answer.status != HTTPStatus.OK:
        return Scrape(up=False, at_s=at_s)
    values, grows = {}, set()
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            values[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
            if family.type in ("counter", "histogram"):
                grows.add(sample.name)
    return Scrape(up=True, at_s=at_s, values=values, grows=frozenset(grows))


def value_of(scraped: Scrape, name: str, **labels: str) -> float:
    """One sample."""
    return scraped.values[name, tuple(sorted(labels.items()))]


class Drill(msgspec.Struct, frozen=True):
    """Before a cause and with it. What it added to a counter is added each minute from then on."""

    before: Scrape
    after: Scrape
    goes_on: bool = True
    """Whether deliveries go on to come with the cause: then moments move on."""


def input_series(drill: Drill) -> list[dict[str, str]]:
    """The series of both scrapes, a value a minute; promtool's clock begins at 1970, and moments with it."""
    found = [_series("up", TARGET, f"1x{BEFORE_MINUTES - 1} {int(drill.after.up)}x{AFTER_MINUTES}")]
    for (name, labels), after in {**drill.before.values, **drill.after.values}.items():
        before = drill.before.values.get((name, labels))
        is_told = (name, labels) in drill.after.values
        step = 0.0
        if name in drill.before.grows | drill.after.grows:
            step = after - (before or 0.0)
        if MOMENTS in name:
            told = _moments(drill, before, after if is_told else None)
        else:
            told = _held(before, BEFORE_MINUTES, 0.0)
            told += " " + _held(after if is_told else None, AFTER_MINUTES, step)
        found.append(_series(name, {**dict(labels), **TARGET}, told))
    return found


def _moments(drill: Drill, before: float | None, after: float | None) -> str:
    started_s = BEFORE_MINUTES * 60
    earlier = None if before is None else before - drill.before.at_s
    later = None if after is None else after - drill.after.at_s + started_s
    return f"{_held(earlier, BEFORE_MINUTES, 60)} {_held(later, AFTER_MINUTES, 60 if drill.goes_on else 0)}"


def _held(value: float | None, minutes: int, step: float) -> str:
    return f"_x{minutes}" if value is None else f"{value:.6f}+{step:.6f}x{minutes - 1}"


def _series(name: str, labels: Mapping[str, str], values: str) -> dict[str, str]:
    said = ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items())
    return {"series": f"{name}{{{said}}}", "values": values}


def firing(alert: str, minute: int, *, fires: bool) -> dict[str, object]:
    """That this alert fires at a minute, or does not."""
    return _expected(f'{{alertname="{alert}"}}' if fires else None, minute, f',alertname="{alert}"')


def all_quiet(minute: int) -> dict[str, object]:
    """That no alert fires at a minute."""
    return _expected(None, minute, "")


def _expected(labels: str | None, minute: int, which: str) -> dict[str, object]:
    return {
        "expr": f'group by (alertname) (ALERTS{{alertstate="firing"{which}}})',
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": labels, "value": 1}] if labels else [],
    }


def judge(
    promtool: str, rules: Path, drill: Drill, expected: Iterable[Mapping[str, object]], file: Path
) -> str:
    """What `promtool test rules` finds wrong with this, "" for nothing."""
    test = {
        "interval": "1m",
        "input_series": input_series(drill),
        "promql_expr_test": [*expected],
    }
    # JSON is YAML.
    file.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
    ran = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else f"{ran.stdout}{ran.stderr}"
