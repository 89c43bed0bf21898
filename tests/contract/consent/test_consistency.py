"""How fresh answers are: tokens, and what a replica that lags may and may not answer."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from accord.consent.v1 import consent_service_pb2
from accord.consent.v1 import decision_service_pb2 as pb

from services.chassis.db import Database
from services.consent.advice import Advice
from services.consent.domain import commands as c
from services.consent.domain.decision import Permit
from services.consent.domain.vector import Vector
from services.consent.horizon import ANY, LATEST, Consistency, Horizon
from services.consent.sources import open_replica
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, ins, query, record
from tests.support.readers import CALL, Readers, calling, reason_name
from tests.support.refused import reason_of


def seen(text: str) -> Vector:
    """What a token says. Raises: AssertionError for no token."""
    vector = Vector.parse(text)
    assert vector is not None
    return vector


def fresh(token: str) -> pb.Consistency:
    return pb.Consistency(at_least_as_fresh=token)


async def test_every_answer_bears_a_token_of_what_it_has_seen(bench: Bench) -> None:
    readers = Readers(bench)
    calling(SENDER)
    address = await bench.consenting()
    asked, size = readers.asking(address), len(bench.entries())
    checked = await readers.decisions.Check(pb.CheckRequest(query=asked), CALL)
    item = pb.BatchCheckRequest.Item(correlation_id="1", query=asked)
    batched = await readers.decisions.BatchCheck(pb.BatchCheckRequest(items=[item]), CALL)
    explained = await readers.decisions.Explain(pb.ExplainRequest(query=asked), CALL)
    assert {checked.token, batched.token, explained.token} == {Vector(1, (size,)).text}
    patient = consent_service_pb2.PatientIdentity(root=ins(1).root, matricule=ins(1).matricule)
    request = pb.AuthorizeRequest(query=asked, exchange="e" * 64, document_patients=[patient])
    authorized = await readers.decisions.Authorize(request, CALL)
    assert seen(authorized.token) == Vector(1, (authorized.entry.index + 1,)) == Vector(1, (size + 1,))


async def test_a_token_covers_all_shards_and_never_less_than_before(sharded: Bench) -> None:
    addresses = [await sharded.consenting(n) for n in range(1, 7)]
    known = Vector(1, (0,) * 4)
    for address in addresses:
        token = seen((await sharded.advice.advise((c.Check(query(address)),))).token)
        assert all(map(int.__le__, known.sizes, token.sizes))
        assert token.sizes[address.shard] == len(sharded.entries(address.shard))
        known = token
    both = await sharded.advice.advise([c.Check(query(address)) for address in addresses])
    assert all(map(int.__le__, known.sizes, seen(both.token).sizes))


async def test_a_token_of_another_process_is_known_once_the_heads_are_read(database_url: str) -> None:
    first = build(database_url)
    second = build(database_url, clock=first.clock, view=first.view)
    address = await first.consenting()
    token = seen((await first.advice.advise((c.Check(query(address)),))).token)
    assert not second.ledger.horizon.covers(token)
    advised = await second.advice.advise((c.Check(query(address)),), Consistency(token))
    assert isinstance(advised.verdicts[0], Permit)
    assert seen(advised.token) == token
    for bench in (second, first):
        await bench.close()


@pytest.mark.parametrize("method", ["Check", "BatchCheck", "Explain"])
async def test_a_token_that_is_none_or_not_of_this_ledger_or_ahead_of_it_is_refused(bench: Bench, method: str) -> None:
    readers = Readers(bench)
    calling(SENDER)
    address = await bench.consenting()
    size = len(bench.entries())

    async def ask(token: str) -> Any:
        asked, consistency = readers.asking(address), fresh(token)
        item = pb.BatchCheckRequest.Item(correlation_id="1", query=asked)
        requests: dict[str, Any] = {
            "Check": pb.CheckRequest(query=asked, consistency=consistency),
            "BatchCheck": pb.BatchCheckRequest(items=[item], consistency=consistency),
            "Explain": pb.ExplainRequest(query=asked, consistency=consistency),
        }
        return await getattr(readers.decisions, method)(requests[method], CALL)

    assert (await ask(Vector(1, (size,)).text)).token == Vector(1, (size,)).text
    assert await reason_of(ask(Vector(1, (size + 1,)).text)) is Reason.NOT_YET_CONSISTENT
    assert await reason_of(ask(Vector(2, (0,)).text)) is Reason.NOT_YET_CONSISTENT
    for text in ("", "x", Vector(1, (size,)).text + "=", Vector(0, (0,)).text, Vector(1, (0, 0)).text, "é" * 9):
        with pytest.raises(AccordError) as caught:
            await ask(text)
        assert [item.field for item in caught.value.violations] == ["consistency.at_least_as_fresh"], text


async def test_a_requirement_that_is_set_to_false_is_refused(bench: Bench) -> None:
    readers = Readers(bench)
    calling(SENDER)
    for name in ("minimize_latency", "fully_consistent"):
        request = pb.CheckRequest(query=readers.asking(None))
        setattr(request.consistency, name, True)
        assert not (await readers.decisions.Check(request, CALL)).verdict.permitted
        setattr(request.consistency, name, False)
        with pytest.raises(AccordError) as caught:
            await readers.decisions.Check(request, CALL)
        assert [item.field for item in caught.value.violations] == [f"consistency.{name}"]


async def test_advice_goes_by_no_older_register_and_no_earlier_time_than_the_shard_has_seen(database_url: str) -> None:
    """Two processes: the second's lease is older, then its clock is behind, and it advises as the ledger would decide."""
    first = build(database_url)
    second = build(database_url)
    address = await first.consenting()
    first.view.set([record(SENDER), record(RECIPIENT)])
    await first.authorize(query(address))
    assert await reason_of(second.advice.check(c.Check(query(address)))) is Reason.REGISTRY_STALE
    second.view.snapshot = first.view.snapshot
    assert isinstance(await second.advice.check(c.Check(query(address))), Permit)
    first.clock.now_ms += 31 * 86_400_000
    await first.authorize(query(address))
    assert not isinstance(await second.advice.check(c.Check(query(address))), Permit)
    for bench in (second, first):
        await bench.close()


