"""The world of end-to-end tests: started once for each test process."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.ctl.stack import Stack
from tests.support.world import TRUST_DOMAIN, Visit, World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The three services and a recipient, shared: a test brings patients of its own."""
    yield from _run(tmp_path_factory.mktemp("world"))


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[World]:
    """The same, for one test that breaks things."""
    yield from _run(tmp_path)


def _run(folder: Path) -> Iterator[World]:
    started = World(Stack(folder, trust_domain=TRUST_DOMAIN))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture
async def visit(world: World) -> AsyncIterator[Visit]:
    """One test's channels into the shared world."""
    async with world.visit() as channels:
        yield channels
