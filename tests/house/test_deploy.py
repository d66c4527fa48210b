"""What docs/deploy ships fits the program: metrics, settings, runbooks; other tools check their own files."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from streamledger.operations.limits import LIMITS
from streamledger.operations.timings import Timings
from streamledger.readmodel.queries.system import ProjectionLag, SystemState, Usage
from streamledger.settings import CONFIG_VARIABLE, FIELDS
from streamledger.supervision import TaskStatus
from streamledger.web.metrics import Look
from tests.house.rooms import ROOT

DEPLOY = ROOT / "docs" / "deploy"
ALERTS = (DEPLOY / "alerts.yml").read_text()
WATCHING = (DEPLOY / "watching.md").read_text()
PROMTOOL = shutil.which("promtool")


def told() -> set[str]:
    """The names of all samples that /metrics can have."""
    state = SystemState(
        counters={"received": 1, "purged:expired": 1},
        usage=[Usage("signed", 1, 1)],
        projections=[ProjectionLag("sessions", 1, 1, 0.0, 0)],
        head=1,
        last_received_us={"ledger": 1},
    )
    look = Look(
        state=state,
        sessions={"live": 1},
        timings=Timings(1),
        queue_length=0,
        restarts=0,
        disk_free_bytes=1,
        connections={"idle": 1},
        tasks=[TaskStatus(name="feed", state="running", since_s=1)],
    )
    return {sample.name for family in look.collect() for sample in family.samples}


@pytest.mark.parametrize("file", ["alerts.yml", "grafana.json"])
def test_rules_and_board_name_metrics_that_there_are(file: str) -> None:
    named = set(re.findall(r"streamledger_[a-z_]+", (DEPLOY / file).read_text()))
    assert named
    assert named <= told()


def test_the_board_is_json_with_a_query_in_every_panel() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    assert all(target["expr"] for panel in panels for target in panel["targets"])


def test_the_limits_that_raise_no_alert_are_limits_and_those_of_every_day_are_among_them() -> None:
    left_out = re.search(r'limit!~"([a-z_|]+)"', ALERTS)
    assert left_out is not None
    names = set(left_out[1].split("|"))
    assert names <= LIMITS.keys()
    assert {limit.name for limit in LIMITS.values() if limit.ordinary} <= names


def test_every_alert_has_its_paragraph_in_the_runbook_and_its_drill() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS)
    drill = Path(__file__).with_name("alerts.test.yml").read_text()
    assert alerts
    assert re.findall(r"^\*\*(\w+)\*\*:", WATCHING, re.MULTILINE) == alerts
    assert [name for name in alerts if f'alertname="{name}"' not in drill] == []


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_each_alert_fires_when_its_cause_is_there() -> None:
    assert PROMTOOL is not None
    drill = Path(__file__).with_name("alerts.test.yml")
    ran = subprocess.run([PROMTOOL, "test", "rules", str(drill)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_settings_that_the_files_name_exist() -> None:
    known = {CONFIG_VARIABLE, *(f"STREAMLEDGER_{name.upper()}" for name in FIELDS)}
    for file in DEPLOY.iterdir():
        named = set(re.findall(r"\bSTREAMLEDGER_[A-Z_]+\b", file.read_text()))
        assert named - {"STREAMLEDGER_DB_PASSWORD"} <= known, file.name


def test_the_container_has_a_python_that_the_package_supports() -> None:
    version = re.search(r"FROM \S*python:(\d+\.\d+)", (DEPLOY / "Containerfile").read_text())
    assert version is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version[1]}" in project["classifiers"]
