"""Promise 2, by storm: many authorise, withdraw and grant at once, and the log alone shows that no authorisation follows a
withdrawal. The same storm on a ledger that decides on facts from before the lock is caught."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from services.consent import store
from services.consent.domain import commands as c
from services.consent.domain.decision import ConsentState
from services.ctl.logbook import forwards_after_revoke
from services.errors import Reason
from services.formats.entry import Entry, EntryType
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash
from tests.support.ledgers import PUBLIC_KEY, RECIPIENT, SENDER, Bench, build, query

PATIENTS, TASKS, OPERATIONS = 24, 32, 1760


@dataclass
class Storm:
    """Concurrent operations over one or several ledgers of one log; what it saw is kept for the checks."""

    benches: tuple[Bench, ...]
    seed: int
    addresses: list[c.Address] = field(default_factory=list)
    granted: dict[tuple[c.Address, str], c.Consent] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    decisions: list[c.Decision] = field(default_factory=list)
    too_late: list[c.Decision] = field(default_factory=list)

    async def run(self, operations: int = OPERATIONS) -> None:
        bench = self.benches[0]
        self.addresses = [await bench.patient(number) for number in range(PATIENTS)]
        for address in self.addresses:
            for service in (SENDER, RECIPIENT):
                self.granted[address, service] = await bench.grant(address, service)
        await asyncio.gather(*(self._task(number, operations // TASKS) for number in range(TASKS)))

    async def _task(self, number: int, operations: int) -> None:
        drawn, bench = random.Random(self.seed + number), self.benches[number % len(self.benches)]
        for _ in range(operations):
            address, service = drawn.choice(self.addresses), drawn.choice((SENDER, RECIPIENT))
            operation = drawn.choices((self._authorize, self._revoke, self._grant), (80, 10, 10))[0]
            await operation(bench, address, service)
            for _ in range(drawn.randrange(4)):
                await asyncio.sleep(0)

    async def _authorize(self, bench: Bench, address: c.Address, _: str) -> None:
        before = set(self.revoked)
        decision = await bench.authorize(query(address))
        self.decisions.append(decision)
        if decision.permit and before & {_consent_name(item) for item in decision.permit.resources}:
            self.too_late.append(decision)

    async def _revoke(self, bench: Bench, address: c.Address, service: str) -> None:
        consent = self.granted[address, service]
        assert (await bench.revoke(consent)).state is ConsentState.REVOKED
        name = bench.identifiers.revision_name(consent.shard, consent.consent, 1)
        self.revoked.add(_consent_name(name))

    async def _grant(self, bench: Bench, address: c.Address, service: str) -> None:
        self.granted[address, service] = await bench.grant(address, service)

    @property
    def permitted(self) -> list[c.Decision]:
        return [decision for decision in self.decisions if decision.permit is not None]


def _consent_name(revision: str) -> str:
    return revision.partition("/revisions/")[0]


def check(storm: Storm) -> None:
    """What the log alone shows, and what the callers saw: nothing was authorised after a withdrawal."""
    bench = storm.benches[0]
    entries = bench.entries()
    assert forwards_after_revoke(entries) == []
    assert storm.too_late == []
    kinds = [entry.type for entry in entries]
    assert kinds.count(EntryType.EXCHANGE_AUTHORIZED) == len(storm.permitted) > 100
    assert kinds.count(EntryType.EXCHANGE_DENIED) == len(storm.decisions) - len(storm.permitted) > 100
    assert kinds.count(EntryType.CONSENT_REVOKED) > 50
    assert [entry.time_ms for entry in entries] == sorted(entry.time_ms for entry in entries)
    leaves = [leaf_hash(entry.to_bytes()) for entry in entries]
    assert all(leaves[item.appended.index] == item.appended.leaf for item in storm.decisions)
    prove(bench, storm.decisions[::8])


def prove(bench: Bench, decisions: list[c.Decision]) -> None:
    """Each decision is proven to stand in the signed log where its caller was told."""
    origin = bench.logs[0].origin
    items = bench.ledger.proofs.prove(origin, [item.appended.index for item in decisions], openings=False)
    proofs = [parse_proof(item.proof) for item in items]
    (note,) = {proof.checkpoint_note for proof in proofs}
    checkpoint = open_checkpoint(note, Verifier(origin, PUBLIC_KEY))
    for decision, item, proof in zip(decisions, items, proofs, strict=True):
        assert leaf_hash(item.entry) == decision.appended.leaf
        verify_inclusion(decision.appended.leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)


async def test_no_authorisation_follows_a_withdrawal_in_one_process(tmp_path: Path) -> None:
    bench = build(tmp_path)
    storm = Storm((bench,), seed=1)
    await storm.run()
    check(storm)
    await bench.close()


async def test_no_authorisation_follows_a_withdrawal_in_two_processes_worth(tmp_path: Path) -> None:
    """Two ledgers with connections, threads and caches of their own on one database file."""
    first = build(tmp_path)
    second = build(tmp_path, clock=first.clock, view=first.view)
    second.ids = first.ids
    storm = Storm((first, second), seed=2)
    await storm.run()
    check(storm)
    assert first.entries() == second.entries()
    for bench in (second, first):
        bench.logs[0].verify()
        await bench.close()


async def test_the_same_storm_catches_a_ledger_that_decides_on_facts_from_before_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[int, store.PatientFacts] = {}
    read = store.patient_facts

    def stale(connection: Any, shard: int, queries: Any) -> Mapping[int, store.PatientFacts]:
        fresh = dict(read(connection, shard, queries))
        answer = {patient: known.get(patient, facts) for patient, facts in fresh.items()}
        known.update(fresh)
        return answer

    monkeypatch.setattr(store, "patient_facts", stale)
    bench = build(tmp_path)
    storm = Storm((bench,), seed=3)
    await storm.run(800)
    assert forwards_after_revoke(bench.entries())
    assert storm.too_late
    await bench.close()


async def story(bench: Bench) -> tuple[Entry, ...]:
    """A log of two consents, an authorisation, a withdrawal, a denial, and an authorisation on a consent given anew."""
    address = await bench.consenting()
    await bench.authorize(query(address))
    with bench.database.read() as connection:
        row = connection.exec_driver_sql("SELECT id FROM consent WHERE service = ?", (SENDER,)).one()
    consent = bench.ledger.find_consent(0, row[0])
    assert consent is not None
    await bench.revoke(consent)
    assert (await bench.authorize(query(address))).told is Reason.CONSENT_REVOKED
    await bench.grant(address, SENDER)
    assert (await bench.authorize(query(address))).permit is not None
    return bench.entries()


async def test_a_doctored_log_is_caught(tmp_path: Path) -> None:
    bench = build(tmp_path)
    entries = await story(bench)
    await bench.close()
    kinds = [entry.type for entry in entries]
    authorized, revoked = kinds.index(EntryType.EXCHANGE_AUTHORIZED), kinds.index(EntryType.CONSENT_REVOKED)
    denied = kinds.index(EntryType.EXCHANGE_DENIED)
    assert forwards_after_revoke(entries) == []
    repeated = (*entries, entries[authorized])
    assert forwards_after_revoke(repeated) == [len(entries)]
    swapped = list(entries)
    swapped[authorized], swapped[revoked] = swapped[revoked], swapped[authorized]
    assert forwards_after_revoke(tuple(swapped)) == [revoked]
    turned = list(entries)
    turned[denied] = replace(turned[denied], type=EntryType.EXCHANGE_AUTHORIZED)
    assert forwards_after_revoke(tuple(turned)) == [denied]
    either = replace(entries[authorized], resources=entries[authorized].resources[::-1])
    assert forwards_after_revoke((*entries, either)) == [len(entries)]


async def test_a_caller_hears_the_refusal_only_once_it_is_durable(tmp_path: Path) -> None:
    """Another connection sees the withdrawal as soon as its caller does."""
    first = build(tmp_path)
    second = build(tmp_path, clock=first.clock, view=first.view)
    address = await first.consenting()
    for number in range(20):
        consent = await first.grant(address, SENDER)
        await first.revoke(consent)
        found = second.ledger.find_consent(0, consent.consent)
        assert found is not None
        assert (found.state, found.revision) == (ConsentState.REVOKED, 2), number
    for bench in (second, first):
        await bench.close()
