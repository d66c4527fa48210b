"""Runs the import rules of pyproject.toml on a source tree, and reads what single modules lean on."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "streamledger"

_LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"
_CLOCK_CALLS = frozenset({"now", "utcnow", "today"})
_IO_CALLS = frozenset({"open", "print", "input"})


def lint_imports(source_root: Path, *, config: Path = ROOT / "pyproject.toml") -> tuple[int, str]:
    """Exit code and output of import-linter on the streamledger package under `source_root`.

    Its own process: the package under judgement may be another one than the tests import.
    """
    finished = subprocess.run(
        [sys.executable, "-c", _LINT, "--config", str(config), "--no-cache"],
        cwd=source_root,
        env={**os.environ, "PYTHONPATH": str(source_root), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return finished.returncode, finished.stdout + finished.stderr


def foreign_packages(source: str) -> set[str]:
    """Top-level names that a module imports from neither the standard library nor streamledger."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"streamledger"}


def impure_calls(source: str) -> list[str]:
    """Calls that ask a clock or do I/O: import rules cannot see them, datetime is a value and a clock."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(attr=name) if name in _CLOCK_CALLS:
                found.append(f"line {node.lineno}: .{name}()")
            case ast.Name(id=name) if name in _IO_CALLS:
                found.append(f"line {node.lineno}: {name}()")
    return found
