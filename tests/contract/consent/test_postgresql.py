"""A ledger on a PostgreSQL in trouble: a lock that does not come, a full disk, a lost connection, a server that crashes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, text

from services.consent.domain import commands as c
from services.errors import AccordError, Reason
from tests.contract.consent.behind import THE_LOCK, everything
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, ins, query
from tests.support.postgres import Postgres, programs
from tests.support.refused import reason_of

FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON node EXECUTE FUNCTION full_disk();
"""
UNDONE_ONCE = """
CREATE SEQUENCE tries;
CREATE FUNCTION undone() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
IF nextval('tries') = 1 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure'; END IF;
RETURN NULL;
END $$;
CREATE TRIGGER undone AFTER INSERT ON node EXECUTE FUNCTION undone();
"""


@pytest.fixture
async def bench(postgresql_url: str) -> AsyncIterator[Bench]:
    made = build(postgresql_url)
    yield made
    await made.close()


@pytest.fixture
def durable() -> Iterator[Postgres]:
    """A server that waits for the disk as in production, for a test that crashes it."""
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: no initdb on PATH or in /usr/lib/postgresql")
    server = Postgres(binaries, durable=True)
    yield server
    server.close()


def do(bench: Bench, statement: str) -> None:
    with bench.database.write() as connection:
        connection.execute(text(statement))


async def test_a_shard_whose_lock_somebody_keeps_is_unavailable_until_it_is_free(bench: Bench) -> None:
    address = await bench.consenting()
    engine = bench.database._engine
    with bench.database.write() as connection:
        connection.execute(THE_LOCK)
        event.listen(engine, "begin", lambda begun: begun.exec_driver_sql("SET LOCAL lock_timeout = '50ms'"))
        assert await reason_of(bench.authorize(query(address))) is Reason.STORAGE_UNAVAILABLE
        assert (await bench.advice.check(c.Check(query(address)))).resources, "advice waits for no lock"
    assert (await bench.authorize(query(address))).permit is not None


async def test_on_a_full_disk_every_call_of_the_batch_hears_it_and_none_stands(bench: Bench) -> None:
    address = await bench.patient()
    do(bench, FULL)
    before = everything(bench)
    results = await asyncio.gather(*(bench.grant(address, SENDER) for _ in range(40)), return_exceptions=True)
    assert {item.reason for item in results if isinstance(item, AccordError)} == {Reason.STORAGE_UNAVAILABLE}
    assert len([item for item in results if isinstance(item, AccordError)]) == 40
    assert everything(bench) == before
    do(bench, "DROP TRIGGER full_disk ON node")
    await bench.grant(address, SENDER)
    bench.logs[0].verify()


async def test_what_the_server_undid_is_run_again_and_nobody_hears_of_it(bench: Bench) -> None:
    address = await bench.patient()
    size = len(bench.entries())
    do(bench, UNDONE_ONCE)
    results = await asyncio.gather(*(bench.grant(address, SENDER) for _ in range(5)))
    assert bench.kinds()[size:] == ["consent.granted"] * len(results) == ["consent.granted"] * 5
    bench.logs[0].verify()


async def test_a_replica_whose_connection_is_cut_keeps_no_lock_and_leaves_nothing(bench: Bench) -> None:
    address = await bench.patient()
    before, cut = everything(bench), threading.Event()
    terminate = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state LIKE 'idle in%'"
    )

    def stall() -> None:
        with pytest.raises(AccordError) as caught, bench.logs[0].locked(bench.view.current()) as locked:  # noqa: PT012
            locked.lease()
            locked.key(address.patient, 2031)
            do(bench, terminate)
            cut.set()
        assert caught.value.reason is Reason.STORAGE_UNAVAILABLE

    with ThreadPoolExecutor(1) as thread:
        await asyncio.get_running_loop().run_in_executor(thread, stall)
    assert cut.is_set()
    assert everything(bench) == before
    await bench.grant(address, SENDER)
    bench.logs[0].verify()


async def test_what_was_answered_survives_the_crash_of_the_server_and_the_ledger_goes_on(durable: Postgres) -> None:
    bench = build(durable.fresh())
    address = await bench.patient()
    granted = [await bench.grant(address, service) for service in (SENDER, RECIPIENT)]
    decisions: list[c.Decision] = []
    lost = 0
    for crash in range(4):
        calls: list[Any] = [asyncio.ensure_future(bench.authorize(query(address))) for _ in range(30)]
        if crash:
            await asyncio.sleep(0.004 * crash)
        durable.restart()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        decisions += [item for item in outcomes if isinstance(item, c.Decision)]
        reasons = {item.reason for item in outcomes if isinstance(item, AccordError)}
        assert reasons <= {Reason.STORAGE_UNAVAILABLE}
        lost += sum(isinstance(item, AccordError) for item in outcomes)
        decisions.append(await bench.authorize(query(address)))
    entries = bench.entries()
    recorded = [entry for entry in entries if entry.type.value.startswith("exchange.")]
    assert len(decisions) <= len(recorded) <= len(decisions) + lost
    assert all(entries[item.appended.index].exchange for item in decisions)
    assert all(bench.find_consent(0, consent.consent) == consent for consent in granted)
    bench.logs[0].verify()
    await bench.close()


async def test_no_server_is_unavailable_storage_and_its_return_needs_no_restart_of_ours(durable: Postgres) -> None:
    bench = build(durable.fresh())
    durable.stop()
    assert await reason_of(bench.open_profile(c.OpenProfile(ins(1)))) is Reason.STORAGE_UNAVAILABLE
    durable.start()
    await bench.open_profile(c.OpenProfile(ins(1)))
    assert bench.kinds() == ["profile.opened"]
    await bench.close()
