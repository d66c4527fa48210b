"""The documents' examples are those of the program: its commands, its calls, the parts of its pages."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import pytest

from streamledger import bootstrap
from streamledger.cli.main import cli
from streamledger.postgres.connection import Database
from streamledger.readmodel.projections.registry import PROJECTIONS
from streamledger.settings import CONFIG_VARIABLE, FIELDS, Settings
from streamledger.web.description import complete
from tests.house.examples import calls, commands, mentioned, parts, words
from tests.house.rooms import ROOT
from tests.house.test_deploy import told
from tests.house.test_papers import PAPERS

READ = {path: path.read_text("utf-8") for path in PAPERS if "adr" not in path.parts}
IDS = [str(path.relative_to(ROOT)) for path in READ]
OTHER_PAGES = ("/callbacks", "/streams", "/sessions", "/deliveries", "/audit", "/search", "/quarantine")
PAGES = {"/", "/docs", "/schema", "/system", "/changes", "/v1", *OTHER_PAGES}


def resolved(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """The command that is named, and what it is given."""
    command: click.Command = cli
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        below = command.get_command(click.Context(command), arguments[0])
        assert below is not None, f"no such command: {arguments[0]}"
        command, arguments = below, arguments[1:]
    return command, arguments


def parsed(command: str) -> None:
    """Raises click's UsageError where the program would."""
    found, arguments = resolved(words(command))
    if not isinstance(found, click.Group):
        found.make_context(found.name, list(arguments))


def unknown_options(command: str) -> list[str]:
    found, arguments = resolved(words(command))
    with click.Context(found) as context:
        known = {name for each in found.get_params(context) for name in (*each.opts, *each.secondary_opts)}
    return [each for each in arguments if each.startswith("--") and each.partition("=")[0] not in known]


@lru_cache(maxsize=1)
def described() -> dict[str, dict[str, Any]]:
    """The paths of /schema."""
    application = bootstrap.create_web_app(Settings(), Database("host=/nowhere", "x")).application
    found: dict[str, dict[str, Any]] = complete(application.openapi_schema.to_schema())["paths"]
    return found


def call_faults(method: str, address: str) -> list[str]:
    """A path that is not there, or a parameter that its call does not know."""
    path, _, query = address.partition("?")
    for template, operations in described().items():
        pattern = re.sub(r"\\\{[^}]+\\\}", r"([^/]+|\\{[a-z_]+\\})", re.escape(template))
        if re.fullmatch(pattern, path) and (not method or method.lower() in operations):
            taken = operations.get(method.lower() or "get", next(iter(operations.values())))
            known = {each["name"] for each in taken.get("parameters", [])}
            asked = {each.partition("=")[0] for each in query.split("&") if each}
            return [f"{address}: no parameter {name}" for name in sorted(asked - known)]
    return [] if path in PAGES and not query else [f"no such call: {method} {address}"]


@pytest.mark.parametrize("paper", READ, ids=IDS)
def test_every_command_in_a_block_is_taken_by_the_program(
    paper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bodies.log", "events.ndjson.gz", "incident.ndjson", "FILE"):
        (tmp_path / name).touch()
    faults = {}
    for command in commands(READ[paper]):
        try:
            parsed(command.replace(" TIME", " 1h"))
        except (click.UsageError, AssertionError) as error:
            faults[command] = str(error)
    assert faults == {}


@pytest.mark.parametrize("paper", READ, ids=IDS)
def test_every_command_in_a_sentence_has_only_options_of_its_own(paper: Path) -> None:
    faults = {each: unknown_options(each) for each in mentioned(READ[paper])}
    assert {each: unknown for each, unknown in faults.items() if unknown} == {}


@pytest.mark.parametrize("paper", READ, ids=IDS)
def test_every_call_and_its_parameters_are_those_of_the_interface(paper: Path) -> None:
    assert [fault for call in calls(READ[paper]) for fault in call_faults(*call)] == []


@pytest.mark.parametrize("paper", READ, ids=IDS)
def test_settings_and_metrics_that_a_document_names_are_there(paper: Path) -> None:
    settings = {CONFIG_VARIABLE, *(f"STREAMLEDGER_{name.upper()}" for name in FIELDS)}
    named = set(re.findall(r"\bSTREAMLEDGER_(?!TEST_)[A-Z][A-Z_]*[A-Z]\b", READ[paper]))
    assert named - settings - {"STREAMLEDGER_DB_PASSWORD"} == set()
    metrics = {re.sub(r"\{.*", "", name) for name in re.findall(r"\bstreamledger_[a-z_]+\b", READ[paper])}
    samples = told() | {re.sub("_(bucket|sum|count)$", "", sample) for sample in told()}
    assert metrics - samples - {"streamledger_owner"} == set()


@pytest.mark.parametrize("paper", PAPERS, ids=[str(path.relative_to(ROOT)) for path in PAPERS])
def test_every_link_to_a_part_of_a_page_finds_it(paper: Path) -> None:
    text = paper.read_text("utf-8")
    lost = []
    for target in re.findall(r"\]\(([^)\s]*#[^)\s]+)\)", text):
        page, _, part = target.partition("#")
        if not page.startswith("http"):
            read = text if not page else (paper.parent / page).read_text("utf-8")
            lost += [target] if part not in parts(read) else []
    assert lost == []


def test_the_projections_are_named_where_a_reader_meets_them() -> None:
    for page in ("rebuild.md", "glossary.md", "http-api.md", "tables.md", "architecture.md"):
        text = READ[ROOT / "docs" / page]
        assert [each.name for each in PROJECTIONS if each.name not in text] == [], page
    listed = ", ".join(f"`{each.name}`" for each in PROJECTIONS)
    assert listed in READ[ROOT / "docs" / "glossary.md"]
    assert READ[ROOT / "docs" / "http-api.md"].count(f"({listed})") == 2


def test_there_are_examples_and_what_is_wrong_in_one_is_seen() -> None:
    everything = "\n".join(READ.values())
    assert len(commands(everything)) > 50
    assert len(mentioned(everything)) > 40
    assert len(calls(everything)) > 80
    assert commands("```sh\n$ streamledger tail --last 3     # so\n```") == ["tail --last 3"]
    assert unknown_options("tail --stream x --nope") == ["--nope"]
    with pytest.raises(click.UsageError, match="No such option"):
        parsed("tail --nope")
    assert call_faults("GET", "/v1/sessions?stat=live") == ["/v1/sessions?stat=live: no parameter stat"]
    assert call_faults("POST", "/v1/sessions") == ["no such call: POST /v1/sessions"]
    assert parts("# One `two`\n\n## What's it, then?\n") == {"one-two", "whats-it-then"}
