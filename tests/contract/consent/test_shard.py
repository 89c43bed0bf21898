"""The shard's lock: the clock, the registry's order, and the moment before and after COMMIT."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event

from services.chassis.registry import Snapshot
from services.consent.domain import commands as c
from services.consent.locked import Locked, Means, draft
from services.errors import AccordError, Reason
from services.formats.entry import EntryType, Pin
from services.formats.lease import Status
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import verify_consistency
from tests.contract.consent.behind import THE_LOCK, everything, rows
from tests.support.ledgers import (
    DAY_MS,
    NOW_MS,
    PUBLIC_KEY,
    RECIPIENT,
    SENDER,
    Bench,
    HeldView,
    build,
    ins,
    query,
    record,
)


def append(locked: Locked) -> int:
    entry = draft(EntryType.EXCHANGE_REFUSED, "broker", {}, service=SENDER, exchange="e" * 64)
    return locked.append(entry).index


async def refused(bench: Bench, reason: Reason, item: c.OpenProfile | None = None) -> None:
    before = everything(bench)
    with pytest.raises(AccordError) as caught:
        await bench.open_profile(item or c.OpenProfile(ins(99)))
    assert caught.value.reason is reason
    assert everything(bench) == before


async def test_a_clock_behind_the_head_beyond_the_leeway_stops_the_shard(bench: Bench) -> None:
    await bench.patient()
    bench.clock.now_ms = NOW_MS - 1001
    await refused(bench, Reason.CLOCK_BEHIND)
    bench.clock.now_ms = NOW_MS
    await bench.open_profile(c.OpenProfile(ins(99)))


async def test_within_the_leeway_time_stands_still_at_the_head_s(bench: Bench) -> None:
    await bench.patient()
    bench.clock.now_ms = NOW_MS - 1000
    await bench.open_profile(c.OpenProfile(ins(99)))
    assert bench.entries()[-1].time_ms == NOW_MS


async def test_times_never_fall_from_entry_to_entry(bench: Bench) -> None:
    for number, moved in enumerate((0, 500, -700, 200, 9000, -900)):
        bench.clock.now_ms += moved
        await bench.open_profile(c.OpenProfile(ins(number)))
    times = [entry.time_ms for entry in bench.entries()]
    assert times == sorted(times)
    assert len(times) == 6


async def test_an_older_registry_snapshot_may_not_decide(bench: Bench) -> None:
    older = bench.view.snapshot
    bench.view.set([record(SENDER), record(RECIPIENT, Status.SUSPENDED)])
    address = await bench.open_profile(c.OpenProfile(ins(1)))
    await bench.ledger.do(c.Pair(address, SENDER))
    bench.view.snapshot = older
    before = everything(bench)
    for call in (bench.ledger.do(c.Pair(address, RECIPIENT)), bench.authorize(query(address))):
        with pytest.raises(AccordError) as caught:
            await call
        assert caught.value.reason is Reason.REGISTRY_STALE
    assert everything(bench) == before


async def test_two_snapshots_of_one_sequence_may_not_both_decide(bench: Bench) -> None:
    address = await bench.patient()
    other = HeldView(sequence=0)
    other.set([record(SENDER, Status.SUSPENDED), record(RECIPIENT)])
    assert bench.view.snapshot is not None
    assert other.snapshot is not None
    assert other.snapshot.pin.sequence == bench.view.snapshot.pin.sequence
    bench.view.snapshot = other.snapshot
    before = everything(bench)
    with pytest.raises(AccordError) as caught:
        await bench.authorize(query(address))
    assert caught.value.reason is Reason.REGISTRY_STALE
    assert everything(bench) == before


async def test_a_new_snapshot_is_observed_once_before_what_it_decides(bench: Bench) -> None:
    address = await bench.patient()
    assert bench.kinds()[:3] == ["profile.opened", "registry.observed", "pairing.created"]
    bench.view.set([record(SENDER), record(RECIPIENT)])
    first = await bench.authorize(query(address))
    await bench.authorize(query(address))
    entries = bench.entries()
    assert bench.kinds()[-3:] == ["registry.observed", "exchange.denied", "exchange.denied"]
    assert first.appended.index == len(entries) - 2
    assert bench.view.snapshot is not None
    assert [entry.registry for entry in entries[-3:]] == [bench.view.snapshot.pin] * 3
    assert entries[-4].registry.sequence == bench.view.snapshot.pin.sequence - 1
    assert entries[-3].actor == "ledger"
    assert entries[-3].subject == ""


async def test_a_snapshot_that_decides_nothing_is_not_observed(bench: Bench) -> None:
    bench.view.set([record(SENDER), record(RECIPIENT)])
    await bench.open_profile(c.OpenProfile(ins(1)))
    (entry,) = bench.entries()
    assert entry.registry == Pin(0, entry.registry.hash)


async def test_a_snapshot_that_refuses_is_observed_too(bench: Bench) -> None:
    address = await bench.open_profile(c.OpenProfile(ins(1)))
    with pytest.raises(AccordError) as caught:
        await bench.ledger.do(c.Pair(address, "services/nobody"))
    assert caught.value.reason is Reason.SERVICE_NOT_REFERENCED
    assert bench.kinds() == ["profile.opened", "registry.observed"]


async def test_the_lease_is_read_under_the_lock_for_waiting_must_not_age_it(bench: Bench) -> None:
    address = await bench.patient()
    asked = threading.Event()
    view = bench.view
    snapshot, view.snapshot = view.snapshot, None  # who reads before the lock finds a stale lease
    read = view.current

    def current() -> Snapshot:
        asked.set()
        return read()

    view.current = current  # type: ignore[method-assign]
    with bench.database.write() as connection:
        connection.execute(THE_LOCK)
        call = bench.authorize(query(address))
        waiting = asyncio.ensure_future(call)
        await asyncio.sleep(0.05)
        assert not asked.is_set()
        view.snapshot = snapshot
    assert (await waiting).told is Reason.CONSENT_MISSING


async def test_every_batch_leaves_a_signed_head_that_continues_the_one_before(bench: Bench) -> None:
    log = bench.logs[0]
    verifier = Verifier(log.origin, PUBLIC_KEY)
    seen = open_checkpoint(bench.ledger.proofs.checkpoints()[0], verifier)
    for size in (1, 2, 1, 5, 0, 3, 8, 1):
        with log.locked() as locked:
            for _ in range(size):
                append(locked)
        now = open_checkpoint(bench.ledger.proofs.checkpoints()[0], verifier)
        assert now.size == seen.size + size
        if seen.size:
            proof = bench.ledger.proofs.consistency(log.origin, seen.size, now.size)
            verify_consistency(seen.size, seen.root, now.size, now.root, proof)
        seen = now
        log.verify()
    assert len(bench.entries()) == seen.size == 21


@pytest.mark.parametrize("when", ["while writing", "while signing", "at COMMIT"])
async def test_a_crash_before_commit_leaves_nothing(bench: Bench, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = await bench.patient()
    before = everything(bench)

    def crash(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if when == "while signing":
            patch.setattr(Means, "sign", crash)
        elif when == "at COMMIT":
            event.listen(bench.database._engine, "commit", crash)
        with pytest.raises(KeyboardInterrupt), bench.logs[0].locked(bench.view.current()) as locked:  # noqa: PT012
            locked.lease()
            append(locked)
            locked.key(address.patient, 2031)
            if when == "while writing":
                crash()
    if when == "at COMMIT":
        event.remove(bench.database._engine, "commit", crash)
    assert everything(bench) == before
    await bench.open_profile(c.OpenProfile(ins(2)))
    bench.logs[0].verify()
    assert bench.kinds()[len(before["entry"]) :] == ["profile.opened"]


async def test_a_commit_whose_outcome_is_unknown_is_read_again_from_the_head(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage says no although it did: the call fails, the entry stands, and the next one follows it."""
    await bench.patient()
    dialect = bench.database._engine.dialect
    commit: Callable[[Any], None] = dialect.do_commit

    def lie(connection: Any) -> None:
        commit(connection)
        raise dialect.loaded_dbapi.OperationalError("the answer to COMMIT is lost")

    size = len(bench.entries())
    with monkeypatch.context() as patch:
        patch.setattr(dialect, "do_commit", lie)
        with pytest.raises(AccordError) as caught:
            await bench.open_profile(c.OpenProfile(ins(2)))
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert len(bench.entries()) == size + 1
    again = await bench.open_profile(c.OpenProfile(ins(2)))
    assert len(bench.entries()) == size + 1
    assert again == await bench.open_profile(c.OpenProfile(ins(2)))
    await bench.open_profile(c.OpenProfile(ins(3)))
    assert len(bench.entries()) == size + 2
    bench.logs[0].verify()


