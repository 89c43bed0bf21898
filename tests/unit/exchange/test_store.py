"""The broker's memory: one request id is one exchange, and what was answered is answered again."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.chassis.db import Database
from services.errors import Reason
from services.exchange.domain.exchange import Answer, DocumentStatus, Ended, EntryRef, Sent
from services.exchange.store import METADATA, Earlier, Key, State, Store, Unsettled
from services.formats.entry import OutcomeResult

KEY, EXCHANGE = Key("services/lumen", "j" * 22), "e" * 64
ENTRY = EntryRef("mes.example/ledger/1/0", 2**40, b"l" * 32)
ANSWER = Answer(EXCHANGE, 4, 5, (DocumentStatus("10", 2**33), DocumentStatus("42", 1)), b"{}")


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[dict[str, Store]]:
    executor, database = ThreadPoolExecutor(1), Database(f"sqlite:///{tmp_path / 'exchange.db'}")
    database.create(METADATA)
    yield {name: Store(database, executor, name) for name in ("one", "two")}
    executor.shutdown()
    database.close()


@pytest.fixture
def store(stores: dict[str, Store]) -> Store:
    return stores["one"]


async def test_a_request_id_is_claimed_once(store: Store) -> None:
    assert await store.claim(KEY, EXCHANGE) is None
    assert await store.claim(KEY, "f" * 64) == Earlier(EXCHANGE, State.CLAIMED, None, None)
    assert await store.claim(Key("services/carnet", KEY.request_id), "f" * 64) is None


async def test_an_answer_comes_back_as_it_was_kept(store: Store) -> None:
    await store.claim(KEY, EXCHANGE)
    await store.sending(KEY, ENTRY)
    await store.delivered(KEY, ANSWER)
    assert await store.claim(KEY, EXCHANGE) == Earlier(EXCHANGE, State.DELIVERED, None, ANSWER)


async def test_a_refusal_comes_back_with_its_reason(store: Store) -> None:
    await store.claim(KEY, EXCHANGE)
    await store.refused(KEY, Reason.AUTHOR_MISMATCH)
    assert await store.claim(KEY, EXCHANGE) == Earlier(EXCHANGE, State.REFUSED, Reason.AUTHOR_MISMATCH, None)


async def test_a_released_claim_may_be_claimed_again(store: Store) -> None:
    await store.claim(KEY, EXCHANGE)
    await store.release(KEY)
    assert await store.claim(KEY, EXCHANGE) is None


async def test_recovery_forgets_claims_names_what_was_being_sent_and_leaves_other_instances_alone(
    stores: dict[str, Store],
) -> None:
    one, two = stores["one"], stores["two"]
    claimed, answered, other = Key("services/lumen", "c"), Key("services/lumen", "a"), Key("services/lumen", "o")
    for store, key in ((one, KEY), (one, claimed), (one, answered), (two, other)):
        await store.claim(key, EXCHANGE)
    await one.sending(KEY, ENTRY)
    await one.refused(answered, Reason.CONSENT_MISSING)
    assert await one.recover() == [Unsettled(KEY, EXCHANGE, ENTRY, None)]
    assert await one.claim(claimed, EXCHANGE) is None
    assert (await one.claim(answered, EXCHANGE)) is not None
    assert (await one.claim(other, EXCHANGE)) is not None


@pytest.mark.parametrize(
    "sent",
    [
        Sent(OutcomeResult.DELIVERED, None, 2**40, 1_800_000_000_000, 1_800_000_000_001, "m.m.m", "a.é.\n"),
        Sent(OutcomeResult.FAILED, Reason.CONSENT_REVOKED, 0, None, None, "m.m.m"),
    ],
)
async def test_recovery_tells_how_sending_ended(store: Store, sent: Sent) -> None:
    ended = Ended("t.t.t", "p.p.p", ("10", "42"), sent)
    await store.claim(KEY, EXCHANGE)
    await store.sending(KEY, ENTRY)
    await store.ended(KEY, ended)
    assert await store.recover() == [Unsettled(KEY, EXCHANGE, ENTRY, ended)]


async def test_the_last_checkpoint_kept_of_a_log_is_the_one_read(store: Store) -> None:
    for origin, note in (("a", "1"), ("b", "2"), ("a", "3")):
        await store.keep(origin, note)
    assert await store.checkpoints() == {"a": "3", "b": "2"}
