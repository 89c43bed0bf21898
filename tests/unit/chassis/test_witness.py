"""The witness: the highest checkpoint of each log is kept, and a ledger that contradicts it is believed no more.

One suite for every memory that a witness has: the broker's, the registry's, and the file of `accord audit watch`.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.chassis.db import Database
from services.chassis.witness import CheckpointStore, Contradiction, Witness
from services.ctl.witness_file import held
from services.errors import AccordError, Reason
from services.exchange import store as exchange
from services.formats.trust import Trust
from services.registry import tables as registry
from services.registry.witnessing import Checkpoints
from services.tlog.note import NoteError
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
    """A ledger and the memory of one witness; `witness` starts a new life of it."""

    def __init__(self, store: CheckpointStore) -> None:
        self.store, self.ledger = store, Ledger()

    async def witness(self, *logs: Log) -> Witness:
        """A new life of the witness, whose TRUST lists these logs; without any, the ledger's."""
        trust = Trust("mes.example", tuple(log.signer.verifier for log in logs or (self.ledger.log,)), ())
        one = Witness(self.ledger, self.store, trust)
        await one.start()
        return one


@asynccontextmanager
async def broker_s(folder: Path) -> AsyncIterator[CheckpointStore]:
    executor, database = ThreadPoolExecutor(1), Database(f"sqlite:///{folder / 'exchange.db'}")
    database.create(exchange.METADATA)
    store = exchange.Store(database, executor, "test")
    yield store
    await store.close()
    executor.shutdown()
    database.close()


@asynccontextmanager
async def registry_s(folder: Path) -> AsyncIterator[CheckpointStore]:
    executor, database = ThreadPoolExecutor(1), Database(f"sqlite:///{folder / 'registry.db'}")
    database.create(registry.METADATA)
    yield Checkpoints(database, executor)
    executor.shutdown()
    database.close()


@asynccontextmanager
async def auditor_s(folder: Path) -> AsyncIterator[CheckpointStore]:
    with held(folder / "witness.json") as store:
        yield store


@pytest.fixture(params=[broker_s, registry_s, auditor_s])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with request.param(tmp_path) as store:
        yield Site(store)


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
    monkeypatch.setattr("services.chassis.witness.RETRY_S", 0.01)
    site.ledger.broken = [OSError("no file"), KeyError("another")]
    witness = await site.witness()
    following = asyncio.create_task(witness.follow())
    await until(lambda: required(witness) is None)
    assert site.ledger.broken == []
    following.cancel()


async def test_a_contradiction_names_its_log_and_holds_both_signed_notes(site: Site) -> None:
    witness = await site.witness()
    site.ledger.grow(6)
    await witness.look()
    kept = site.ledger.log.note()
    site.ledger.log.truncate(5)
    await refused(witness.look())
    shown = site.ledger.log.note()
    why = "the latest checkpoint is smaller than one seen before"
    assert witness.contradiction == Contradiction(ORIGIN, why, kept, shown)
    site.ledger.log.truncate(4)
    await refused(witness.look())
    assert witness.contradiction.shown == shown, "the first one stays"
    assert witness.notes() == {ORIGIN: kept}


async def test_only_a_contradiction_bars_what_need_not_wait_for_the_first_look(site: Site) -> None:
    witness = await site.witness()
    witness.require_uncontradicted()
    site.ledger.grow(2)
    await witness.look()
    witness.require_uncontradicted()
    site.ledger.shown = False
    await refused(witness.look())
    with pytest.raises(AccordError) as caught:
        witness.require_uncontradicted()
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK


async def test_a_reason_that_lasts_is_logged_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.chassis.witness.RETRY_S", 0.001)
    site.ledger.broken = [AccordError(Reason.LEDGER_UNAVAILABLE) for _ in range(5)]
    site.ledger.broken.insert(2, AccordError(Reason.STORAGE_UNAVAILABLE))
    witness = await site.witness()
    following = asyncio.create_task(witness.follow())
    await until(lambda: required(witness) is None)
    following.cancel()
    told = [record.fields["reason"] for record in caplog.records if "cannot be followed" in record.message]  # type: ignore[attr-defined]
    assert told == ["LEDGER_UNAVAILABLE", "STORAGE_UNAVAILABLE", "LEDGER_UNAVAILABLE"]


async def test_a_later_epoch_that_trust_lists_takes_the_place_of_the_log_kept(site: Site) -> None:
    old, new = site.ledger.log, Log("mes.example/ledger/2/0")
    site.ledger.grow(5)
    await (await site.witness()).look()
    site.ledger.log = new
    site.ledger.grow(1)
    for logs in ((old, new), (new,)):
        witness = await site.witness(*logs)
        await witness.look()
        assert (required(witness), dict(witness.sizes())) == (None, {new.signer.name: 1})


@pytest.mark.parametrize(
    "origin", ["mes.example/ledger/1/1", "mes.example/ledger/0/0", "other.example/ledger/2/0", "mes.example/ledger/x/0"]
)
async def test_no_other_log_takes_its_place(site: Site, origin: str) -> None:
    old, other = site.ledger.log, Log(origin)
    site.ledger.grow(5)
    await (await site.witness()).look()
    site.ledger.log = other
    assert await refused((await site.witness(old, other)).look()) is Reason.LEDGER_ROLLED_BACK
    with pytest.raises(NoteError):
        await site.witness(other)


async def test_a_later_epoch_that_trust_does_not_list_is_not_believed(site: Site) -> None:
    old = site.ledger.log
    site.ledger.grow(5)
    await (await site.witness()).look()
    site.ledger.log = Log("mes.example/ledger/2/0")
    witness = await site.witness(old)
    assert await refused(witness.look()) is Reason.LEDGER_UNAVAILABLE
    assert required(witness) is Reason.LEDGER_UNAVAILABLE
