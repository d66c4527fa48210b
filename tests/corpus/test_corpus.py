"""What this version answers about two thousand random histories is what was recorded of an earlier one.

Every fourth history by default, all of them with STREAMLEDGER_TEST_CORPUS=all. What differs is best looked
at with `python -m tests.corpus.compare`; what is meant to differ goes to allowed.toml.
"""

import os
from collections.abc import Iterator

import pytest

from streamledger.postgres.connection import Database
from streamledger.postgres.embedded import EmbeddedServer
from tests.conftest import clone
from tests.corpus import comparing, kept, program, variety
from tests.corpus.comparing import Allowed, Changed
from tests.corpus.differing import ABSENT, differences

ALL = os.environ.get("STREAMLEDGER_TEST_CORPUS") == "all"
EVERY, EVERY_REBUILT = (1, 1) if ALL else (4, 32)
SHOWN_MAX = 12


@pytest.fixture(scope="module")
def ledger(postgres_server: EmbeddedServer, template_database: str) -> Iterator[Database]:
    """The corpus's ledger, taken in by the live projections batch by batch."""
    with clone(postgres_server.dsn, template_database) as database:
        program.load(database, kept.read_lines(kept.DELIVERIES))
        program.project(database, comparing.batch_sizes())
        yield database


def hold(database: Database, step: int) -> None:
    """Compare every n-th history; a failure says which, what was asked, and where the answers differ."""
    outcome = comparing.compare(database, comparing.chosen(comparing.every(step)), comparing.read_allowed())
    assert outcome.questions > outcome.histories >= kept.read_about().histories // step
    if outcome.changed:
        shown = comparing.summary(outcome.changed[:SHOWN_MAX])
        pytest.fail(
            f"{len(outcome.changed)} differences from the recorded answers; the first ones:\n{shown}\n"
            "python -m tests.corpus.compare shows all",
            pytrace=False,
        )


def test_the_answers_are_those_that_were_recorded(ledger: Database) -> None:
    hold(ledger, EVERY)


def test_a_rebuild_gives_the_same_answers(ledger: Database) -> None:
    assert program.rebuild(ledger)
    hold(ledger, EVERY_REBUILT)


def test_every_trouble_and_every_kind_of_answer_occurs() -> None:
    assert variety.missing(variety.count(comparing.chosen(comparing.every(4)))) == []


def test_each_place_where_two_answers_differ_is_named() -> None:
    old = {"items": [{"position": 1, "at": "a"}, {"position": 2, "at": "b"}], "gone": 1, "same": [1, 2]}
    new = {"items": [{"position": 2, "at": "c"}, {"position": 3, "at": "d"}], "come": 2, "same": [2, 1]}
    found = {(each.path, each.place): (each.old, each.new) for each in differences(old, new)}
    assert found == {
        ("items[]", "items[position=1]"): ({"position": 1, "at": "a"}, ABSENT),
        ("items[].at", "items[position=2].at"): ("b", "c"),
        ("items[]", "items[position=3]"): (ABSENT, {"position": 3, "at": "d"}),
        ("gone", "gone"): (1, ABSENT),
        ("same", "same"): ([1, 2], [2, 1]),
        ("come", "come"): (ABSENT, 2),
    }
    assert [each.path for each in differences([{"code": 1}, {"code": 2}], [{"code": 2}, {"code": 1}])] == [
        "[] order"
    ]
    assert [*differences({"a": 1, "b": [{}]}, {"b": [{}], "a": 1})] == []
    assert [each.path for each in differences({"a": 1}, {"a": True})] == ["a"]


def test_an_allowed_difference_covers_what_it_names_and_nothing_else() -> None:
    (place,) = differences({"state_reasons": ["silence"]}, {"state_reasons": []})
    changed = Changed("h0007", {"ask": "session", "sequence": "7001"}, place)
    assert Allowed("meant", question="session *", path="state_reasons", old='["silence"]').fits(changed)
    assert Allowed("meant").fits(changed)
    for entry in (
        Allowed("meant", history="h0008"),
        Allowed("meant", question="timeline *"),
        Allowed("meant", path="state"),
        Allowed("meant", new='["silence"]'),
    ):
        assert not entry.fits(changed)
    assert all(entry.reason for entry in comparing.read_allowed())
