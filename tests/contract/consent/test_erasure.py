"""Erasure leaves nothing of a patient but proofs, in any row and any file, and a tombstone that accounts for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from sqlalchemy import make_url

from services.consent.audit import Audit
from services.consent.config import Settings
from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.domain.searching import Filter, Search
from services.consent.indexing import Indexer
from services.consent.searching import Searcher
from services.consent.vault import subject_of
from services.errors import Reason
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash
from tests.contract.consent.behind import everything, rows
from tests.support.ledgers import DAY_MS, NOW_MS, PUBLIC_KEY, RECIPIENT, SENDER, Bench, ins, outcome, query
from tests.support.portals import HOLDER, Portal, representative
from tests.support.refused import reason_of

PERSON = "person-of-the-portal-7f3a"


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


@dataclass
class Planted:
    """A patient with everything that a ledger may keep of one, and what must be found nowhere once they are erased."""

    profile: str
    address: c.Address
    needles: dict[str, bytes]


async def planted(portal: Portal) -> Planted:
    bench, holder = portal.bench, consent_pb2.Actor()
    holder.CopyFrom(HOLDER)
    holder.person = PERSON
    profile = await portal.open(1, majority_time=timestamp(NOW_MS + 1000 * DAY_MS))
    await portal.identify(profile, 2)
    await portal.represent(profile, PERSON)
    asked = await portal.ask()
    granted = await portal.grant(profile, portal.consent(actor=holder), request=asked.name)
    await portal.pair(profile, RECIPIENT)
    limits = consent_pb2.Limits(quota=consent_pb2.Quota(limit=5))
    other = portal.consent(service=RECIPIENT, actor=representative(PERSON), limits=limits)
    await portal.grant(profile, other, request_id="planted-request-id")
    await portal.revoke((await portal.grant(profile, portal.consent(actor=holder))).name, holder)
    address = portal.address(profile)
    decision = await bench.authorize(query(address), ins(1), ins(2))
    assert decision.permit
    exchange = bench.entries(address.shard)[decision.appended.index].exchange
    await bench.ledger.record_outcome(outcome(decision, exchange))
    await portal.close(profile, holder)
    return Planted(profile, address, needles_of(portal, address, profile, granted))


def needles_of(portal: Portal, address: c.Address, profile: str, granted: consent_pb2.Consent) -> dict[str, bytes]:
    """By what it is: the plain identifiers, and the keyed hashes and ciphertexts that stand for them."""
    bench, vault = portal.bench, portal.bench.vault
    (patient,) = (row for row in rows(bench, "patient") if row.id == address.patient)
    (identity,) = rows(bench, "identity")
    keys = [row for row in rows(bench, "data_key") if row.patient == address.patient and row.use == 0]
    needles = {
        "the INS": ins(1).matricule.encode(),
        "the other INS": ins(2).matricule.encode(),
        "the pseudonym": portal.names.pseudonym(SENDER, address).encode(),
        "the profile": profile.partition("/")[2].encode(),
        "the person": PERSON.encode(),
        "the person's hash": vault.person_hash(PERSON).encode(),
        "the INS's hash": patient.ins_hash,
        "the sealed INS": patient.ins_sealed,
        "the other INS's hash": vault.ins_hash(ins(2)),
        "the other sealed INS": identity.ins_sealed,
        "the request id": b"planted-request-id",
    }
    assert portal.names.consent(granted.name)
    return needles | {f"the key of {key.year}": key.wrapped for key in keys}


def files_of(database_url: str) -> Iterator[Path]:
    """The database's files, write-ahead log included."""
    name = make_url(database_url).database
    assert name is not None
    return Path(name).parent.glob(f"{Path(name).name}*")


def kept(bench: Bench) -> bytes:
    """Every value of every row."""
    found = (item for table in everything(bench).values() for row in table for item in row)
    return b"\n".join(item if isinstance(item, bytes) else str(item).encode() for item in found)


async def test_right_after_an_erasure_nothing_of_the_patient_stands_in_any_row_or_file(
    bench: Bench, portal: Portal, database_url: str
) -> None:
    patient, other = await planted(portal), await portal.paired(3)
    plain = {"the INS", "the other INS", "the pseudonym", "the profile", "the person"}
    before = kept(bench)
    for what, needle in patient.needles.items():
        assert (needle in before) is (what not in plain), what  # what is plain was never there
    answer = await portal.erase(patient.profile)
    after = kept(bench)
    assert [what for what, needle in patient.needles.items() if needle in after] == []
    if database_url.startswith("sqlite"):
        files = list(files_of(database_url))
        assert {path.suffix for path in files} >= {".db"}
        found = [what for path in files for what, needle in patient.needles.items() if needle in path.read_bytes()]
        assert found == []
    assert answer.effective_time == timestamp(NOW_MS)
    assert (await portal.grant(other)).name


