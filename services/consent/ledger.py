"""The ledger's use cases: each finds its shard, joins the batch of that shard, and answers when the batch is durable.

One thread writes (SQLite has one writer), another reads; both serve many calls a trip (`chassis.batch`). What a
caller makes of a decision, its permit above all, is made in the writing thread too, after COMMIT and outside the lock.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, TypeVar, cast, overload

from services.chassis.batch import Batcher
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.registry import RegistryView, Snapshot
from services.consent import store
from services.consent.consents import ConsentHandlers
from services.consent.domain import commands as c
from services.consent.domain.decision import Deny, Facts, Permit, decide, resting_on
from services.consent.exchanges import ExchangeHandlers
from services.consent.locked import Locked
from services.consent.proofs import Proofs, Proven
from services.consent.shard import ShardLog
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.lease import ServiceRecord

T = TypeVar("T")
Handler = Callable[[Locked, Sequence[Any]], list[Any]]
Finish = Callable[[Any], Any]


def _as_it_is(answer: Any) -> Any:
    return answer


class Ledger:
    """Everything the consent service does, by shard."""

    def __init__(
        self,
        database: Database,
        logs: Sequence[ShardLog],
        view: RegistryView,
        vault: Vault,
        clock: Clock,
        consents: ConsentHandlers,
        exchanges: ExchangeHandlers,
    ) -> None:
        self._database, self._logs, self._view = database, logs, view
        self._vault, self._clock, self._exchanges = vault, clock, exchanges
        self._handlers: dict[type[c.Command], Handler] = {
            c.OpenProfile: _each(consents.open_profile),
            c.Pair: _each(consents.pair),
            c.Grant: _each(consents.grant),
            c.Revoke: _each(consents.revoke),
            c.Authorize: exchanges.authorize,
            c.RecordOutcome: _each(exchanges.record_outcome),
            c.RecordRefusal: _each(exchanges.record_refusal),
            c.Sweep: _each(exchanges.sweep),
        }
        self.proofs = Proofs(database, vault, [log.origin for log in logs])
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-read")
        self._writers = [Batcher[tuple[c.Command, Finish], Any](self._writer(log), self._write_thread) for log in logs]
        # A read of one costs as much as of ten, and ends before many wait: so two waiting calls wait for more.
        self._checks = [Batcher[c.Check, Any](self._checker(log.shard), self._read_thread, busy=1) for log in logs]
        self._outcomes = Batcher[c.Outcome, list[Proven]](self._prove, self._read_thread)

    def start(self) -> None:
        """Makes what is missing and verifies each head. Raises: AccordError LEDGER_ROLLED_BACK where one does not hold."""
        for log in self._logs:
            log.create()
            log.verify()

    async def open_profile(self, item: c.OpenProfile) -> c.Address:
        """The profile of an identity, opened if it was not."""
        shard = int.from_bytes(self._vault.ins_hash(item.ins)[:4]) % len(self._logs)
        return await self._write(shard, item, c.Address)

    async def pair(self, item: c.Pair) -> c.Address:
        """Pairs a patient with a service."""
        return await self._write(item.address.shard, item, c.Address)

    async def grant(self, item: c.Grant) -> c.Consent:
        """Records a consent."""
        return await self._write(item.address.shard, item, c.Consent)

    async def revoke(self, item: c.Revoke) -> c.Consent:
        """Withdraws a consent."""
        return await self._write(item.shard, item, c.Consent)

    @overload
    async def authorize(self, item: c.Authorize) -> c.Decision: ...

    @overload
    async def authorize(self, item: c.Authorize, finish: Callable[[c.Decision], T]) -> T: ...

    async def authorize(self, item: c.Authorize, finish: Callable[[c.Decision], Any] = _as_it_is) -> Any:
        """Decides and records an exchange; one that names nobody is recorded in the service's shard.

        Answers what `finish` makes of the decision, in the writing thread, after COMMIT and outside the lock: the permits
        of a batch signed in a row take half the time of as many signed between calls.
        """
        return await self._write(self._route(item.query.address, item.query.service), item, object, finish)

    async def record_refusal(self, item: c.RecordRefusal) -> c.Appended:
        """Records a refusal."""
        return await self._write(self._route(item.address, item.service), item, c.Appended)

    async def record_outcome(self, item: c.RecordOutcome) -> tuple[Proven, Proven]:
        """Records an outcome, and proves authorisation and outcome against one checkpoint."""
        recorded = await self._write(item.shard, item, c.Outcome)
        authorization, outcome = await self._outcomes.submit(recorded)
        return authorization, outcome

    async def sweep(self, deadline_ms: int) -> int:
        """Records UNKNOWN for every authorisation older than `deadline_ms` without outcome; answers how many."""
        swept, before_ms = 0, self._clock.wall_ms() - deadline_ms
        for log in self._logs:
            while count := await self._write(log.shard, c.Sweep(before_ms), int):
                swept += count
        return swept

    async def check(self, item: c.Check) -> Permit | Deny:
        """Advice: what `authorize` would decide now."""
        shard = self._route(item.query.address, item.query.service)
        verdict: Permit | Deny = await self._checks[shard].submit(item)
        return verdict

    async def read(self, function: Callable[[], Any]) -> Any:
        """Runs a read in the reading thread."""
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, function)

    def find_consent(self, shard: int, consent: int) -> c.Consent | None:
        """A consent as it stands; blocking."""
        with self._database.read() as connection:
            return store.find_consent(connection, shard, consent)

    def has_shard(self, shard: int) -> bool:
        """Whether there is such a shard."""
        return shard < len(self._logs)

    async def close(self) -> None:
        """Finishes what was submitted."""
        await asyncio.gather(*(writer.close() for writer in self._writers), *(check.close() for check in self._checks))
        await self._outcomes.close()
        self._write_thread.shutdown()
        self._read_thread.shutdown()

    async def _write(self, shard: int, item: c.Command, _: type[T], finish: Finish = _as_it_is) -> T:
        if not self.has_shard(shard):
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return cast(T, await self._writers[shard].submit((item, finish)))

    def _route(self, address: c.Address | None, service: str) -> int:
        if address is not None and self.has_shard(address.shard):
            return address.shard
        return int.from_bytes(hashlib.sha256(service.encode()).digest()[:4]) % len(self._logs)

    def _snapshot(self) -> Snapshot | None:
        try:
            return self._view.current()
        except AccordError:
            return None

    def _writer(self, log: ShardLog) -> Callable[[Sequence[tuple[c.Command, Finish]]], Sequence[Any]]:
        def run(items: Sequence[tuple[c.Command, Finish]]) -> list[Any]:
            answers: list[Any] = []
            with log.locked() as locked:
                # Read under the lock: a lease must not grow too old while it waits.
                locked.snapshot = self._snapshot()
                for kind, group in groupby((item for item, _ in items), type):
                    answers += self._handle(kind, locked, list(group))
            return [_finished(answer, finish) for answer, (_, finish) in zip(answers, items, strict=True)]

        return run

    def _handle(self, kind: type[c.Command], locked: Locked, items: list[c.Command]) -> list[Any]:
        try:
            return self._handlers[kind](locked, items)
        except AccordError as error:
            return [error] * len(items)

    def _checker(self, shard: int) -> Callable[[Sequence[c.Check]], Sequence[Any]]:
        def run(items: Sequence[c.Check]) -> list[Any]:
            services, now_ms = self._view.current().services, self._clock.wall_ms()
            with self._database.read() as connection:
                patients = store.patient_facts(connection, shard, [item.query for item in items])
            return [decide(self._facts(shard, item, patients, services), now_ms) for item in items]

        return run

    def _facts(
        self,
        shard: int,
        item: c.Check,
        patients: Mapping[int, store.PatientFacts],
        services: Mapping[str, ServiceRecord],
    ) -> Facts:
        patient = patients.get(item.query.address.patient) if item.query.address else None
        facts = self._exchanges.facts(shard, item.query, patient, services)
        return resting_on(facts, item.resources) if item.resources else facts

    def _prove(self, items: Sequence[c.Outcome]) -> list[list[Proven]]:
        return [
            self.proofs.prove(self._logs[item.shard].origin, (item.authorization, item.outcome), openings=True)
            for item in items
        ]


def _finished(answer: Any, finish: Finish) -> Any:
    try:
        return answer if isinstance(answer, Exception) else finish(answer)
    except Exception as error:  # a value: what is committed must not be run again
        return error


def _each(handle: Callable[[Locked, Any], Any]) -> Handler:
    def attempt(locked: Locked, item: Any) -> Any:
        try:
            return handle(locked, item)
        except AccordError as error:
            return error

    return lambda locked, items: [attempt(locked, item) for item in items]
