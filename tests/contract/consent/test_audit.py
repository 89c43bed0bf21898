"""What auditors read: proven, opened only where asked, exported whole, and never before it is on the record."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from accord.consent.v1 import audit_service_pb2 as pb

from services.consent import audit as auditing_module
from services.consent.domain import commands as c
from services.errors import AccordError, Reason
from services.formats.canonical import loads_canonical
from services.formats.entry import MAX_BODY, Entry, EntryType, commitment, parse_entry
from services.formats.lease import parse_record
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash, merkle_root
from tests.contract.consent.behind import change
from tests.support.auditing import CONTEXT, Auditing
from tests.support.ledgers import HOLDER, PUBLIC_KEY, RECIPIENT, SENDER, Bench, outcome, query, record
from tests.support.refused import reason_of


@pytest.fixture
async def auditing(bench: Bench) -> AsyncIterator[Auditing]:
    made = Auditing(bench)
    yield made
    await made.close()


async def decided(bench: Bench, number: int = 1) -> tuple[c.Address, int]:
    """A patient who consents, and the index of an authorisation of theirs that was delivered."""
    address, exchange = await bench.consenting(number), bench.exchange()
    decision = await bench.ledger.authorize(c.Authorize(query(address), exchange, (), "t" * 43))
    await bench.ledger.record_outcome(outcome(decision, exchange))
    return address, decision.appended.index


async def close_and_erase(bench: Bench, address: c.Address) -> None:
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, HOLDER))
    await bench.ledger.do(c.Erase(address, "gdpr_17", traces_too=True))


async def entry(auditing: Auditing, index: int, *, opened: bool = False) -> pb.GetEntryResponse:
    request = pb.GetEntryRequest(origin=auditing.origin, index=index, open=opened)
    return await auditing.rpcs.GetEntry(request, CONTEXT)


async def test_an_entry_comes_proven_and_closed_unless_it_was_to_be_opened(auditing: Auditing) -> None:
    _, index = await decided(auditing.bench)
    closed, opened = await entry(auditing, index), await entry(auditing, index, opened=True)
    assert {field.name for field, _ in closed.ListFields()} == {"entry"}
    assert not closed.entry.HasField("opening")
    proof = parse_proof(opened.entry.proof)
    checkpoint = open_checkpoint(proof.checkpoint_note, Verifier(auditing.origin, PUBLIC_KEY))
    verify_inclusion(leaf_hash(opened.entry.entry), index, checkpoint.size, proof.hashes, checkpoint.root)
    assert commitment(opened.entry.opening.salt, opened.entry.opening.body) == parse_entry(opened.entry.entry).commit
    body = loads_canonical(opened.entry.opening.body, MAX_BODY)
    assert commitment(opened.facts.salt, opened.facts.body) == body["facts"]


async def test_every_read_is_an_entry_that_says_what_was_asked(auditing: Auditing) -> None:
    _, index = await decided(auditing.bench)
    before = len(auditing.bench.entries())
    await entry(auditing, index, opened=True)
    await auditing.rpcs.ListEntries(pb.ListEntriesRequest(origin=auditing.origin, page_size=3), CONTEXT)
    await auditing.found(origin=auditing.origin, start_index=2, types=["audit.read"])
    await auditing.counted(service=SENDER)
    await auditing.exported(2, opened=True)
    entries = auditing.bench.entries()
    assert {item.type for item in entries[before:]} == {EntryType.AUDIT_READ}
    assert {item.actor for item in entries[before:]} == {"auditor"}
    origin = {"origin": auditing.origin}
    assert [auditing.bench.opened(place) for place in range(before, len(entries))] == [
        {"method": "GetEntry", "asked": origin | {"index": str(index), "open": "true"}},
        {"method": "ListEntries", "asked": origin | {"from": "0"}},
        {"method": "SearchEntries", "asked": origin | {"start_index": "2", "types": "audit.read"}},
        {"method": "GetStatistics", "asked": {"service": SENDER}},
        {"method": "ExportEntries", "asked": origin | {"from": "2", "open": "true"}},
    ]


async def test_checkpoints_and_consistency_proofs_are_no_entries(auditing: Auditing) -> None:
    await decided(auditing.bench)
    before = len(auditing.bench.entries())
    await auditing.rpcs.GetCheckpoints(pb.GetCheckpointsRequest(), CONTEXT)
    request = pb.GetConsistencyProofRequest(origin=auditing.origin, old_size=1, new_size=2)
    await auditing.rpcs.GetConsistencyProof(request, CONTEXT)
    assert len(auditing.bench.entries()) == before


async def test_a_read_stands_in_the_shard_of_the_log_it_is_of(sharded: Bench) -> None:
    auditing = Auditing(sharded)
    await auditing.exported(origin=sharded.logs[2].origin)
    await auditing.counted()
    assert [sharded.kinds(shard) for shard in range(4)] == [["audit.read"], [], ["audit.read"], []]
    await auditing.close()


READS: list[tuple[str, Any]] = [
    ("entry", lambda auditing: entry(auditing, 0, opened=True)),
    ("entries", lambda auditing: auditing.rpcs.ListEntries(pb.ListEntriesRequest(origin=auditing.origin), CONTEXT)),
    ("search", lambda auditing: auditing.found()),
    ("statistics", lambda auditing: auditing.counted()),
    ("export", lambda auditing: auditing.exported()),
]


@pytest.mark.parametrize(("name", "read"), READS, ids=[name for name, _ in READS])
async def test_what_cannot_be_recorded_is_not_read(auditing: Auditing, name: str, read: Any) -> None:
    """The ledger's clock is behind: it can append nothing."""
    await decided(auditing.bench)
    before = auditing.bench.entries()
    auditing.bench.clock.now_ms -= 60_000
    assert await reason_of(read(auditing)) is Reason.CLOCK_BEHIND
    assert auditing.bench.entries() == before


