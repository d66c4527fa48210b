"""Forms of SQL that Citus with schema-based sharding refuses, found by PostgreSQL's own parser."""

import re
from ast import Constant, JoinedStr, parse, walk
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pglast
from pglast import ast, enums
from pglast.visitors import Visitor

SEVERAL = "several statements in one call"
DROPS = "one DROP of several objects"
UPDATES = "an UPDATE calls a function that is not immutable on columns"
CONFLICTS = "ON CONFLICT DO UPDATE calls a function that is not immutable"
TRIGGERS = "a trigger"
SEQUENCES = "a sequence"
PATHS = "a function without a search_path of its own"
COLUMNS = "a function in FROM without a list of its columns"
ADVISORY = "an advisory lock, which is known on one node only"


class Allowed(NamedTuple):
    """A fault that is let pass."""

    form: str
    part: str
    """What its statements hold."""
    reason: str


ALLOWED: tuple[Allowed, ...] = ()
"""None at present; what stands here and occurs no more fails a test."""

_SERIALS = {"serial", "bigserial", "smallserial", "serial4", "serial8"}
_SEQUENCES = {"nextval", "setval", "currval", "pg_get_serial_sequence"}


def faults_of(text: str, mutable: Collection[str] = ("now", "clock_timestamp")) -> list[str]:
    """The forms in what was sent in one call; `mutable` names the functions that are not immutable."""
    statements = pglast.parse_sql(text)
    found = _Forms(mutable)
    if len(statements) > 1:
        found.faults.append(SEVERAL)
    for each in statements:
        found(each)
        if isinstance(each.stmt, ast.CreateFunctionStmt):
            for inner in _statements_of(text, each):
                found.faults += faults_of(inner, mutable)
    return sorted(set(found.faults))


class _Forms(Visitor):
    def __init__(self, mutable: Collection[str]) -> None:
        self._mutable = mutable
        self.faults: list[str] = []

    def visit_DropStmt(self, _: Any, node: ast.DropStmt) -> None:
        if len(node.objects) > 1:
            self.faults.append(DROPS)

    def visit_UpdateStmt(self, _: Any, node: ast.UpdateStmt) -> None:
        for call in _calls((*node.targetList, node.whereClause), self._mutable):
            if any(isinstance(each, ast.ColumnRef) for each in _below(call.args)):
                self.faults.append(UPDATES)

    def visit_OnConflictClause(self, _: Any, node: ast.OnConflictClause) -> None:
        if list(_calls((*(node.targetList or ()), node.whereClause), self._mutable)):
            self.faults.append(CONFLICTS)

    def visit_CreateTrigStmt(self, *_: Any) -> None:
        self.faults.append(TRIGGERS)

    def visit_CreateSeqStmt(self, *_: Any) -> None:
        self.faults.append(SEQUENCES)

    def visit_AlterSeqStmt(self, *_: Any) -> None:
        self.faults.append(SEQUENCES)

    def visit_Constraint(self, _: Any, node: ast.Constraint) -> None:
        if node.contype == enums.ConstrType.CONSTR_IDENTITY:
            self.faults.append(SEQUENCES)

    def visit_TypeName(self, _: Any, node: ast.TypeName) -> None:
        if node.names and node.names[-1].sval in _SERIALS:
            self.faults.append(SEQUENCES)

    def visit_FuncCall(self, _: Any, node: ast.FuncCall) -> None:
        name = _name(node)
        if name in _SEQUENCES:
            self.faults.append(SEQUENCES)
        if "advisory" in name:
            self.faults.append(ADVISORY)

    def visit_CreateFunctionStmt(self, _: Any, node: ast.CreateFunctionStmt) -> None:
        given = [each.arg for each in node.options or () if each.defname == "set"]
        if not any(each.name == "search_path" for each in given):
            self.faults.append(PATHS)

    def visit_RangeFunction(self, _: Any, node: ast.RangeFunction) -> None:
        if not node.coldeflist and not (node.alias and node.alias.colnames):
            self.faults.append(COLUMNS)


def _name(node: ast.FuncCall) -> str:
    return str(node.funcname[-1].sval)


def _calls(nodes: Any, mutable: Collection[str]) -> Iterator[Any]:
    for each in _below(nodes):
        if isinstance(each, ast.SQLValueFunction) or (
            isinstance(each, ast.FuncCall) and _name(each) in mutable
        ):
            yield each


def _below(node: Any) -> Iterator[Any]:
    """The node and all that it holds."""
    if isinstance(node, tuple):
        for each in node:
            yield from _below(each)
    elif isinstance(node, ast.Node):
        yield node
        for name in node:
            yield from _below(getattr(node, name))


def _statements_of(text: str, made: ast.RawStmt) -> Iterator[str]:
    """The statements inside of a function, where it is of a language that can be read."""
    options = {each.defname: each.arg for each in made.stmt.options or ()}
    language = options["language"].sval if "language" in options else "sql"
    if language == "sql" and "as" in options:
        yield from (str(each) for each in pglast.split(options["as"][0].sval) if str(each).strip())
    if language == "plpgsql":
        end = made.stmt_location + made.stmt_len if made.stmt_len else None
        encoded = text.encode()
        for query, mode in _queries(pglast.parse_plpgsql(encoded[made.stmt_location : end].decode())):
            if mode == 0:
                yield query
            else:  # an expression, or the right side of an assignment
                yield "SELECT " + re.sub(r"^\s*[\w.\[\]]+\s*:?=", "", query, count=mode > 2)


def _queries(node: Any) -> Iterator[tuple[str, int]]:
    if isinstance(node, list):
        for each in node:
            yield from _queries(each)
    elif isinstance(node, dict):
        if "query" in node:
            yield node["query"], node.get("parseMode", 0)
        for each in node.values():
            yield from _queries(each)


def is_allowed(fault: str, statement: str) -> bool:
    """Whether the list lets it pass."""
    return any(fault == each.form and each.part in statement for each in ALLOWED)


_BEGINNING = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|DROP|ALTER|LOCK|BEGIN|TRUNCATE)\b.{9}", re.S
)


def constants(folder: Path) -> list[str]:
    """The statements that stand as a whole in the Python files below; those put together of pieces do not."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in walk(parse(path.read_text())):
            text = _BEGINNING.match(_text_of(node)) and _text_of(node)
            if text:
                text = re.sub(r"%\(\w+\)[sbt]|%[sbt]", "NULL", text).replace("%%", "%")
                text = re.sub(r"\{\w*\}", " x ", text)
                try:
                    pglast.parse_sql(text)
                except pglast.Error:
                    continue
                found.append(text)
    return found


def _text_of(node: Any) -> str:
    if isinstance(node, JoinedStr):
        return "".join(_text_of(each) or " x " for each in node.values)
    return node.value if isinstance(node, Constant) and isinstance(node.value, str) else ""


def logged(text: str) -> set[str]:
    """The statements in a PostgreSQL's log that was told to log all."""
    found: set[str] = set()
    for entry in re.split(r"\n(?!\t)", text):
        _, marked, statement = entry.partition("LOG:  ")
        match = re.match(r"(statement|execute [^:]*): ", statement) if marked else None
        if match:
            found.add(statement[match.end() :].replace("\n\t", "\n"))
    return found
