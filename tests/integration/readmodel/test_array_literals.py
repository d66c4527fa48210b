"""Lists go to PostgreSQL as arrays that it reads back to the same values."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamledger.postgres.connection import Database, connect
from streamledger.readmodel.fold.lines import array_literal

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
odd_texts = st.sampled_from(
    ["", " ", "NULL", "null", '"', "\\", "{", "}", ",", '","', "\\\\", "a\nb", "\t", "ü"]
)
lists = st.one_of(
    st.tuples(st.just("text[]"), st.lists(st.one_of(texts, odd_texts))),
    st.tuples(st.just("text[]"), st.lists(st.one_of(st.none(), texts, odd_texts))),
    st.tuples(st.just("int8[]"), st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)))),
    st.tuples(st.just("bool[]"), st.lists(st.one_of(st.none(), st.booleans()))),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(lists, min_size=1, max_size=10))
def test_a_list_comes_back_as_it_was(database: Database, given_lists: list[tuple[str, list[Any]]]) -> None:
    with connect(database, application_name="test") as connection:
        for kind, values in given_lists:
            row = connection.execute(f"SELECT %t::{kind}", (array_literal(values),)).fetchone()
            assert row == (values,)
