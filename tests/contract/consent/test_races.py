"""Two replicas on one database, each with a loop, threads, connections and a tree of its own, at the same moment.

What they do to each other's patients, drawn at random and judged as a whole, is in `tests/races`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from services.consent import shard
from services.consent.domain import commands as c
from services.consent.locked import HEAD
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash
from tests.contract.consent.behind import change, rows, value
from tests.support.ledgers import DAY_MS, EVERYTHING, NOTICE, PUBLIC_KEY, SENDER, Bench, build, ins, query

HOLDER = c.Actor("holder", "eidas2")
Replicas = tuple[Bench, Bench]
Play = Callable[[Bench, int], Coroutine[Any, Any, Any]]


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[Replicas]:
    first = build(database_url)
    second = build(database_url, clock=first.clock, view=first.view)
    second.ids = first.ids
    yield first, second
    await first.close()
    await second.close()


async def together(replicas: Replicas, play: Play) -> list[Any]:
    """What each replica's play returns, both begun at the same moment in threads of their own."""
    ready = threading.Barrier(len(replicas))

    def run(number: int) -> Any:
        ready.wait()
        return asyncio.run(play(replicas[number], number))

    with ThreadPoolExecutor(len(replicas)) as threads:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(threads, run, number) for number in range(len(replicas))))


def grant_of(address: c.Address, request_id: str, now_ms: int, service: str = SENDER) -> c.Grant:
    return c.Grant(address, service, EVERYTHING, None, now_ms + DAY_MS, NOTICE, HOLDER, request_id, "digest")


async def test_a_tree_kept_in_memory_follows_what_the_other_replica_appended(replicas: Replicas) -> None:
    async def play(bench: Bench, number: int) -> None:
        for turn in range(20):
            await bench.open_profile(c.OpenProfile(ins(10 * turn + number)))

    await together(replicas, play)
    for number in range(6):
        bench = replicas[number % 2]
        await bench.open_profile(c.OpenProfile(ins(1000 + number)))
        frontier, (head,) = bench.logs[0]._frontier, rows(bench, "head")
        assert frontier is not None
        assert (frontier.size, frontier.root()) == (head.size, head.root)
        bench.logs[0].verify()


async def test_a_request_id_that_reaches_both_replicas_is_one_consent(replicas: Replicas) -> None:
    address, now_ms = await replicas[0].patient(), replicas[0].clock.now_ms

    async def play(bench: Bench, _: int) -> list[c.Consent]:
        calls = (bench.ledger.do(grant_of(address, f"request-{number}", now_ms)) for number in range(40))
        return await asyncio.gather(*calls)

    one, other = await together(replicas, play)
    assert one == other
    assert len({consent.consent for consent in one}) == 40
    assert replicas[0].kinds().count("consent.granted") == 40


async def test_a_patient_whom_both_replicas_meet_first_is_one_patient_paired_once(replicas: Replicas) -> None:
    async def play(bench: Bench, _: int) -> list[c.Address]:
        return [await bench.patient(number) for number in range(20)]

    one, other = await together(replicas, play)
    assert one == other
    kinds = replicas[0].kinds()
    assert (kinds.count("profile.opened"), kinds.count("pairing.created")) == (20, 40)
    assert kinds.count("registry.observed") == 1


async def test_a_withdrawal_that_reaches_both_replicas_is_one_revision(replicas: Replicas) -> None:
    address = await replicas[0].patient()
    consents = [await replicas[0].grant(address, SENDER) for _ in range(20)]

    async def play(bench: Bench, _: int) -> list[c.Consent]:
        return [await bench.revoke(consent) for consent in consents]

    one, other = await together(replicas, play)
    assert one == other
    assert {consent.revision for consent in one} == {2}
    assert replicas[0].kinds().count("consent.revoked") == 20


async def test_what_nobody_settled_is_swept_once_by_two_sweepers(replicas: Replicas) -> None:
    address = await replicas[0].consenting()
    for _ in range(20):
        await replicas[0].authorize(query(address))
    replicas[0].clock.now_ms += 100_000

    async def play(bench: Bench, _: int) -> int:
        return await bench.ledger.sweep(60_000)

    assert sum(await together(replicas, play)) == 20
    settled = [entry.outcome.authorization for entry in replicas[0].entries() if entry.outcome]
    assert len(settled) == len(set(settled)) == 20


async def test_a_proof_read_while_the_other_replica_writes_holds(replicas: Replicas) -> None:
    address = await replicas[0].consenting()
    origin = replicas[0].logs[0].origin
    done = threading.Event()

    async def play(bench: Bench, number: int) -> int:
        if number == 0:
            for _ in range(60):
                await bench.authorize(query(address))
            done.set()
        return 0 if number == 0 else prove_until(bench, origin, done)

    _, proven = await together(replicas, play)
    assert proven > 0


def prove_until(bench: Bench, origin: str, done: threading.Event) -> int:
    proven = 0
    while not (done.is_set() and proven):
        for item in bench.ledger.proofs.prove(origin, range(5), openings=False):
            proof = parse_proof(item.proof)
            head = open_checkpoint(proof.checkpoint_note, Verifier(origin, PUBLIC_KEY))
            verify_inclusion(leaf_hash(item.entry), proof.index, head.size, proof.hashes, head.root)
            proven += 1
    return proven


def test_replicas_that_start_at_the_same_moment_on_an_empty_database_begin_one_log(postgresql_url: str) -> None:
    ready = threading.Barrier(4)

    def start(_: int) -> Bench:
        ready.wait()
        return build(postgresql_url, shards=4)

    with ThreadPoolExecutor(4) as threads:
        benches = list(threads.map(start, range(4)))
    assert [row.size for row in rows(benches[0], "head")] == [0] * 4
    for bench in benches:
        asyncio.run(bench.close())


def test_a_head_that_another_replica_is_making_at_this_moment_is_the_log_s_head(postgresql_url: str) -> None:
    bench = build(postgresql_url)
    (head,) = rows(bench, "head")
    change(bench, "DELETE FROM head")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(1) as thread:
        with bench.database.write() as connection:
            connection.execute(insert(HEAD), [head._asdict()])
            started = thread.submit(bench.ledger.start)
            while not (value(bench, waiting) or started.done()):
                pass
            assert not started.done()
        started.result()
    assert rows(bench, "head") == [head]
    asyncio.run(bench.close())


async def test_without_the_row_s_lock_the_same_two_replicas_collide(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tests above rest on: they would not pass by luck."""
    monkeypatch.setattr(shard, "_LOCK", shard._READ_HEAD)
    pair = build(postgresql_url), build(postgresql_url)
    address = await pair[0].patient()

    async def play(bench: Bench, _: int) -> list[Any]:
        outcomes: list[Any] = []
        for _ in range(40):
            outcomes += await asyncio.gather(bench.authorize(query(address)), return_exceptions=True)
        return outcomes

    outcomes = [item for part in await together(pair, play) for item in part]
    assert any(isinstance(item, IntegrityError) for item in outcomes)
    for bench in pair:
        await bench.close()