async def test_each_year_has_a_data_key_of_its_own_and_what_it_sealed_still_opens(bench: Bench) -> None:
    address = await bench.patient()
    await bench.grant(address, SENDER, days=900)
    first = len(bench.entries()) - 1
    bench.clock.now_ms += 400 * DAY_MS
    await bench.grant(address, SENDER, days=30)
    assert bench.opened(first)["authentication"] == "eidas2"
    assert bench.opened(first + 1)["authentication"] == "eidas2"
    years = {row.year for row in rows(bench, "data_key") if row.patient == address.patient}
    assert years == {0, 2026, 2027}


async def test_creating_a_shard_again_changes_nothing(bench: Bench) -> None:
    await bench.patient()
    before = everything(bench)
    bench.ledger.start()
    assert everything(bench) == before


async def test_a_second_process_on_the_same_log_continues_it(bench: Bench, database_url: str) -> None:
    other = build(database_url, clock=bench.clock, view=bench.view)
    for number in range(6):
        await (bench, other)[number % 2].open_profile(c.OpenProfile(ins(number)))
    assert bench.entries() == other.entries()
    assert len(bench.entries()) == 6
    await other.close()


async def test_an_entry_s_time_place_and_snapshot_are_the_lock_holder_s_and_no_draft_s(bench: Bench) -> None:
    with bench.logs[0].locked(bench.view.current()) as locked:
        locked.lease()
        with pytest.raises(TypeError, match="time_ms"):
            locked.append(draft(EntryType.AUDIT_READ, "auditor", {}, time_ms=7))
        append(locked)
    entry = bench.entries()[-1]
    assert (entry.time_ms, entry.shard, entry.registry) == (NOW_MS, 0, bench.view.current().pin)