async def test_a_listing_ends_where_the_log_ended_at_its_first_page(auditing: Auditing) -> None:
    await decided(auditing.bench)
    size, token = len(auditing.bench.entries()), ""
    pages: list[Entry] = []
    while token or not pages:
        request = pb.ListEntriesRequest(origin=auditing.origin, page_size=1, page_token=token)
        page = await auditing.rpcs.ListEntries(request, CONTEXT)
        assert page.first_index == len(pages)
        pages.append(parse_entry(page.entries[0]))
        token = page.next_page_token
    assert tuple(pages) == auditing.bench.entries()[: size + 1]


async def test_an_export_is_the_log_of_its_checkpoint(auditing: Auditing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing_module, "PART", 4)
    for number in range(1, 4):
        await decided(auditing.bench, number)
    first, *parts = await auditing.exported()
    checkpoint = open_checkpoint(first.checkpoint, Verifier(auditing.origin, PUBLIC_KEY))
    entries = [item.entry for part in parts for item in part.items]
    assert merkle_root([leaf_hash(item) for item in entries]) == checkpoint.root
    assert len(entries) == checkpoint.size == len(auditing.bench.entries())
    assert [part.first_index for part in parts] == list(range(0, checkpoint.size, 4))
    assert not any(item.HasField("opening") or item.HasField("facts") for part in parts for item in part.items)
    assert not any(part.records for part in parts)
    later = await auditing.exported(5)
    assert [item.entry for part in later for item in part.items] == [
        item.to_bytes() for item in auditing.bench.entries()[5:]
    ]


async def test_an_opened_export_holds_what_each_entry_commits_to_and_each_record_once(auditing: Auditing) -> None:
    bench = auditing.bench
    await decided(bench, 1)
    bench.view.set([record(SENDER), record(RECIPIENT), record("services/third")])
    await decided(bench, 2)
    bench.view.set([record(SENDER), record(RECIPIENT)])
    await decided(bench, 3)
    parts = await auditing.exported(opened=True)
    for item in (item for part in parts for item in part.items):
        parsed, body = parse_entry(item.entry), loads_canonical(item.opening.body, MAX_BODY)
        assert commitment(item.opening.salt, item.opening.body) == parsed.commit
        assert item.HasField("facts") == (parsed.type is EntryType.EXCHANGE_AUTHORIZED)
        if item.HasField("facts"):
            assert commitment(item.facts.salt, item.facts.body) == body["facts"]
    names = [parse_record(data).name for part in parts for data in part.records]
    assert names == sorted([SENDER, RECIPIENT, "services/third"])


async def test_a_part_is_not_much_larger_than_a_message_may_be(
    auditing: Auditing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing_module, "PART_BYTES", 1500)
    await decided(auditing.bench)
    parts = (await auditing.exported(opened=True))[1:]
    filled = [part for part in parts if part.items]
    assert len(filled) >= 3
    assert sum(len(part.items) for part in filled) == len(auditing.bench.entries())
    assert [part.first_index for part in filled] == [
        sum(len(part.items) for part in filled[:number]) for number in range(len(filled))
    ]


async def test_what_was_erased_is_exported_without_its_opening(auditing: Auditing) -> None:
    bench = auditing.bench
    address, index = await decided(bench, 1)
    await decided(bench, 2)
    await close_and_erase(bench, address)
    items = [item for part in await auditing.exported(opened=True) for item in part.items]
    gone = [place for place, item in enumerate(items) if not item.HasField("opening")]
    (tombstone,) = (item for item in bench.entries() if item.type is EntryType.PATIENT_ERASED)
    assert index in gone
    assert len(gone) == tombstone.covers
    assert not any(items[place].HasField("facts") for place in gone)
    assert await reason_of(auditing.found(profile=auditing.names.profile_name(address))) is Reason.RESOURCE_NOT_FOUND


async def test_an_erasure_during_an_opened_export_ends_it(auditing: Auditing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would hold half of a patient, and nothing that accounts for the other half."""
    monkeypatch.setattr(auditing_module, "PART", 2)
    address, _ = await decided(auditing.bench)
    for opened, ends in ((False, None), (True, Reason.ETAG_MISMATCH)):
        request = pb.ExportEntriesRequest(origin=auditing.origin, open=opened)
        parts, seen = auditing.rpcs.ExportEntries(request, CONTEXT), []
        seen.append(await anext(parts))
        if opened:
            await close_and_erase(auditing.bench, address)
        reason = None
        try:
            seen += [part async for part in parts]
        except AccordError as error:
            reason = error.reason
        assert reason is ends
        assert not any(part.records for part in seen)


@pytest.mark.parametrize("start", [-1, 10**6])
async def test_an_export_from_beyond_the_log_is_not_found(auditing: Auditing, start: int) -> None:
    await decided(auditing.bench)
    assert await reason_of(auditing.exported(start)) is Reason.RESOURCE_NOT_FOUND


async def test_an_entry_that_is_gone_is_no_shorter_search(auditing: Auditing) -> None:
    await decided(auditing.bench)
    await auditing.found()
    change(auditing.bench, "DELETE FROM entry WHERE idx = :idx", idx=3)
    assert await reason_of(auditing.found()) is Reason.LEDGER_ROLLED_BACK
