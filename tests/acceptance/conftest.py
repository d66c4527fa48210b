"""One service for all tests of a module: they use streams of their own."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.serving import Service, data_directory, serving

TOKEN = "way-in-7"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """A service with a callback key, a path token, and an embedded store."""
    with data_directory(made=True) as data_dir, serving(data_dir, callback_token=TOKEN) as started:
        yield started


@pytest.fixture
def new_sequence() -> Callable[[], str]:
    """Sequences that no other test uses, all above 2^53."""
    return lambda: str(2**60 + next(_numbers))
