"""The witness: the highest checkpoint of each log is kept, and a ledger that contradicts it is believed no more."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.chassis.db import Database
from services.errors import AccordError, Reason
from services.exchange.store import METADATA, Store
from services.exchange.witness import Witness
from services.formats.trust import Trust
from services.tlog.proof import consistency_proof
from tests.support.exchanges import until
from tests.support.ledger_simulator import Log

ORIGIN = "mes.example/ledger/1/0"


class Ledger:
    """What the witness asks a ledger; `log` is what it shows, `down` refuses every question."""

    def __init__(self) -> None:
        self.log = Log(ORIGIN)
        self.down = False
        self.shown = True
        self.broken: list[Exception] = []

    def grow(self, count: int, what: str = "entry") -> None:
        for _ in range(count):
            self.log.append(f"{what} {len(self.log.entries)}".encode(), b"", b"")

    async def checkpoints(self) -> list[str]:
        if self.broken:
            raise self.broken.pop()
        return [self.log.note()] if self.shown else []

    async def consistency(self, origin: str, old: int, new: int) -> list[bytes] | None:
        if self.down:
            raise AccordError(Reason.LEDGER_UNAVAILABLE)
        if new > len(self.log.entries):
            return None
        return consistency_proof(old, new, self.log.read)


class Site:
    """A ledger and the store of one broker; `witness` starts a new life of the broker."""

    def __init__(self, store: Store) -> None:
        self.store, self.ledger = store, Ledger()

    async def witness(self) -> Witness:
        trust = Trust("mes.example", (self.ledger.log.signer.verifier,), ())
        one = Witness(self.ledger, self.store, trust)  # type: ignore[arg-type]
        await one.start()
        return one


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    executor, database = ThreadPoolExecutor(1), Database(f"sqlite:///{tmp_path / 'exchange.db'}")
    database.create(METADATA)
    store = Store(database, executor, "test")
    yield Site(store)
    await store.close()
    executor.shutdown()
    database.close()


async def refused(work: object) -> Reason:
    with pytest.raises(AccordError) as caught:
        await work  # type: ignore[misc]
    return caught.value.reason


def required(witness: Witness) -> Reason | None:
    try:
        witness.require()
    except AccordError as error:
        return error.reason
    return None


async def test_nothing_is_believed_before_the_first_look(site: Site) -> None:
    witness = await site.witness()
    assert required(witness) is Reason.LEDGER_UNAVAILABLE
    await witness.look()
    assert required(witness) is None


async def test_a_log_that_grows_is_followed_across_lives(site: Site) -> None:
    for count in (0, 1, 4, 0, 7):
        site.ledger.grow(count)
        witness = await site.witness()
        await witness.look()
        assert (required(witness), witness.sizes()[ORIGIN]) == (None, len(site.ledger.log.entries))


async def test_an_older_checkpoint_that_comes_late_is_checked_and_changes_nothing(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(3)
    late = site.ledger.log.note()
    site.ledger.grow(3)
    await witness.look()
    await witness.see(late)
    assert (required(witness), witness.sizes()[ORIGIN]) == (None, 6)


async def test_threat_31_a_smaller_latest_checkpoint_is_a_rollback(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(6)
    await witness.look()
    site.ledger.log.truncate(5)
    assert await refused(witness.look()) is Reason.LEDGER_ROLLED_BACK
    assert required(witness) is Reason.LEDGER_ROLLED_BACK


async def test_threat_31_a_log_rewritten_and_grown_is_a_rollback_in_every_later_life(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(6)
    await witness.look()
    site.ledger.log.truncate(3)
    site.ledger.grow(9, "another")
    assert await refused(witness.look()) is Reason.LEDGER_ROLLED_BACK
    again = await site.witness()
    assert await refused(again.look()) is Reason.LEDGER_ROLLED_BACK
    assert (required(again), again.sizes()[ORIGIN]) == (Reason.LEDGER_ROLLED_BACK, 6)


async def test_threat_31_two_roots_of_one_size_are_a_rollback(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(6)
    await witness.look()
    site.ledger.log.truncate(5)
    site.ledger.grow(1, "another")
    assert await refused(witness.see(site.ledger.log.note())) is Reason.LEDGER_ROLLED_BACK


async def test_threat_31_a_checkpoint_that_the_ledger_cannot_reach_any_more_is_a_rollback(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(3)
    await witness.look()
    site.ledger.grow(3)
    shown = site.ledger.log.note()
    site.ledger.log.truncate(4)
    assert await refused(witness.see(shown)) is Reason.LEDGER_ROLLED_BACK


async def test_threat_31_a_log_that_is_no_longer_shown_is_a_rollback(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(1)
    await witness.look()
    site.ledger.shown = False
    assert await refused(witness.look()) is Reason.LEDGER_ROLLED_BACK


async def test_threat_31_a_new_entry_below_the_size_seen_before_is_a_rollback(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(6)
    await witness.look()
    witness.require_new(ORIGIN, 6, witness.sizes())
    with pytest.raises(AccordError) as caught:
        witness.require_new(ORIGIN, 5, witness.sizes())
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    assert required(witness) is Reason.LEDGER_ROLLED_BACK


async def test_a_proof_that_cannot_be_had_now_is_no_rollback_and_nothing_is_kept(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(2)
    await witness.look()
    site.ledger.grow(2)
    site.ledger.down = True
    assert await refused(witness.look()) is Reason.LEDGER_UNAVAILABLE
    assert (required(witness), witness.sizes()[ORIGIN]) == (None, 2)


async def test_a_checkpoint_of_a_log_or_key_that_trust_does_not_list_is_not_believed(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(1)
    for note in (Log(ORIGIN).note(), Log("mes.example/ledger/2/0").note(), "nonsense"):
        assert await refused(witness.see(note)) is Reason.LEDGER_UNAVAILABLE
    assert witness.sizes() == {}


async def test_following_survives_whatever_breaks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.exchange.witness.RETRY_S", 0.01)
    site.ledger.broken = [OSError("no file"), KeyError("another")]
    witness = await site.witness()
    following = asyncio.create_task(witness.follow())
    await until(lambda: required(witness) is None)
    assert site.ledger.broken == []
    following.cancel()
