"""A register on a database of its own for each test, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator

import pytest

from services.chassis.db import Database
from tests.support.registers import Register, open_database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
async def register(database: Database, database_url: str) -> AsyncIterator[Register]:
    made = Register(database, database_url)
    yield made
    await made.commits.drain()
    made.executor.shutdown()
