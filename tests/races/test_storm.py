"""A short run of what `make races` does a hundred thousand times; and ledgers broken on purpose, which it catches."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.consent import exchanges, sources
from services.consent.locked import Locked
from services.consent.shard import ShardLog
from services.consent.store.facts import PATIENT, PatientFacts, patient_facts
from services.consent.store.facts import facts_asked as read_facts
from tests.contract.consent.behind import change
from tests.races.arena import Arena
from tests.races.campaign import Match, Tally, campaign
from tests.races.storm import Storm

INTERLEAVINGS = 2000
HAPPENED = {
    "consent.granted",
    "consent.amended",
    "consent.suspended",
    "consent.resumed",
    "consent.revoked",
    "consent.expired",
    "consent.ended",
    "exchange.authorized",
    "exchange.denied",
    "exchange.outcome",
    "profile.suspended",
    "profile.resumed",
    "profile.closed",
    "profile.reopened",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    if request.param == "postgresql":
        fresh: Callable[[], str] = request.getfixturevalue("postgres").fresh
        return fresh
    return sqlite_in(tmp_path)


def sqlite_in(folder: Path) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"sqlite:///{folder / str(next(numbers))}.db"


async def test_no_storm_of_replicas_makes_an_authorisation_follow_a_withdrawal_or_a_call_take_effect_out_of_its_time(
    new_database: Callable[[], str],
) -> None:
    tally = await campaign(new_database, INTERLEAVINGS, seed=1)
    assert tally.violations == []
    assert tally.interleavings >= INTERLEAVINGS
    assert tally.with_change > INTERLEAVINGS // 2
    assert HAPPENED - set(tally.kinds) == set()
    assert tally.kinds["exchange.authorized"] > INTERLEAVINGS // 10
    assert tally.exhausted > 0


async def catch(new_database: Callable[[], str], what: str) -> None:
    """Storms on new ledgers until one is caught at what it does wrong. Raises: AssertionError when none is."""
    tally = Tally()
    for number in range(12):
        arena = Arena(new_database())
        match = Match(arena, tally)
        await match.play(f"broken {number}")
        await arena.close()
        if any(what in violation for violation in tally.violations):
            return
    pytest.fail(f"{tally.violations}")


@pytest.mark.parametrize("what", ["it rests on consents/", "not (Line("])
async def test_a_ledger_that_gathers_its_facts_before_the_lock_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """By the log alone, and by the model."""
    early, locked = threading.local(), ShardLog.locked

    @contextmanager
    def gathering(log: ShardLog, *args: Any) -> Iterator[Locked]:
        with log._database.read() as connection:
            everybody = connection.execute(select(PATIENT.c.id)).scalars().all()
            early.facts = patient_facts(connection, log.shard, everybody)
        with locked(log, *args) as taken:
            yield taken

    def gathered(_: Any, __: int, queries: Any) -> Mapping[int, PatientFacts]:
        return {query.address.patient: early.facts[query.address.patient] for query in queries}

    monkeypatch.setattr(ShardLog, "locked", gathering)
    monkeypatch.setattr(exchanges, "facts_asked", gathered)
    await catch(sqlite_in(tmp_path), what)


async def test_a_replica_that_answers_questions_from_what_it_read_before_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[int, PatientFacts] = {}

    def remembered(connection: Any, shard: int, queries: Any) -> Mapping[int, PatientFacts]:
        fresh = read_facts(connection, shard, queries)
        answer = {patient: known.get(patient, facts) for patient, facts in fresh.items()}
        known.update(fresh)
        return answer

    monkeypatch.setattr(sources, "facts_asked", remembered)
    await catch(sqlite_in(tmp_path), "which was right at no point")


async def test_a_ledger_that_counts_no_quota_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "add_use", lambda *_: None)
    await catch(sqlite_in(tmp_path), "over quota")


async def test_a_log_that_was_changed_is_not_the_signed_head_s(tmp_path: Path) -> None:
    arena = Arena(sqlite_in(tmp_path)())
    await Storm(arena, "seed").prepare()
    bench = arena.benches[0]
    change(bench, "UPDATE entry SET data = CAST(replace(data, '\"portal\"', '\"ledger\"') AS BLOB) WHERE idx = 2")
    with pytest.raises(AssertionError, match="not the head's"):
        arena.read()
    await arena.close()
