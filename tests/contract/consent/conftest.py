"""A ledger on a database of its own for each test, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from tests.support.ledgers import Bench, build


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    made = build(database_url)
    yield made
    await made.close()


@pytest.fixture
async def sharded(database_url: str) -> AsyncIterator[Bench]:
    made = build(database_url, shards=4)
    yield made
    await made.close()
