"""docs/tables.md draws the tables that the migrations make, and has a question for each of their indexes."""

import re
from typing import Final

from streamledger.postgres.schema import read_migrations
from tests.house.rooms import ROOT

PAGE: Final = (ROOT / "docs" / "tables.md").read_text("utf-8")
SCHEMA: Final = "\n".join(each.text.decode() for each in read_migrations())

_DRAWN: Final = re.compile(r"^```$(.*?)^```$", re.MULTILINE | re.DOTALL)
_ROW: Final = re.compile(r"^\| `(\w+_idx)` \| \S", re.MULTILINE)


def test_every_table_is_drawn() -> None:
    drawing = _DRAWN.search(PAGE)
    assert drawing is not None
    tables = set(re.findall(r"^CREATE TABLE (\w+)", SCHEMA, re.MULTILINE))
    assert len(tables) > 10
    assert tables - set(re.findall(r"\w+", drawing[1])) == set()


def test_every_index_has_its_question_and_every_question_its_index() -> None:
    indexes = {*re.findall(r"^CREATE (?:UNIQUE )?INDEX (\w+)", SCHEMA, re.MULTILINE)}
    assert len(indexes) > 10
    assert sorted(_ROW.findall(PAGE)) == sorted(indexes)
