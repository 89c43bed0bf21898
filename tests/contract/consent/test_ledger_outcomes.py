"""Outcomes and refusals: once each, proven beside their authorisation, and recorded whatever the lease."""

from typing import Any

import pytest

from services.consent.domain import commands as c
from services.errors import Reason
from services.formats.entry import EntryType, OutcomeResult, parse_entry
from services.tlog.tree import leaf_hash
from tests.contract.consent.behind import value
from tests.support.ledgers import NOW_MS, RECIPIENT, SENDER, Bench, ins, outcome, query
from tests.support.refused import reason_of


async def authorized(bench: Bench) -> tuple[c.Decision, str]:
    address, exchange = await bench.consenting(), bench.exchange()
    return await bench.ledger.authorize(c.Authorize(query(address), exchange, (), "t" * 43)), exchange


async def test_an_outcome_is_recorded_once_and_proven_with_its_authorisation(bench: Bench) -> None:
    decision, exchange = await authorized(bench)
    item = outcome(decision, exchange)
    first, second = await bench.ledger.record_outcome(item)
    assert first.index == decision.appended.index
    assert leaf_hash(first.entry) == decision.appended.leaf
    recorded = parse_entry(second.entry)
    assert recorded.outcome is not None
    assert recorded.outcome.authorization == decision.appended.index < second.index
    assert (recorded.outcome.result, recorded.outcome.bytes_sent) == (OutcomeResult.DELIVERED, 1234)
    assert (recorded.outcome.first_ms, recorded.outcome.last_ms) == (NOW_MS, NOW_MS + 1)
    assert recorded.subject == parse_entry(first.entry).subject != ""
    assert (recorded.exchange, recorded.service, recorded.counterparty) == (exchange, SENDER, RECIPIENT)
    assert bench.opened(second.index) == {"acknowledgement_sha256": "a" * 64, "manifest_sha256": "b" * 64}
    size = len(bench.entries())
    assert await bench.ledger.record_outcome(item) == (first, second)
    assert len(bench.entries()) == size


@pytest.mark.parametrize(
    "changes",
    [
        {"result": OutcomeResult.FAILED},
        {"result": OutcomeResult.UNKNOWN},
        {"bytes_sent": 1},
        {"first_ms": None},
        {"last_ms": NOW_MS + 2},
        {"acknowledgement_sha256": "c" * 64},
        {"manifest_sha256": ""},
    ],
)
async def test_another_outcome_of_the_same_authorisation_is_refused(bench: Bench, changes: dict[str, Any]) -> None:
    decision, exchange = await authorized(bench)
    await bench.ledger.record_outcome(outcome(decision, exchange))
    size = len(bench.entries())
    call = bench.ledger.record_outcome(outcome(decision, exchange, **changes))
    assert await reason_of(call) is Reason.STATE_CONFLICT
    assert len(bench.entries()) == size


async def test_an_unknown_outcome_is_superseded_by_a_known_one_and_never_the_reverse(bench: Bench) -> None:
    decision, exchange = await authorized(bench)
    unknown = outcome(decision, exchange, result=OutcomeResult.UNKNOWN, acknowledgement_sha256="")
    known = outcome(decision, exchange)
    _, first = await bench.ledger.record_outcome(unknown)
    _, second = await bench.ledger.record_outcome(known)
    assert first.index < second.index
    assert await reason_of(bench.ledger.record_outcome(unknown)) is Reason.STATE_CONFLICT
    assert (await bench.ledger.record_outcome(known))[1].index == second.index
    results = [entry.outcome.result for entry in bench.entries() if entry.outcome]
    assert results == [OutcomeResult.UNKNOWN, OutcomeResult.DELIVERED]


async def test_an_outcome_needs_its_authorisation(bench: Bench) -> None:
    decision, exchange = await authorized(bench)
    denied = await bench.authorize(query(None))
    size = len(bench.entries())
    for item in (
        outcome(decision, "0" * 64),
        outcome(decision, exchange, authorization=decision.appended.index - 1),
        outcome(decision, exchange, authorization=10**15),
        outcome(denied, exchange),
        outcome(decision, exchange, shard=5),
    ):
        assert await reason_of(bench.ledger.record_outcome(item)) is Reason.RESOURCE_NOT_FOUND
    assert len(bench.entries()) == size


async def test_an_outcome_needs_no_lease_for_what_has_happened_has_happened(bench: Bench) -> None:
    decision, exchange = await authorized(bench)
    bench.view.snapshot = None
    await bench.ledger.record_outcome(outcome(decision, exchange))


async def test_a_refusal_is_recorded_under_a_paired_patient_s_subject(bench: Bench) -> None:
    address = await bench.patient()
    appended = await bench.ledger.do(c.RecordRefusal(SENDER, address, "e" * 64, Reason.DOCUMENT_MALFORMED))
    entry = bench.entries()[appended.index]
    assert (entry.type, entry.reason) == (EntryType.EXCHANGE_REFUSED, Reason.DOCUMENT_MALFORMED)
    subjects = {item.service: item.subject for item in bench.entries() if item.type is EntryType.PAIRING_CREATED}
    assert entry.subject == subjects[SENDER] != subjects[RECIPIENT]


async def test_a_stranger_s_refusal_is_recorded_without_a_subject_in_its_own_shard(sharded: Bench) -> None:
    address = await sharded.open_profile(c.OpenProfile(ins(1)))
    places = set()
    for patient in (None, c.Address(40, 9)):
        appended = await sharded.ledger.do(c.RecordRefusal("services/stranger", patient, "e" * 64, Reason.INS_INVALID))
        places.add(appended.origin)
    unpaired = await sharded.ledger.do(c.RecordRefusal("services/stranger", address, "e" * 64, Reason.INS_INVALID))
    assert len(places) == 1
    assert unpaired.origin == sharded.logs[address.shard].origin
    for shard in range(4):
        assert all(entry.subject == "" for entry in sharded.entries(shard) if entry.service == "services/stranger")


async def test_the_sweeper_records_unknown_once_for_what_nobody_settled_and_a_late_outcome_supersedes_it(
    bench: Bench,
) -> None:
    forgotten, exchange = await authorized(bench)
    bench.clock.now_ms += 100_000
    fresh, _ = await authorized(bench)
    assert await bench.ledger.sweep(60_000) == 1
    assert await bench.ledger.sweep(60_000) == 0
    swept = bench.entries()[-1]
    assert swept.outcome is not None
    assert (swept.actor, swept.exchange, swept.outcome.authorization) == ("ledger", exchange, forgotten.appended.index)
    assert swept.outcome.result is OutcomeResult.UNKNOWN
    size = len(bench.entries())
    await bench.ledger.record_outcome(outcome(forgotten, exchange, result=OutcomeResult.UNKNOWN))
    assert len(bench.entries()) == size, "unknown again says nothing new"
    await bench.ledger.record_outcome(outcome(forgotten, exchange))
    late = bench.entries()[-1].outcome
    assert late is not None
    assert late.result is OutcomeResult.DELIVERED
    assert fresh.appended.index not in {e.outcome.authorization for e in bench.entries() if e.outcome}


async def test_a_stranger_s_refusal_is_not_under_the_patient_s_key(bench: Bench) -> None:
    address = await bench.open_profile(c.OpenProfile(ins(1)))
    appended = await bench.ledger.do(c.RecordRefusal(SENDER, address, "e" * 64, Reason.INS_INVALID))
    assert value(bench, "SELECT patient FROM opening WHERE idx = :idx", idx=appended.index) == 0
