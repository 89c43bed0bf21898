"""A ledger on SQLite whose file cannot take more, or is somebody else's for the moment: nothing is half written."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from services.chassis.db import Database
from services.consent.domain import commands as c
from services.errors import AccordError, Reason
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, ins, query


async def settled(*calls: Any) -> list[Any]:
    """Results and exceptions, in order, of calls that were submitted together."""
    return await asyncio.gather(*calls, return_exceptions=True)


@contextmanager
def full(database: Database, spare_pages: int) -> Iterator[None]:
    """A disk with room for some pages more; SQLite's own limit, set on every connection that is used."""
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + spare_pages

    def limit(raw: Any, _: Any, __: Any) -> None:
        raw.execute(f"PRAGMA max_page_count = {pages}")

    def lift(raw: Any, _: Any, __: Any) -> None:
        raw.execute("PRAGMA max_page_count = 1073741823")

    event.listen(database._engine, "checkout", limit)
    yield
    event.remove(database._engine, "checkout", limit)
    event.listen(database._engine, "checkout", lift)


@pytest.mark.parametrize("spare_pages", range(3))
async def test_a_full_disk_refuses_writes_until_there_is_space_and_half_writes_nothing(
    bench: Bench, spare_pages: int
) -> None:
    address = await bench.patient()
    await bench.grant(address, SENDER)
    await bench.grant(address, RECIPIENT)
    done, refused = 0, 0
    size = len(bench.entries())
    with full(bench.database, spare_pages):
        for _ in range(60):
            (result,) = await settled(bench.authorize(query(address)))
            if isinstance(result, AccordError):
                assert result.reason is Reason.STORAGE_UNAVAILABLE
                refused += 1
            else:
                done += 1
            assert len(bench.entries()) == size + done
            if refused == 3:
                break
    assert refused == 3
    bench.logs[0].verify()
    decision = await bench.authorize(query(address))
    assert decision.permit is not None
    assert decision.appended.index == size + done
    assert bench.rested_on(decision.appended.index)["profile"] == "ACTIVE"


async def test_on_a_full_disk_every_call_of_the_batch_hears_it_and_none_stands(bench: Bench) -> None:
    address = await bench.patient()
    before = bench.entries()
    with full(bench.database, 0):
        results = await settled(*(bench.grant(address, SENDER) for _ in range(40)))
    assert {item.reason for item in results} == {Reason.STORAGE_UNAVAILABLE}
    assert bench.entries() == before


async def test_a_database_locked_by_somebody_else_is_unavailable(tmp_path: Path) -> None:
    bench = build(tmp_path)
    event.listen(bench.database._engine, "checkout", lambda raw, _, __: raw.execute("PRAGMA busy_timeout = 10"))
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (result,) = await settled(bench.open_profile(c.OpenProfile(ins(1))))
    assert isinstance(result, AccordError)
    assert result.reason is Reason.STORAGE_UNAVAILABLE
    assert result.retry_after
    other.execute("ROLLBACK")
    other.close()
    await bench.open_profile(c.OpenProfile(ins(1)))
    assert bench.kinds() == ["profile.opened"]
    await bench.close()
