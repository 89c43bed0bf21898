"""A ledger on a database of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.ledgers import Bench, build


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = build(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def sharded(tmp_path: Path) -> AsyncIterator[Bench]:
    made = build(tmp_path, shards=4)
    yield made
    await made.close()