class Lagging:
    """A ledger whose replica stands still since its copy was made: one patient, whose consent is then withdrawn."""

    def __init__(self, primary: Bench, replica: Database) -> None:
        view: Any = primary.view
        self.primary, self.replica = primary, replica
        self.advice = Advice(
            primary.database, primary.ledger, view, primary.clock, primary.identifiers, replica=replica
        )
        self.address = c.Address(0, 0)
        self.before = self.after = Vector(1, (0,))

    async def says(self, consistency: Consistency = ANY) -> tuple[bool, Vector]:
        """Whether it permits, and what it has seen."""
        advised = await self.advice.advise((c.Check(query(self.address)),), consistency)
        return isinstance(advised.verdicts[0], Permit), seen(advised.token)

    async def close(self) -> None:
        await self.advice.close()
        await self.primary.close()
        self.replica.close()


@pytest.fixture
async def lagging(tmp_path: Path) -> AsyncIterator[Lagging]:
    primary = build(f"sqlite:///{tmp_path / 'primary.db'}")
    address = await primary.patient()
    given = await primary.grant(address, SENDER)
    await primary.grant(address, RECIPIENT)
    size = len(primary.entries())
    await primary.close()
    shutil.copyfile(tmp_path / "primary.db", tmp_path / "replica.db")
    primary = build(f"sqlite:///{tmp_path / 'primary.db'}")
    made = Lagging(primary, open_replica(f"sqlite:///{tmp_path / 'replica.db'}"))
    await primary.revoke(given)
    made.address, made.before, made.after = address, Vector(1, (size,)), Vector(1, (size + 1,))
    yield made
    await made.close()


async def test_what_may_be_old_is_read_from_the_replica_and_its_token_says_how_old(lagging: Lagging) -> None:
    assert await lagging.says() == (True, lagging.before)
    assert await lagging.says(Consistency(lagging.before)) == (True, lagging.before)


async def test_what_the_replica_has_not_reached_is_read_from_the_primary(lagging: Lagging) -> None:
    assert await lagging.says(Consistency(lagging.after)) == (False, lagging.after)
    assert await lagging.says(LATEST) == (False, lagging.after)
    assert await lagging.says() == (True, lagging.before), "what the primary knows is not claimed of the replica"
    beyond = Consistency(Vector(1, (lagging.after.sizes[0] + 1,)))
    assert await reason_of(lagging.says(beyond)) is Reason.NOT_YET_CONSISTENT


async def test_who_withdraws_gets_a_token_that_no_lagging_answer_satisfies(lagging: Lagging) -> None:
    """The new enemy: what follows on a withdrawal is decided by it, wherever it is asked."""
    assert lagging.primary.ledger.token == lagging.after.text
    await lagging.primary.ledger.do(
        c.MoveProfile(lagging.address, EntryType.PROFILE_CLOSED, c.Actor(c.HOLDER, "eidas2"))
    )
    token = seen(lagging.primary.ledger.token)
    assert token.sizes == (len(lagging.primary.entries()),)
    assert await lagging.says() == (True, lagging.before)
    assert await lagging.says(Consistency(token)) == (False, token)


