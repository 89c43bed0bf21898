"""What the clock decides is written down once, in order, by whoever sweeps, and after whatever crash."""

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from services.consent.domain import commands as c
from services.consent.domain.by_clock import MAJORITY
from services.consent.domain.lifecycle import ConsentState
from services.consent.locked import STEP, Locked
from services.consent.profiles import OPT_OUT_MS
from services.errors import AccordError, Reason
from services.formats.entry import Entry, EntryType
from services.tlog.tree import Frontier
from tests.contract.consent.behind import rows
from tests.support.ledgers import DAY_MS, EVERYTHING, NOTICE, NOW_MS, SENDER, Bench, build, ins

LATER = 10**12
"""A deadline that no authorisation has passed: only consents and profiles are swept."""
PARENT = c.Actor(c.REPRESENTATIVE, "franceconnect", "parent-1")


async def given(bench: Bench, ends: list[int]) -> list[c.Consent]:
    """Consents of one patient with these ends."""
    address = await bench.open_profile(c.OpenProfile(ins(1)))
    await bench.ledger.do(c.Pair(address, SENDER))
    grants = (
        c.Grant(address, SENDER, EVERYTHING, None, end, NOTICE, c.Actor("holder", "eidas2"), f"request-{number}", "")
        for number, end in enumerate(ends)
    )
    return list(await asyncio.gather(*map(bench.ledger.do, grants)))


def expiries(bench: Bench) -> list[Entry]:
    return [entry for entry in bench.entries() if entry.type == "consent.expired"]


def in_order(bench: Bench, consents: list[c.Consent]) -> list[tuple[str, ...]]:
    """What the log must say: each consent's second revision, by end."""
    sorted_ = sorted(consents, key=lambda item: (item.end_ms, item.consent))
    return [(bench.identifiers.revision_name(0, item.consent, 2),) for item in sorted_]


async def test_what_has_ended_expires_once_and_in_order_of_its_end(bench: Bench) -> None:
    ends = random.Random(1).sample(range(NOW_MS + 1, NOW_MS + 10_000), 2 * STEP + 10)
    consents = await given(bench, [*ends, NOW_MS + DAY_MS])
    bench.clock.now_ms += 5000
    early = [item for item in consents if item.end_ms <= bench.clock.now_ms]
    assert await bench.ledger.sweep(LATER) == len(early)
    assert [entry.resources for entry in expiries(bench)] == in_order(bench, early)
    bench.clock.now_ms += 5000
    assert await bench.ledger.sweep(LATER) == len(ends) - len(early)
    assert [entry.resources for entry in expiries(bench)] == in_order(bench, consents[:-1])
    assert await bench.ledger.sweep(LATER) == 0
    assert {entry.actor for entry in expiries(bench)} == {"ledger"}
    last = bench.find_consent(0, consents[-1].consent)
    assert last is not None
    assert last.state is ConsentState.ACTIVE