async def test_an_erasure_leaves_a_tombstone_that_accounts_for_what_can_be_opened_no_more(
    bench: Bench, portal: Portal
) -> None:
    patient = await planted(portal)
    identity_key = next(
        bench.vault.unwrap(row.wrapped, 0, row.patient, 0)
        for row in rows(bench, "data_key")
        if row.year == 0 and row.patient
    )
    subject, origin = subject_of(identity_key, "profile"), bench.logs[0].origin
    size = len(bench.entries())
    answer = await portal.erase(patient.profile)
    entry = bench.entries()[-1]
    assert (entry.type, entry.actor, entry.basis, entry.subject) == (
        "patient.erased",
        "platform",
        "gdpr_17_1_b",
        subject,
    )
    assert (entry.until_ms, entry.covers) == (NOW_MS, answer.covers)
    assert bench.opened(size) == {"traces": False}
    opened = bench.ledger.proofs.prove(origin, range(size), openings=True)
    assert sum(item.opening is None for item in opened) == answer.covers > 10
    again = await portal.erase(patient.profile)
    assert again.covers == 0
    assert len(bench.entries()) == size + 1


async def test_every_proof_from_before_an_erasure_still_verifies(bench: Bench, portal: Portal) -> None:
    patient = await planted(portal)
    origin = bench.logs[0].origin
    old = bench.ledger.proofs.prove(origin, range(len(bench.entries())), openings=True)
    await portal.erase(patient.profile, traces_too=True)
    new = bench.ledger.proofs.prove(origin, range(len(old)), openings=True)
    for items in (old, new):
        for item in items:
            proof = parse_proof(item.proof)
            head = open_checkpoint(proof.checkpoint_note, Verifier(origin, PUBLIC_KEY))
            verify_inclusion(leaf_hash(item.entry), proof.index, head.size, proof.hashes, head.root)
    assert [item.entry for item in new] == [item.entry for item in old]
    bench.logs[0].verify()


@pytest.mark.parametrize("traces_too", [False, True])
async def test_traces_of_access_outlive_the_record_unless_the_basis_overrides_it(
    bench: Bench, portal: Portal, traces_too: bool
) -> None:
    patient = await planted(portal)
    entries = bench.entries()
    await portal.erase(patient.profile, traces_too=traces_too)
    items = bench.ledger.proofs.prove(bench.logs[0].origin, range(len(entries)), openings=True)
    opening = {entry.type.value: item.opening for entry, item in zip(entries, items, strict=True)}
    assert opening["consent.granted"] is None
    assert (opening["exchange.authorized"] is None) is traces_too
    assert (opening["exchange.outcome"] is None) is traces_too
    assert opening["registry.observed"] is not None  # nobody's