async def test_the_broker_s_question_is_never_answered_by_a_replica(lagging: Lagging) -> None:
    """It covers bytes that are on their way: a withdrawal must cut them, whatever lags."""
    readers = Readers(lagging.primary, lagging.advice)
    request = pb.CheckRequest(query=readers.asking(lagging.address))
    calling(SENDER)
    assert (await readers.decisions.Check(request, CALL)).verdict.permitted
    calling()
    for consistency in (None, pb.Consistency(minimize_latency=True), fresh(lagging.before.text)):
        request = pb.CheckRequest(query=readers.asking(lagging.address), consistency=consistency)
        answer = await readers.decisions.Check(request, CALL)
        assert reason_name(answer.verdict) == "CONSENT_REVOKED"
        item = pb.BatchCheckRequest.Item(correlation_id="1", query=request.query)
        batch = await readers.decisions.BatchCheck(pb.BatchCheckRequest(items=[item], consistency=consistency), CALL)
        assert reason_name(batch.items[0].verdict) == "CONSENT_REVOKED"


async def test_an_earlier_instant_is_explained_by_the_primary(lagging: Lagging) -> None:
    readers = Readers(lagging.primary, lagging.advice)
    explained, token = await readers.past.explain(query(lagging.address), lagging.primary.clock.now_ms)
    assert not isinstance(explained.verdict, Permit)
    assert seen(token) == lagging.after


@pytest.mark.parametrize("wrong", ["missing", "empty"])
async def test_a_replica_that_does_not_answer_leaves_the_primary(lagging: Lagging, tmp_path: Path, wrong: str) -> None:
    """No such database; and one that holds no such log yet."""
    if wrong == "missing":
        url = f"sqlite:///{tmp_path / 'nowhere' / 'replica.db'}"
    else:
        other = build(f"sqlite:///{tmp_path / 'empty.db'}")
        with other.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM head")
        await other.close()
        url = f"sqlite:///{tmp_path / 'empty.db'}"
    alone = Lagging(lagging.primary, open_replica(url))
    alone.address = lagging.address
    assert await alone.says() == (False, lagging.after)
    await alone.advice.close()
    alone.replica.close()


async def test_items_of_one_batch_may_be_read_from_replica_and_primary(tmp_path: Path) -> None:
    """The token then claims of each shard what was read of it, and no more of the others."""
    primary = build(f"sqlite:///{tmp_path / 'primary.db'}", shards=2)
    patients: dict[int, c.Address] = {}
    number = 0
    while len(patients) < 2:
        number += 1
        address = await primary.consenting(number)
        patients.setdefault(address.shard, address)
    sizes = [len(primary.entries(shard)) for shard in range(2)]
    await primary.close()
    shutil.copyfile(tmp_path / "primary.db", tmp_path / "replica.db")
    primary = build(f"sqlite:///{tmp_path / 'primary.db'}", shards=2)
    made = Lagging(primary, open_replica(f"sqlite:///{tmp_path / 'replica.db'}"))
    for shard in range(2):
        await primary.authorize(query(patients[shard]))
    asked = [c.Check(query(patients[shard])) for shard in range(2)]
    least = Consistency(Vector(1, (sizes[0] + 1, sizes[1])))
    assert seen((await made.advice.advise(asked)).token) == Vector(1, tuple(sizes))
    assert seen((await made.advice.advise(asked, least)).token) == least.least
    await made.close()


def test_a_standby_is_opened_though_it_takes_no_writes(postgresql_url: str) -> None:
    """A database that refuses writes, as a standby does: the ledger's own connection looks for another server."""
    standby = f"{postgresql_url}{'&' if '?' in postgresql_url else '?'}options=-c%20default_transaction_read_only%3Don"
    refused, opened = Database(standby), open_replica(standby)
    with pytest.raises(AccordError) as caught:
        refused.ping()
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    opened.ping()
    for database in (refused, opened):
        database.close()


def test_a_horizon_only_grows_and_takes_no_size_that_was_not_read() -> None:
    horizon = Horizon(3, 2)
    assert seen(horizon.reached(1, 5)) == Vector(3, (0, 5))
    assert seen(horizon.reached(1, 4)) == Vector(3, (0, 5))
    assert seen(horizon.token({0: 7})) == Vector(3, (7, 5))
    assert not horizon.covers(Vector(3, (7, 5))), "another database's size is told, not learnt"
    horizon.learn([2, 3])
    assert seen(horizon.token({})) == Vector(3, (2, 5))
    assert horizon.covers(Vector(3, (2, 5)))
    assert not horizon.covers(Vector(3, (3, 0)))
