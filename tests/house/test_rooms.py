"""The rooms' walls hold (ADR 0001), and each rule is shown able to fail."""

from pathlib import Path

import pytest

from tests.house.rooms import ROOT, SOURCE, foreign_packages, impure_calls, lint_imports

ROOMS = ("cli", "web", "operations", "readmodel", "simulator", "ledger", "postgres", "tencent", "domain")
MODULES = ("bootstrap", "invocation", "settings", "supervision", "telemetry", "version")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """An empty streamledger with every room; returns the package's folder."""
    package = tmp_path / "streamledger"
    for room in ROOMS:
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").touch()
    for module in ("__init__", *MODULES):
        (package / f"{module}.py").touch()
    return package


def test_every_import_of_the_source_keeps_the_rules() -> None:
    code, output = lint_imports(ROOT / "src")
    assert code == 0, output


def test_imports_that_run_inwards_keep_the_rules(house: Path) -> None:
    (house / "bootstrap.py").write_text("import streamledger.web, streamledger.settings\n")
    (house / "readmodel" / "runner.py").write_text(
        "import psycopg, streamledger.ledger, streamledger.domain\n"
    )
    (house / "web" / "sessions.py").write_text("import litestar, streamledger.readmodel.projections.runner\n")
    (house / "tencent" / "reader.py").write_text("import pyjson5, streamledger.domain\n")
    (house / "settings.py").write_text("import os, streamledger.domain\n")
    code, output = lint_imports(house.parent)
    assert code == 0, output


@pytest.mark.parametrize(
    ("module", "imports"),
    [
        pytest.param("utils.py", "", id="a module outside of the rooms"),
        pytest.param("ledger/mapper.py", "import streamledger.readmodel", id="ledger uses readmodel"),
        pytest.param("readmodel/runner.py", "import streamledger.simulator", id="readmodel uses simulator"),
        pytest.param("simulator/plan.py", "import streamledger.readmodel", id="simulator uses readmodel"),
        pytest.param("simulator/plan.py", "import streamledger.ledger", id="simulator uses ledger"),
        pytest.param("operations/receive.py", "import streamledger.web", id="operations uses web"),
        pytest.param("web/app.py", "import streamledger.bootstrap", id="web uses bootstrap"),
        pytest.param("web/sessions.py", "import psycopg", id="web uses psycopg"),
        pytest.param("web/sessions.py", "import streamledger.postgres", id="web uses postgres"),
        pytest.param("domain/session.py", "import streamledger.tencent", id="domain uses tencent"),
        pytest.param("domain/session.py", "import streamledger.settings", id="domain uses settings"),
        pytest.param("domain/session.py", "import litestar", id="domain uses litestar"),
        pytest.param("tencent/expiry.py", "import streamledger.telemetry", id="tencent uses telemetry"),
        pytest.param("tencent/expiry.py", "import time", id="tencent uses a clock"),
    ],
)
def test_an_import_through_a_wall_breaks_the_rules(house: Path, module: str, imports: str) -> None:
    (house / module).write_text(imports + "\n")
    code, output = lint_imports(house.parent)
    assert code == 1, output
    assert "BROKEN" in output


def test_domain_stands_on_the_standard_library_and_msgspec_alone() -> None:
    found = {str(path): foreign_packages(path.read_text()) for path in (SOURCE / "domain").rglob("*.py")}
    assert {path: names - {"msgspec"} for path, names in found.items() if names - {"msgspec"}} == {}


def test_a_package_that_the_import_rules_do_not_list_is_seen() -> None:
    assert foreign_packages("import msgspec, os\nfrom attrs import define\nfrom . import errors\n") == {
        "msgspec",
        "attrs",
    }


@pytest.mark.parametrize("room", ["domain", "tencent"])
def test_the_pure_rooms_ask_no_clock_and_do_no_input_or_output(room: str) -> None:
    found = {str(path): impure_calls(path.read_text()) for path in (SOURCE / room).rglob("*.py")}
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_a_clock_and_an_opened_file_are_seen() -> None:
    source = "from datetime import UTC, datetime\nat = datetime.now(UTC)\nwith open('x') as file:\n    pass\n"
    assert impure_calls(source) == ["line 2: .now()", "line 3: open()"]
    assert impure_calls("at = datetime.fromtimestamp(at_ms / 1000, UTC)") == []
