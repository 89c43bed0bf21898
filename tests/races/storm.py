"""What a history consists of: calls drawn at random, by many tasks of every replica at once, about few patients.

A seed says what each task draws. It replays no history: the order in which calls take effect is the machine's, and what a
task draws next may depend on it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Effect, Limits, Quota
from services.formats.entry import EntryType
from services.formats.rights import Direction, Purpose, Scope
from tests.races.arena import Arena
from tests.races.calls import Recorder
from tests.races.people import Person
from tests.support.ledgers import DAY_MS, EVERYTHING, NOTICE, RECIPIENT, SENDER, Bench, query

PATIENTS = 3
TASKS = 36
"""Of all replicas together."""
CALLS = 8
"""Of each task."""
SERVICES = (SENDER, RECIPIENT)
_SCOPES = (EVERYTHING, EVERYTHING, Scope(frozenset({"class:10"}), frozenset(Direction), frozenset({Purpose.CARE})))
_REFUSED = Scope(frozenset({"class:11"}), frozenset(Direction), frozenset(Purpose))
_QUOTAS = (Quota(2), Quota(3, 2), Quota(8, 5), Quota(25))


@dataclass
class Storm:
    """One history on an arena."""

    arena: Arena
    seed: str
    recorder: Recorder = field(default_factory=Recorder)
    addresses: list[c.Address] = field(default_factory=list)
    consents: dict[int, list[c.Consent]] = field(default_factory=dict)
    grants: list[c.Grant] = field(default_factory=list)
    before_ms: int = 0

    async def prepare(self) -> dict[int, Person]:
        """Opens the profiles, and answers the patients as the model has them before the storm."""
        self.before_ms = self.arena.hand.now_ms
        self.arena.hand.move(1000)
        self.arena.hand.forget()
        self.addresses = await self.arena.replicas[0].run(self._patients(self.arena.benches[0]))
        self.consents = {address.patient: [] for address in self.addresses}
        return {address.patient: Person(paired=frozenset(SERVICES)) for address in self.addresses}

    async def blow(self) -> None:
        """Everybody consents; then the storm; then every profile is closed, so that nothing of it stands."""
        first = self.arena.replicas[0]
        await first.run(self._for_each(self.arena.benches[0], Storm._grant, SERVICES))
        await self.arena.play(self._play)
        await first.run(self._for_each(self.arena.benches[0], _close, SERVICES[:1]))

    async def _patients(self, bench: Bench) -> list[c.Address]:
        return [await bench.patient(next(self.arena.numbers)) for _ in range(PATIENTS)]

    async def _for_each(self, bench: Bench, draw: "Draw", services: Sequence[str]) -> None:
        drawn = random.Random(self.seed)
        calls = (draw(self, bench, drawn, address, name) for address in self.addresses for name in services)
        await asyncio.gather(*calls)

    async def _play(self, bench: Bench, number: int) -> None:
        own = range(number, TASKS, len(self.arena.benches))
        await asyncio.gather(*(self._task(bench, task) for task in own))

    async def _task(self, bench: Bench, number: int) -> None:
        drawn = random.Random(f"{self.seed} {number}")
        for draw in _ALWAYS if number == 0 else ():
            await draw(self, bench, drawn, self.addresses[0], SENDER)
        for _ in range(CALLS):
            if drawn.random() < 0.25:
                self.arena.hand.move(drawn.randrange(200))
            call = drawn.choices(_CALLS, _WEIGHTS)[0]
            await call(self, bench, drawn, drawn.choice(self.addresses), drawn.choice(SERVICES))

    def _do(self, bench: Bench, item: Any, patient: int | None, mark: str = "") -> Awaitable[Any]:
        call = bench.advice.check(item) if isinstance(item, c.Check) else bench.ledger.do(item)
        return self.recorder.record(call, item, mark=mark, patient=patient, skew_ms=bench.clock.skew_ms)  # type: ignore[attr-defined]

    async def _authorize(self, bench: Bench, drawn: random.Random, address: c.Address, service: str) -> None:
        item = c.Authorize(_query(drawn, address, service), bench.exchange(), (), "t" * 43)
        decision = await self._do(bench, item, address.patient)
        if drawn.random() < 0.08 and isinstance(decision, c.Decision):
            await self._do(bench, item, address.patient)

    async def _check(self, bench: Bench, drawn: random.Random, address: c.Address, service: str) -> None:
        await self._do(bench, c.Check(_query(drawn, address, service)), address.patient)

    async def _grant(self, bench: Bench, drawn: random.Random, address: c.Address, service: str) -> None:
        mark, refuses = f"call {next(bench.ids)}", drawn.random() < 0.05
        quota = drawn.choice(_QUOTAS) if drawn.random() < 0.4 and not refuses else None
        item = c.Grant(
            address=address,
            service=service,
            scope=_REFUSED if refuses else drawn.choice(_SCOPES),
            start_ms=None,
            end_ms=self._end(drawn),
            notice_sha256=NOTICE,
            actor=c.Actor(c.HOLDER, mark),
            request_id=f"request {mark}",
            digest=mark,
            limits=Limits(Effect.DENY if refuses else Effect.PERMIT, quota=quota),
        )
        self.grants.append(item)
        self._know(await self._do(bench, item, address.patient, mark))

    async def _grant_again(self, bench: Bench, drawn: random.Random, _: c.Address, __: str) -> None:
        mark, item = f"call {next(bench.ids)}", drawn.choice(self.grants[-3:])
        item = replace(item, actor=c.Actor(c.HOLDER, mark))
        self._know(await self._do(bench, item, item.address.patient, mark))

    def _know(self, answer: Any) -> None:
        if isinstance(answer, c.Consent):
            self.consents[answer.patient].append(answer)

    def _end(self, drawn: random.Random) -> int:
        lives = drawn.choices((DAY_MS, drawn.randrange(500, 9000), 0), (70, 27, 3))[0]
        return self.arena.hand.now_ms + lives

    async def _amend(self, bench: Bench, drawn: random.Random, address: c.Address, _: str) -> None:
        mark, known = f"call {next(bench.ids)}", self._some(drawn, address)
        if known is None:
            return
        # A quota stays a quota, of other measure: what was not counted before cannot be counted afterwards.
        quota = drawn.choice(_QUOTAS) if known.limits.quota else None
        item = c.Amend(
            known.shard,
            known.consent,
            drawn.choice(_SCOPES) if known.limits.effect is Effect.PERMIT else _REFUSED,
            self._end(drawn),
            NOTICE,
            Limits(known.limits.effect, quota=quota),
            c.Actor(c.HOLDER, mark),
            f"request {mark}",
            mark,
            etag=drawn.choice(("", known.etag)),
        )
        self._know(await self._do(bench, item, address.patient, mark))

    def _some(self, drawn: random.Random, address: c.Address) -> c.Consent | None:
        known = self.consents[address.patient][-6:]
        return drawn.choice(known) if known else None

    async def _sweep_consents(self, bench: Bench, _: random.Random, __: c.Address, ___: str) -> None:
        await self._do(bench, c.SweepConsents(0), None)

    async def _sweep_exchanges(self, bench: Bench, _: random.Random, __: c.Address, ___: str) -> None:
        await self._do(bench, c.Sweep(0, self.before_ms), None)


Draw = Callable[[Storm, Bench, random.Random, c.Address, str], Awaitable[None]]


def _moving(to: ConsentState) -> Draw:
    async def move(storm: Storm, bench: Bench, drawn: random.Random, address: c.Address, _: str) -> None:
        mark, known = f"call {next(bench.ids)}", storm._some(drawn, address)
        if known is not None:
            etag = known.etag if drawn.random() < 0.2 else ""
            item = c.MoveConsent(known.shard, known.consent, to, c.Actor(c.HOLDER, mark), etag)
            await storm._do(bench, item, address.patient, mark)

    return move


def _moving_profile(kind: EntryType, role: str) -> Draw:
    async def move(storm: Storm, bench: Bench, _: random.Random, address: c.Address, __: str) -> None:
        mark = f"call {next(bench.ids)}"
        item = c.MoveProfile(address, kind, c.Actor(role, mark))
        await storm._do(bench, item, address.patient, mark)

    return move


def _query(drawn: random.Random, address: c.Address, service: str) -> c.Query:
    other = RECIPIENT if service == SENDER else SENDER
    purpose = drawn.choices((Purpose.CARE, Purpose.PREVENTION), (9, 1))[0]
    categories = drawn.choices(({"class:10"}, {"class:10", "class:11"}), (9, 1))[0]
    return query(address, service=service, counterparty=other, purpose=purpose, categories=frozenset(categories))


_suspend = _moving_profile(EntryType.PROFILE_SUSPENDED, c.PLATFORM)
_resume = _moving_profile(EntryType.PROFILE_RESUMED, c.PLATFORM)
_close = _moving_profile(EntryType.PROFILE_CLOSED, c.HOLDER)
_reopen = _moving_profile(EntryType.PROFILE_REOPENED, c.HOLDER)
_ALWAYS = (_suspend, _resume, _close, _reopen)
"""What is too rare to be left to chance."""
_DRAWN: tuple[tuple[Draw, float], ...] = (
    (Storm._authorize, 66),
    (Storm._check, 5),
    (Storm._grant, 9),
    (Storm._grant_again, 1.5),
    (Storm._amend, 3),
    (_moving(ConsentState.REVOKED), 3),
    (_moving(ConsentState.SUSPENDED), 2),
    (_moving(ConsentState.ACTIVE), 4),
    (_suspend, 0.3),
    (_resume, 2),
    (_close, 0.25),
    (_reopen, 2),
    (Storm._sweep_consents, 1),
    (Storm._sweep_exchanges, 1),
)
_CALLS, _WEIGHTS = [draw for draw, _ in _DRAWN], [weight for _, weight in _DRAWN]