async def test_only_a_closed_profile_is_erased_and_it_is_gone(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    granted = await portal.grant(profile)
    assert await reason_of(portal.erase(profile)) is Reason.STATE_CONFLICT
    await portal.suspend_profile(profile)
    assert await reason_of(portal.erase(profile)) is Reason.STATE_CONFLICT
    await portal.close(profile)
    await portal.erase(profile)
    for call in (
        portal.reopen(profile),
        portal.pair(profile),
        portal.grant(profile),
        portal.revoke(granted.name),
        portal.identify(profile, 2),
        portal.represent(profile, PERSON),
        portal.suspend_profile(profile),
    ):
        assert await reason_of(call) is Reason.RESOURCE_NOT_FOUND
    assert (await bench.authorize(query(portal.address(profile)))).told is Reason.NOT_PERMITTED
    assert rows(bench, "alias") == []
    nobody = portal.names.profile_name(c.Address(0, 12345))
    assert await reason_of(portal.erase(nobody)) is Reason.RESOURCE_NOT_FOUND


@pytest.mark.parametrize("traces_too", [False, True])
async def test_whatever_is_sent_for_who_was_erased_no_key_is_made_anew(
    bench: Bench, portal: Portal, traces_too: bool
) -> None:
    """A service keeps its pseudonym, and may send once more."""
    patient = await planted(portal)
    await portal.erase(patient.profile, traces_too=traces_too)
    keys = [row for row in rows(bench, "data_key") if row.patient == patient.address.patient]
    assert (await bench.authorize(query(patient.address))).told is Reason.NOT_PERMITTED
    assert [row for row in rows(bench, "data_key") if row.patient == patient.address.patient] == keys
    proven = bench.ledger.proofs.prove(bench.logs[0].origin, range(len(bench.entries())), openings=True)
    assert proven[-1].opening is not None  # nobody's


async def test_traces_that_an_erasure_left_are_not_said_to_be_erased_by_a_second(portal: Portal) -> None:
    patient = await planted(portal)
    await portal.erase(patient.profile)
    await portal.erase(patient.profile)
    assert await reason_of(portal.erase(patient.profile, traces_too=True)) is Reason.STATE_CONFLICT


async def test_who_was_erased_is_no_longer_named_by_the_requests_they_answered(bench: Bench, portal: Portal) -> None:
    patient = await planted(portal)
    assert [row.claimed_patient for row in rows(bench, "consent_request")] == [patient.address.patient]
    await portal.erase(patient.profile)
    assert [(row.state, row.claimed_patient) for row in rows(bench, "consent_request")] == [("GRANTED", 0)]


async def test_an_alias_claimed_while_its_patient_is_erased_leads_nowhere(
    bench: Bench, portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = await portal.paired()
    await portal.close(profile)
    across, address, do = bench.across, portal.address(profile), bench.ledger.do

    async def erased_in_between(item: Any) -> Any:
        answer = await do(item)
        if isinstance(item, c.ClaimAlias):
            monkeypatch.undo()
            await portal.erase(profile)
        return answer

    monkeypatch.setattr(bench.ledger, "do", erased_in_between)
    assert await reason_of(across.add_identity(c.AddIdentity(ins(2), address))) is Reason.RESOURCE_NOT_FOUND
    assert rows(bench, "alias") == []


async def test_what_auditors_searched_links_nothing_after_an_erasure(bench: Bench, portal: Portal) -> None:
    """The record of a search holds the patient's subjects with every service: it goes with the patient."""
    patient = await planted(portal)
    searcher = Searcher(bench.database, bench.vault)
    audit = Audit(bench.ledger, searcher, Indexer(bench.database))
    await audit.search(Search(Filter(profile=patient.address), limit=1))
    read = len(bench.entries()) - 1
    assert bench.opened(read)["method"] == "SearchEntries"
    await portal.erase(patient.profile)
    (item,) = bench.ledger.proofs.prove(bench.logs[0].origin, [read], openings=True)
    assert item.opening is None


async def test_an_erased_identity_may_open_a_new_profile_that_knows_nothing(portal: Portal) -> None:
    profile = await portal.paired()
    await portal.identify(profile, 2)
    await portal.close(profile)
    await portal.erase(profile)
    for number in (1, 2):
        fresh = await portal.open(number)
        assert fresh != profile
        assert await reason_of(portal.grant(fresh)) is Reason.STATE_CONFLICT  # not paired


async def test_a_consent_that_answered_a_request_is_no_longer_told_of(portal: Portal) -> None:
    patient = await planted(portal)
    (request,) = rows(portal.bench, "consent_request")
    name = portal.names.request_name(0, request.id)
    await portal.erase(patient.profile)
    told = await portal.poll(name)
    assert (told.consent, told.patient) == ("", "")


async def test_an_erasure_takes_the_aliases_out_of_every_shard_also_after_a_crash(
    sharded: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = Portal(sharded)
    profile = await portal.open(1)
    for number in range(2, 12):
        await portal.identify(profile, number)
    assert len({row.shard for row in rows(sharded, "alias")}) > 1
    await portal.close(profile)
    await sharded.ledger.do(c.Erase(portal.address(profile), "gdpr_17_1_b", False))  # and then the process died
    assert len(rows(sharded, "alias")) > 5
    alias = next(row for row in rows(sharded, "alias") if row.shard != portal.address(profile).shard)
    number = next(n for n in range(2, 12) if sharded.vault.ins_hash(ins(n)) == alias.ins_hash)
    assert await portal.open(number) != profile
    again = await portal.erase(profile)
    assert again.covers == 0
    assert rows(sharded, "alias") == []


async def test_an_erasure_is_effective_when_logs_and_backups_of_the_database_have_aged_out(database_url: str) -> None:
    def settings(url: str, **more: Any) -> Settings:
        nothing: Any = None
        return Settings(nothing, nothing, url, Path("t"), "mes.example", "r:1", **more)

    expected = 0 if database_url.startswith("sqlite") else 30 * DAY_MS
    assert settings(database_url).erasure_delay_ms == expected
    assert settings(database_url, erasure_delay_days=7).erasure_delay_ms == 7 * DAY_MS
    for days in (-1, 3651):
        with pytest.raises(ValueError, match="erasure_delay_days"):
            settings(database_url, erasure_delay_days=days)
