"""A client of the web application on a test's database."""

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from streamledger.bootstrap import create_web_app
from streamledger.postgres.connection import Database
from streamledger.settings import Secret, Settings


@pytest.fixture
def client(database: Database) -> Iterator[TestClient[Any]]:
    settings = Settings(database_url=Secret(database.dsn))
    with TestClient(create_web_app(settings, database)) as opened:  # type: ignore[arg-type] # any ASGI application will do
        yield opened
