"""What is made of a decision after COMMIT: once, outside the lock, and no failure of it touches the record."""

import asyncio

import pytest

from services.consent.domain import commands as c
from tests.contract.consent.behind import THE_LOCK
from tests.support.ledgers import Bench, query


def _size(bench: Bench) -> int:
    return len(bench.entries())


async def test_a_decision_is_finished_when_its_entry_can_be_read(bench: Bench) -> None:
    item = c.Authorize(query(await bench.consenting()), bench.exchange(), (), "t" * 43)
    index, size = await bench.ledger.authorize(item, lambda decision: (decision.appended.index, _size(bench)))
    assert size == index + 1


async def test_the_lock_is_free_while_a_decision_is_finished(bench: Bench) -> None:
    item = c.Authorize(query(await bench.consenting()), bench.exchange(), (), "t" * 43)

    def write(decision: c.Decision) -> bool:
        with bench.database.write() as connection:
            connection.execute(THE_LOCK)
            return decision.permit is not None

    assert await bench.ledger.authorize(item, write)


async def test_a_failure_to_finish_is_its_callers_alone_and_nothing_is_decided_twice(bench: Bench) -> None:
    address = await bench.consenting()
    failing, other = (c.Authorize(query(address), bench.exchange(), (), "t" * 43) for _ in range(2))
    before = _size(bench)

    def fail(decision: c.Decision) -> None:
        raise RuntimeError("no signature")

    failed, decided = await asyncio.gather(
        bench.ledger.authorize(failing, fail), bench.ledger.authorize(other), return_exceptions=True
    )
    assert isinstance(failed, RuntimeError)
    assert isinstance(decided, c.Decision)
    assert _size(bench) == before + 2


async def test_a_decision_that_failed_is_not_finished(bench: Bench) -> None:
    bench.view.snapshot = None
    item = c.Authorize(query(None), bench.exchange(), (), "t" * 43)
    with pytest.raises(Exception, match="REGISTRY_STALE"):
        await bench.ledger.authorize(item, lambda decision: pytest.fail("there is no decision"))