async def test_one_transaction_sweeps_a_bounded_number(bench: Bench) -> None:
    await given(bench, [NOW_MS + 1] * (STEP + 1))
    bench.clock.now_ms += 1
    assert [await bench.ledger.do(c.SweepConsents(0)) for _ in range(3)] == [STEP, 1, 0]


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether the process dies at each of the next transactions, just before its COMMIT."""
    planned: list[bool] = []
    flush = Locked.flush

    def dying(self: Locked) -> Frontier:
        frontier = flush(self)
        if planned and planned.pop(0):
            raise AccordError(Reason.STORAGE_UNAVAILABLE)
        return frontier

    monkeypatch.setattr(Locked, "flush", dying)
    yield planned
    monkeypatch.undo()


async def test_a_sweeper_that_crashes_at_every_other_step_still_writes_each_expiry_once_and_in_order(
    bench: Bench, database_url: str, crashes: list[bool]
) -> None:
    ends = random.Random(2).sample(range(NOW_MS + 1, NOW_MS + 1000), 2 * STEP + 10)
    consents = await given(bench, ends)
    bench.clock.now_ms += 1000
    drawn, died = random.Random(3), 0
    for _ in range(30):
        crashes[:] = [drawn.random() < 0.5 for _ in range(4)]
        # Each turn is another process, whose tree and snapshots are its own.
        other = build(database_url, clock=bench.clock, view=bench.view)
        try:
            await other.ledger.sweep(LATER)
        except AccordError:
            died += 1
        crashes.clear()
        await other.close()
    assert await bench.ledger.sweep(LATER) == 0
    assert died > 5
    assert [entry.resources for entry in expiries(bench)] == in_order(bench, consents)


async def test_two_sweepers_at_once_write_each_expiry_once_and_in_order(bench: Bench, database_url: str) -> None:
    consents = await given(bench, [NOW_MS + 1 + number for number in range(2 * STEP)])
    bench.clock.now_ms += DAY_MS
    other = build(database_url, clock=bench.clock, view=bench.view)
    ready = threading.Barrier(2)

    def run(one: Bench) -> int:
        ready.wait()
        return asyncio.run(one.ledger.sweep(LATER))

    with ThreadPoolExecutor(2) as threads:
        loop = asyncio.get_running_loop()
        swept = await asyncio.gather(*(loop.run_in_executor(threads, run, one) for one in (bench, other)))
    assert sum(swept) == len(consents)
    assert [entry.resources for entry in expiries(bench)] == in_order(bench, consents)
    await other.close()


async def test_what_was_withdrawn_or_ended_with_its_profile_never_expires(bench: Bench) -> None:
    one, other = await given(bench, [NOW_MS + 1, NOW_MS + 2])
    await bench.revoke(one)
    address = c.Address(0, other.patient)
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, c.Actor("holder", "eidas2")))
    bench.clock.now_ms += DAY_MS
    assert await bench.ledger.sweep(LATER) == 0
    assert expiries(bench) == []


async def test_what_is_paused_expires_all_the_same(bench: Bench) -> None:
    (paused,) = await given(bench, [NOW_MS + 1])
    await bench.ledger.do(c.MoveConsent(0, paused.consent, ConsentState.SUSPENDED, c.Actor("holder", "eidas2")))
    bench.clock.now_ms += 1
    assert await bench.ledger.sweep(LATER) == 1
    found = bench.find_consent(0, paused.consent)
    assert found is not None
    assert (found.state, found.cause, found.revision) == (ConsentState.EXPIRED, "", 3)
    assert found.actor.role == "holder"  # the clock ended it, and did not give it


async def test_majority_and_opening_are_swept_by_the_same_clock_once_each(bench: Bench) -> None:
    majority_ms = NOW_MS + OPT_OUT_MS
    child = await bench.open_profile(c.OpenProfile(ins(1), majority_ms=majority_ms))
    await bench.ledger.do(c.Pair(child, SENDER))
    await bench.ledger.do(c.Represent(child, "parent-1", True))
    grant = c.Grant(child, SENDER, EVERYTHING, None, NOW_MS + 300 * DAY_MS, NOTICE, PARENT, "request-1", "")
    by_parent = await bench.ledger.do(grant)
    by_holder = await bench.ledger.do(replace(grant, actor=c.Actor("holder", "eidas2"), request_id="request-2"))
    await bench.open_profile(c.OpenProfile(ins(2), opt_out=True))
    assert await bench.ledger.sweep(LATER) == 0
    bench.clock.now_ms = majority_ms
    assert await bench.ledger.sweep(LATER) == 2
    assert await bench.ledger.sweep(LATER) == 0
    suspended, opened = bench.entries()[-2:]
    assert (suspended.type, suspended.cause, suspended.actor) == ("consent.suspended", MAJORITY, "ledger")
    assert suspended.resources == (bench.identifiers.revision_name(0, by_parent.consent, 2),)
    assert (opened.type, opened.actor) == ("profile.opened", "ledger")
    found = bench.find_consent(0, by_holder.consent)
    assert found is not None
    assert found.state is ConsentState.ACTIVE
    assert [row.majority_ms for row in rows(bench, "patient")] == [None, None]
