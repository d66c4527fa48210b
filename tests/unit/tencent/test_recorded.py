"""Recorded bodies are read as they were when they were recorded."""

from .recorded import given, recorded


def test_each_recorded_body_is_read_as_it_was() -> None:
    rows = recorded()
    assert len(rows) > 3000
    differing = [(body, given(body), was) for body, was in rows if given(body) != was]
    assert differing == []
