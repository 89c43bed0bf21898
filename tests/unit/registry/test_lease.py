"""What readers of the lease are given, and when."""

import asyncio

import pytest

from services.errors import AccordError, Reason
from services.formats.lease import MAX_AGE_S, Lease, open_lease, parse_snapshot
from services.registry.domain.snapshot import EMPTY, Snapshot
from services.registry.lease import Issued, Leases
from tests.support.register import TRUST_DOMAIN, record, signer
from tests.support.registers import StillClock

KEY = signer()
FIRST = Snapshot.of(2, [record("first").to_bytes()])
SECOND = Snapshot.of(3, [record("first").to_bytes(), record("second").to_bytes()])


class Store:
    """A store that knows a snapshot, or fails; counts how often it is read."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = FIRST
        self.reads = 0

    async def load(self) -> Snapshot:
        self.reads += 1
        known = self.snapshot
        await asyncio.sleep(0)  # the answer is on its way while the world moves on
        if known is None:
            raise AccordError(Reason.STORAGE_UNAVAILABLE)
        return known


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def leases(store: Store) -> Leases:
    made = Leases(KEY, TRUST_DOMAIN, StillClock(), store.load)
    await made.publish(FIRST)
    return made


def opened(issued: Issued) -> Lease:
    key = KEY.verify_key
    return open_lease(issued.token, TRUST_DOMAIN, {key.kid: key}.get)


async def test_a_reader_without_a_snapshot_is_given_all_of_it_at_once(leases: Leases) -> None:
    issued = await leases.issue(0, 10)
    lease = opened(issued)
    assert (lease.pin, lease.size, lease.max_age_s) == (FIRST.pin, 1, MAX_AGE_S)
    assert lease.issued_s == StillClock().ms // 1000
    assert list(parse_snapshot(lease, issued.records)) == ["services/first"]


async def test_the_empty_snapshot_is_a_snapshot(store: Store) -> None:
    store.snapshot = EMPTY
    issued = await Leases(KEY, TRUST_DOMAIN, StillClock(), store.load).issue(0, 0)
    assert opened(issued).pin == EMPTY.pin
    assert parse_snapshot(opened(issued), issued.records) == {}


async def test_a_reader_that_holds_the_snapshot_is_given_a_new_lease_without_records(leases: Leases) -> None:
    issued = await leases.issue(2, 0)
    assert issued.records == ()
    assert opened(issued).pin == FIRST.pin
    assert opened(issued).size == 1


async def test_a_waiting_reader_is_woken_by_the_next_change(leases: Leases) -> None:
    waiting = [asyncio.create_task(leases.issue(2, 60)) for _ in range(3)]
    await asyncio.sleep(0)
    await leases.publish(SECOND)
    for task in waiting:
        issued = await task
        assert opened(issued).pin == SECOND.pin
        assert issued.records == SECOND.records


async def test_a_reader_with_a_sequence_from_elsewhere_is_answered_at_once_with_ours(leases: Leases) -> None:
    issued = await leases.issue(99, 60)
    assert opened(issued).pin == FIRST.pin
    assert issued.records == FIRST.records


async def test_an_older_snapshot_never_replaces_a_newer_one(leases: Leases) -> None:
    await leases.publish(SECOND)
    await leases.publish(FIRST)
    assert (await leases.current()).pin == SECOND.pin


async def test_a_withdrawn_snapshot_wakes_who_waits_and_is_read_back_from_the_store(
    leases: Leases, store: Store
) -> None:
    waiting = asyncio.create_task(leases.issue(2, 60))
    await asyncio.sleep(0)
    store.snapshot = SECOND
    await leases.withdraw()
    assert opened(await waiting).pin == SECOND.pin
    assert store.reads == 1


async def test_while_the_store_is_silent_a_withdrawn_snapshot_is_not_handed_out(leases: Leases, store: Store) -> None:
    store.snapshot = None
    await leases.withdraw()
    with pytest.raises(AccordError) as raised:
        await leases.issue(2, 0)
    assert raised.value.reason is Reason.STORAGE_UNAVAILABLE
    store.snapshot = SECOND
    assert opened(await leases.issue(2, 0)).pin == SECOND.pin


async def test_what_was_read_before_a_withdrawal_is_not_handed_out_after_it(leases: Leases, store: Store) -> None:
    await leases.withdraw()
    reading = asyncio.create_task(leases.current())
    await asyncio.sleep(0)  # the read has begun, and knows the store as it was
    store.snapshot = SECOND
    await leases.withdraw()
    assert (await reading).pin == SECOND.pin


async def test_no_lease_is_issued_once_the_ledger_is_not_believed_not_even_to_a_reader_that_waits(store: Store) -> None:
    believed = True

    def require() -> None:
        if not believed:
            raise AccordError(Reason.LEDGER_ROLLED_BACK)

    leases = Leases(KEY, TRUST_DOMAIN, StillClock(), store.load, require)
    await leases.issue(0, 0)
    waiting = asyncio.create_task(leases.issue(FIRST.pin.sequence, 10))
    await asyncio.sleep(0)
    believed = False
    await leases.publish(SECOND)
    for refused in (waiting, leases.issue(0, 0)):
        with pytest.raises(AccordError) as caught:
            await refused
        assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    assert await leases.current() == SECOND, "the register itself goes on"
