"""A recorded decision is explained, at its own instant, as it was taken: whatever has happened since."""

import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from services.consent.domain import commands as c
from services.consent.domain.decision import Permit
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import NO_LIMITS, Effect, Limits, Quota
from services.consent.indexing import Indexer
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.lease import Status
from services.formats.rights import Direction, Purpose, Scope
from tests.contract.consent.behind import change
from tests.support.ledgers import (
    DAY_MS,
    EVERYTHING,
    HOLDER,
    NOTICE,
    RECIPIENT,
    SENDER,
    Bench,
    build,
    convention,
    ins,
    query,
    record,
)
from tests.support.readers import Readers
from tests.support.refused import reason_of

PLATFORM, PARENT = c.Actor(c.PLATFORM, ""), c.Actor(c.REPRESENTATIVE, "eidas2", "parent-1")
SERVICES = (SENDER, RECIPIENT)
CARE = Scope(frozenset({"class:10"}), frozenset(Direction), frozenset({Purpose.CARE}))
TYPE = "type:11488-4"
EXPECTED = frozenset({Reason.STATE_CONFLICT, Reason.RESOURCE_NOT_FOUND, Reason.PROFILE_NOT_OPEN})
UNREADY = frozenset({Reason.PROFILE_SUSPENDED, Reason.SERVICE_NOT_REFERENCED, Reason.SERVICE_SUSPENDED})
NARROWER = frozenset({Reason.CONVENTION_EXCEEDED, Reason.CONVENTION_NOT_IN_FORCE})


