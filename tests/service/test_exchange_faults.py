"""What the broker does when its own parts fail: a database that refuses a statement, a rotation half done, a bug."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from accord.exchange.v1 import exchange_pb2

from services.errors import Reason
from services.exchange import broker
from services.exchange.settle import Settler
from services.exchange.spool import SpooledBundle
from services.exchange.store import Store
from services.formats.verify import verify
from tests.support.exchanges import SENDER, Bundle, Platform, Request, document, platform, until
from tests.support.running import failure

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "PATIENCE_S", 0.3)


def states(folder: Path) -> list[str]:
    """The state of each claimed request id."""
    with closing(sqlite3.connect(folder / "exchange.db")) as database:
        return [state for (state,) in database.execute("SELECT state FROM exchange")]


@contextmanager
def refusing(folder: Path, change: str) -> Iterator[None]:
    """A database that refuses a change of an exchange: `DELETE`, or `UPDATE` to a state."""
    verb, _, state = change.partition(" ")
    when = f"WHEN NEW.state = '{state}'" if state else ""
    trigger = f"CREATE TRIGGER no BEFORE {verb} ON exchange {when} BEGIN SELECT RAISE(ABORT, 'no'); END"
    with closing(sqlite3.connect(folder / "exchange.db", isolation_level=None)) as database:
        database.execute(trigger)
        yield
        database.execute("DROP TRIGGER no")


async def reasons(one: Platform, bundle: Bundle) -> list[str]:
    return (await failure(one.send(bundle))).reasons


async def test_a_denial_that_could_not_be_kept_at_once_is_kept_later(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        one.ledger.denial = Reason.CONSENT_MISSING
        bundle = one.bundle(document())
        with refusing(tmp_path, "UPDATE REFUSED"):
            assert await reasons(one, bundle) == ["STORAGE_UNAVAILABLE"]
            assert await reasons(one, bundle) == ["EXCHANGE_IN_PROGRESS"]
        await until(lambda: states(tmp_path) == ["REFUSED"])
        assert await reasons(one, bundle) == ["CONSENT_MISSING"]
        assert len(one.ledger.called("Authorize")) == 1


async def test_a_refusal_that_could_not_be_kept_at_once_is_kept_later(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document(), documents=(one.declared(document(), authors=()),))
        with refusing(tmp_path, "UPDATE REFUSED"):
            assert await reasons(one, bundle) == ["STORAGE_UNAVAILABLE"]
        await until(lambda: states(tmp_path) == ["REFUSED"])
        assert await reasons(one, bundle) == ["AUTHOR_MISMATCH"]
        assert one.ledger.refusals == ["AUTHOR_MISMATCH"]


@pytest.mark.parametrize("method", ["Authorize", "RecordRefusal"])
async def test_a_claim_that_could_not_be_released_at_once_is_released_later(tmp_path: Path, method: str) -> None:
    async with platform(tmp_path) as one:
        truth = one.declared(document())
        documents = (truth if method == "Authorize" else one.declared(document(), authors=()),)
        bundle = one.bundle(document(), documents=documents)
        one.ledger.failing[method] = UNAVAILABLE
        with refusing(tmp_path, "DELETE"):
            assert await reasons(one, bundle) == ["LEDGER_UNAVAILABLE"]
            assert states(tmp_path) == ["CLAIMED"]
        await until(lambda: states(tmp_path) == [])


async def test_a_sender_that_leaves_while_nothing_can_be_released_leaves_no_claim_behind(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())

        async def half() -> Any:
            yield bundle.frames[0]
            yield Request(chunk=exchange_pb2.Chunk(document=0, data=document()[:100]))
            await asyncio.Event().wait()

        with refusing(tmp_path, "DELETE"):
            async with one.client() as stub:
                call = stub.SendBundle(half(), timeout=30)
                await until(one.spooled)
                call.cancel()
            await until(lambda: not one.spooled())
            assert states(tmp_path) == ["CLAIMED"]
        await until(lambda: states(tmp_path) == [])


async def test_a_sender_that_leaves_during_its_claim_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, entered, go = Store.claim, asyncio.Event(), asyncio.Event()

    async def slow(self: Store, *arguments: Any) -> Any:
        earlier = await claim(self, *arguments)
        entered.set()
        await go.wait()
        return earlier

    async with platform(tmp_path) as one:
        monkeypatch.setattr(Store, "claim", slow)
        bundle = one.bundle(document())
        async with one.client() as stub:
            call = stub.SendBundle(iter(bundle.frames), timeout=30)
            await entered.wait()
            call.cancel()
            await asyncio.wait([asyncio.ensure_future(call.code())])
        go.set()
        monkeypatch.undo()
        await until(lambda: states(tmp_path) == [])
        await one.send(bundle)


async def test_a_claim_is_released_only_after_its_bytes_were_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete, seen = SpooledBundle.delete, []

    def watched(self: SpooledBundle) -> None:
        seen.append(states(tmp_path))
        delete(self)

    async with platform(tmp_path) as one:
        monkeypatch.setattr(SpooledBundle, "delete", watched)
        one.ledger.failing["Authorize"] = UNAVAILABLE
        assert await reasons(one, one.bundle(document())) == ["LEDGER_UNAVAILABLE"]
        assert (seen, states(tmp_path)) == ([["CLAIMED"]], [])


async def test_an_outcome_survives_whatever_breaks_while_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record, breaks = Settler.record, [KeyError("a bug"), OSError("a file")]

    async def breaking(self: Settler, *arguments: Any) -> Any:
        if breaks:
            raise breaks.pop()
        return await record(self, *arguments)

    monkeypatch.setattr(broker, "PATIENCE_S", 10)
    monkeypatch.setattr(Settler, "record", breaking)
    async with platform(tmp_path) as one:
        answer = await one.send(one.bundle(document()))
        verify(answer.evidence, one.trust)
        assert len([line for line in caplog.records if line.exc_info and "outcome" in line.message]) == 2


async def test_bytes_that_cannot_be_deleted_and_a_claim_that_cannot_turn_to_sending_cost_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: SpooledBundle) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(broker, "PATIENCE_S", 10)
    async with platform(tmp_path) as one:
        with refusing(tmp_path, "UPDATE SENDING"):
            assert await reasons(one, one.bundle(document())) == ["INTERNAL"]
        monkeypatch.setattr(SpooledBundle, "delete", broken)
        await one.send(one.bundle(document()))
        assert [outcome.outcome for outcome in one.ledger.outcomes] == [3, 1]


async def test_a_rotation_that_is_half_done_costs_no_exchange(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        await one.send(one.bundle(document()))
        files, bundle = one.files("/exchange"), one.bundle(document())
        async with one.client() as stub:
            files.cert.write_bytes(one.files(f"/service/{SENDER}").cert.read_bytes())
            await stub.SendBundle(iter(bundle.frames), timeout=30)
        assert len(one.kept) == 2