@dataclass
class History:
    """Drawn events of a few patients on one ledger; no two in one millisecond."""

    bench: Bench
    chance: random.Random
    patients: list[c.Address] = field(default_factory=list)
    given: list[c.Consent] = field(default_factory=list)
    decided: list[tuple[c.Query, c.Decision]] = field(default_factory=list)

    async def run(self, steps: int) -> None:
        events = (
            *(self.decide,) * 8,
            *(self.grant,) * 4,
            self.open,
            self.pair,
            self.amend,
            self.move,
            self.move_profile,
            self.register,
            self.sweep,
        )
        for _ in range(steps):
            self.bench.clock.now_ms += self.chance.choice((1, 999, DAY_MS // 4))
            with suppress_expected():
                await self.chance.choice(events)()

    async def open(self) -> None:
        number = len(self.patients) + 1
        if number > 3:
            return
        majority_ms = self.bench.clock.now_ms + 20 * DAY_MS if number == 2 else None
        opened = c.OpenProfile(ins(number), opt_out=number == 3, majority_ms=majority_ms)
        address = await self.bench.open_profile(opened)
        self.patients.append(address)
        if majority_ms is not None:
            await self.bench.ledger.do(c.Represent(address, PARENT.person, True))

    async def pair(self) -> None:
        if self.patients:
            await self.bench.ledger.do(c.Pair(self.chance.choice(self.patients), self.chance.choice(SERVICES)))

    async def grant(self) -> None:
        if not self.patients:
            return
        chance, now_ms, number = self.chance, self.bench.clock.now_ms, next(self.bench.ids)
        start_ms = chance.choice((None, now_ms + DAY_MS))
        item = c.Grant(
            address=chance.choice(self.patients),
            service=chance.choice(SERVICES),
            scope=chance.choice((EVERYTHING, CARE)),
            start_ms=start_ms,
            end_ms=(start_ms or now_ms) + chance.choice((DAY_MS, 40 * DAY_MS)),
            notice_sha256=NOTICE,
            actor=chance.choice((HOLDER, HOLDER, PARENT)),
            request_id=f"request-{number:08}",
            digest=str(number),
            limits=self.limits(),
            pairs=True,
        )
        self.given.append(await self.bench.ledger.do(item))

    def limits(self) -> Limits:
        now_ms, no = self.bench.clock.now_ms, NO_LIMITS
        quotas = (Limits(quota=Quota(2)), Limits(quota=Quota(1, 86_400)))
        of_data = (
            Limits(exceptions=frozenset({TYPE, "label:V"})),
            Limits(data_from_ms=now_ms - DAY_MS, data_until_ms=now_ms + DAY_MS),
            Limits(erase_ms=now_ms + 3 * DAY_MS),
        )
        return self.chance.choice((*(no,) * 9, *quotas, *of_data, Limits(effect=Effect.DENY)))

    async def amend(self) -> None:
        if not self.given:
            return
        number, known = next(self.bench.ids), self.chance.choice(self.given)
        item = c.Amend(
            shard=known.shard,
            consent=known.consent,
            scope=self.chance.choice((EVERYTHING, CARE)),
            end_ms=self.bench.clock.now_ms + 10 * DAY_MS,
            notice_sha256=NOTICE,
            limits=self.limits(),
            actor=HOLDER,
            request_id=f"request-{number:08}",
            digest=str(number),
        )
        await self.bench.ledger.do(item)

    async def move(self) -> None:
        if self.given:
            known = self.chance.choice(self.given)
            to = self.chance.choice(
                (ConsentState.SUSPENDED, ConsentState.ACTIVE, ConsentState.ACTIVE, ConsentState.REVOKED)
            )
            await self.bench.ledger.do(c.MoveConsent(known.shard, known.consent, to, HOLDER))

    async def move_profile(self) -> None:
        if self.patients:
            address, back = self.chance.choice(self.patients), (EntryType.PROFILE_RESUMED, EntryType.PROFILE_REOPENED)
            move = self.chance.choice((EntryType.PROFILE_SUSPENDED, EntryType.PROFILE_CLOSED, *back, *back))
            actor = HOLDER if move in (EntryType.PROFILE_CLOSED, EntryType.PROFILE_REOPENED) else PLATFORM
            await self.bench.ledger.do(c.MoveProfile(address, move, actor, "because"))

    async def register(self) -> None:
        sender = self.chance.choice((*(SENDER,) * 5, "services/other"))
        status = self.chance.choice((Status.REFERENCED_WITH_EXCHANGE,) * 5 + (Status.SUSPENDED,))
        scope = self.chance.choice((EVERYTHING, EVERYTHING, CARE))
        self.bench.view.set([record(sender), record(RECIPIENT, status, convention=convention(scope))])
        with suppress_expected():
            await self.decide()
        if self.chance.randrange(2):
            self.bench.clock.now_ms += 1
            self.bench.view.set([record(SENDER), record(RECIPIENT)])

    async def sweep(self) -> None:
        for log in self.bench.logs:
            await self.bench.ledger.do(c.SweepConsents(log.shard))

    async def decide(self) -> None:
        chance, now_ms = self.chance, self.bench.clock.now_ms
        asked = query(
            chance.choice([*self.patients * 4, None]),
            direction=chance.choice(list(Direction)),
            counterparty=chance.choice((RECIPIENT, "")),
            purpose=chance.choice((Purpose.CARE, Purpose.CARE, Purpose.PREVENTION)),
            categories=frozenset({chance.choice(("class:10", "class:10", TYPE, "class:42"))}),
            labels=chance.choice((frozenset(), frozenset({"N"}), frozenset({"V"}))),
            data_from_ms=chance.choice((None, now_ms - DAY_MS // 2)),
            data_until_ms=chance.choice((None, now_ms)),
        )
        self.decided.append((asked, await self.bench.authorize(asked)))


class suppress_expected(suppress):  # noqa: N801 (a context manager, named as its base)
    """Leaves out what no rule of the ledger allows just now."""

    def __init__(self) -> None:
        super().__init__(AccordError)

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        return isinstance(error, AccordError) and error.reason in EXPECTED | UNREADY | NARROWER


async def check(history: History, readers: Readers) -> Counter[str]:
    """How often each reason was recorded. Raises: AssertionError unless each decision is explained as it was taken."""
    logs = [history.bench.entries(log.shard) for log in history.bench.logs]
    found: Counter[str] = Counter()
    for asked, decision in history.decided:
        entry = logs[int(decision.appended.origin.rpartition("/")[2])][decision.appended.index]
        explained, _ = await readers.past.explain(asked, entry.time_ms)
        verdict = explained.verdict
        assert verdict.resources == entry.resources
        if isinstance(verdict, Permit):
            assert (entry.type, verdict.until_s * 1000) == (EntryType.EXCHANGE_AUTHORIZED, entry.until_ms)
        else:
            assert (verdict.reason, verdict.told) == (entry.reason, decision.told)
        found[entry.reason.value if entry.reason else "permitted"] += 1
    return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_any_history_each_decision_is_explained_as_it_was_taken(database_url: str, seed: int) -> None:
    """First with an index of the log's first half only, then with a whole one."""
    bench = build(database_url, shards=2)
    history, readers, indexer = History(bench, random.Random(seed)), Readers(bench), Indexer(bench.database)
    await history.run(150)
    await indexer.catch_up(indexer.logs())
    await history.run(150)
    before = await check(history, readers)
    await indexer.catch_up(indexer.logs())
    assert await check(history, readers) == before
    assert before["permitted"] > 2
    assert len(before) > 6, "the history is too dull to show anything"
    await indexer.close()
    await bench.close()


async def test_what_the_log_does_not_say_yet_was_not_known(bench: Bench) -> None:
    """A registry snapshot counts from the entry that pins it on, not from when the registry made it."""
    readers = Readers(bench)
    address = await bench.consenting()
    bench.clock.now_ms += 1000
    bench.view.set([record(RECIPIENT)])
    explained, _ = await readers.past.explain(query(address), bench.clock.now_ms)
    assert isinstance(explained.verdict, Permit)
    bench.clock.now_ms += 1000
    await bench.authorize(query(address))
    explained, _ = await readers.past.explain(query(address), bench.clock.now_ms)
    assert not isinstance(explained.verdict, Permit)


async def test_a_revision_whose_key_is_gone_is_explained_no_more(bench: Bench) -> None:
    """The identity's key remains; the year's that sealed the consents is destroyed."""
    readers = Readers(bench)
    address = await bench.patient()
    await bench.grant(address, SENDER)
    change(bench, "DELETE FROM data_key WHERE patient = :patient AND year > 0 AND use = 0", patient=address.patient)
    assert await reason_of(readers.past.explain(query(address), bench.clock.now_ms)) is Reason.STATE_CONFLICT


async def test_before_the_log_s_first_entry_nobody_was_known(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.consenting()
    explained, _ = await readers.past.explain(query(address), bench.entries()[0].time_ms - 1)
    assert [step.reason for step in explained.steps] == [Reason.NOT_PERMITTED]
