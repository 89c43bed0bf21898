"""What the platform does to what is kept: erasure that leaves nothing but proofs, retention, and mass withdrawal."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import platform_service_pb2 as pb
from sqlalchemy import make_url

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.retractions import STEP
from services.consent.vault import subject_of
from services.errors import Reason
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash
from tests.contract.consent.behind import everything, rows
from tests.support.ledgers import DAY_MS, NOW_MS, PUBLIC_KEY, RECIPIENT, SENDER, Bench, ins, outcome, query
from tests.support.portals import CONTEXT, HOLDER, PORTAL_KEY, Portal, representative
from tests.support.refused import reason_of

PERSON = "person-of-the-portal-7f3a"
YEAR_MS = 366 * DAY_MS


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
    from services.consent.config import DAY_MS as DAY
    from services.consent.config import Settings

    def settings(url: str, **more: Any) -> Settings:
        nothing: Any = None
        return Settings(nothing, nothing, url, Path("t"), "mes.example", "r:1", **more)

    expected = 0 if database_url.startswith("sqlite") else 30 * DAY
    assert settings(database_url).erasure_delay_ms == expected
    assert settings(database_url, erasure_delay_days=7).erasure_delay_ms == 7 * DAY
    for days in (-1, 3651):
        with pytest.raises(ValueError, match="erasure_delay_days"):
            settings(database_url, erasure_delay_days=days)


async def retain(portal: Portal, year: int, basis: str = "ehds_9") -> int:
    request = pb.ApplyRetentionRequest(year=year, legal_basis=basis)
    return (await portal.platform.ApplyRetention(request, CONTEXT)).covers


async def test_retention_drops_the_traces_of_one_past_year_of_all_patients_in_every_shard(sharded: Bench) -> None:
    portal = Portal(sharded)
    addresses = [portal.address(await both(portal, number)) for number in range(1, 9)]
    shards = {address.shard for address in addresses}
    assert len(shards) > 1
    old = [await sharded.authorize(query(address)) for address in addresses]
    sharded.clock.now_ms += 4 * YEAR_MS
    new = [await sharded.authorize(query(address)) for address in addresses]
    assert await retain(portal, 2026) == len(addresses)
    assert await retain(portal, 2026) == 0
    for shard in range(4):
        kinds = sharded.kinds(shard)
        assert kinds.count("retention.applied") == (shard in shards)
    for decision, is_opened in [(item, False) for item in old] + [(item, True) for item in new]:
        place = decision.appended
        (item,) = sharded.ledger.proofs.prove(place.origin, [place.index], openings=True)
        assert (item.opening is not None) is is_opened
    entry = next(entry for entry in sharded.entries(min(shards)) if entry.type == "retention.applied")
    assert (entry.actor, entry.basis, entry.until_ms) == ("platform", "ehds_9", sharded.clock.now_ms)
    consents = rows(sharded, "consent")
    assert len(consents) == 2 * len(addresses)  # what patients decided is not a trace


async def both(portal: Portal, number: int) -> str:
    profile = await portal.open(number)
    for service in (SENDER, RECIPIENT):
        await portal.pair(profile, service)
        await portal.grant(profile, portal.consent(service=service, end_time=timestamp(NOW_MS + 3000 * DAY_MS)))
    return profile


async def test_a_year_is_dropped_only_when_all_of_it_is_older_than_three_years(bench: Bench, portal: Portal) -> None:
    for year in (2023, 2024, 2025, 2026, 2027):
        assert await reason_of(retain(portal, year)) is Reason.STATE_CONFLICT
    assert await retain(portal, 2022) == 0
    for year in (0, 1999, 9999):
        assert await reason_of(retain(portal, year)) is Reason.FIELD_INVALID
    assert await reason_of(retain(portal, 2022, "GDPR 17")) is Reason.FIELD_INVALID
    assert bench.entries() == ()


def found(**fields: Any) -> pb.AssertionFilter:
    """A filter over the present day."""
    times = {"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS + DAY_MS)}
    return pb.AssertionFilter(**({"kid": PORTAL_KEY.verify_key.kid} | times | fields))


def of(person: str, **fields: Any) -> pb.AssertionFilter:
    return found(person=person, kid="", **fields)


async def listed(portal: Portal, wanted: pb.AssertionFilter, size: int = 0) -> list[Any]:
    """All pages."""
    items: list[Any] = []
    token = ""
    while True:
        request = pb.ListAssertionsRequest(filter=wanted, page_size=size, page_token=token)
        page = await portal.platform.ListAssertions(request, CONTEXT)
        items += page.items
        assert len(page.items) <= (size or 100)
        token = page.next_page_token
        if not token:
            return items


def by(person: str) -> consent_pb2.Actor:
    return consent_pb2.Actor(role=HOLDER.role, authentication="eidas2", person=person)


async def test_assertions_are_listed_by_person_and_by_key_in_log_order(sharded: Bench) -> None:
    portal = Portal(sharded)
    names: list[str] = []
    for number in range(12):
        profile = await portal.paired(number)
        granted = await portal.grant(profile, portal.consent(actor=by(f"person-{number % 3}")))
        names.append(granted.name)
        sharded.clock.now_ms += 1000
    for size in (1, 5, 12, 13, 0):
        items = await listed(portal, found(), size)
        assert sorted(item.consent for item in items) == sorted(names)
        places = [(item.origin, item.index) for item in items]
        assert places == sorted(places)
    mine = await listed(portal, of("person-1"), 3)
    assert {item.consent for item in mine} == {name for number, name in enumerate(names) if number % 3 == 1}
    for item in mine:
        shard = int(item.origin.rpartition("/")[2])
        entry = sharded.entries(shard)[item.index]
        assert (entry.type, item.time) == ("consent.granted", timestamp(entry.time_ms))
        assert entry.resources == (f"{item.consent}/revisions/1",)
        assert item.kid == PORTAL_KEY.verify_key.kid
    assert await listed(portal, found(person="person-1")) == mine
    assert await listed(portal, of("person-9")) == []
    read = [entry for entry in sharded.entries(0) if entry.type == "audit.read"]
    assert read
    assert {entry.actor for entry in read} == {"platform"}
    assert await listed(portal, found(kid="k" * 43)) == []
    middle = {"start_time": timestamp(NOW_MS + 3000), "end_time": timestamp(NOW_MS + 6000)}
    assert {item.consent for item in await listed(portal, found(**middle))} == set(names[3:6])


@pytest.mark.parametrize(
    ("wanted", "more", "field"),
    [
        (found(kid=""), {}, "filter"),
        (found(kid="short"), {}, "filter.kid"),
        (of("not a name"), {}, "filter.person"),
        (pb.AssertionFilter(person="x", start_time=timestamp(1)), {}, "filter.end_time"),
        (pb.AssertionFilter(person="x", end_time=timestamp(1)), {}, "filter.start_time"),
        (found(), {"page_size": 501}, "page_size"),
        (found(), {"page_size": -1}, "page_size"),
        (found(), {"page_token": "x"}, "page_token"),
    ],
)
async def test_a_violated_field_of_a_list_is_named(
    portal: Portal, wanted: pb.AssertionFilter, more: dict[str, Any], field: str
) -> None:
    from services.errors import AccordError

    with pytest.raises(AccordError) as caught:
        await portal.platform.ListAssertions(pb.ListAssertionsRequest(filter=wanted, **more), CONTEXT)
    assert field in [item.field for item in caught.value.violations]


async def test_what_the_platform_lists_is_on_the_record_and_not_about_whom(bench: Bench, portal: Portal) -> None:
    await listed(portal, of(PERSON))
    assert bench.kinds() == ["audit.read"]
    day = {"from": "2026-11-23T14:15:28.123Z", "until": "2026-11-24T14:15:28.123Z"}
    assert bench.opened(0) == {"method": "ListAssertions", "asked": day | {"by": "person"}}


async def test_a_page_of_another_list_is_refused(portal: Portal) -> None:
    profile = await portal.paired()
    for _ in range(2):
        await portal.grant(profile, portal.consent(actor=by("person-1")))
    request = pb.ListAssertionsRequest(filter=found(), page_size=1)
    token = (await portal.platform.ListAssertions(request, CONTEXT)).next_page_token
    assert token
    other = pb.ListAssertionsRequest(filter=of("person-1"), page_token=token)
    assert await reason_of(portal.platform.ListAssertions(other, CONTEXT)) is Reason.FIELD_INVALID


async def withdrawn(portal: Portal, wanted: pb.AssertionFilter, why: str = "a key was stolen") -> tuple[int, int]:
    request = pb.RevokeAssertionsRequest(filter=wanted, justification=why)
    answer = await portal.platform.RevokeAssertions(request, CONTEXT)
    return answer.revoked, answer.ended_before


async def test_what_a_stolen_key_signed_is_withdrawn_in_every_shard_once(sharded: Bench) -> None:
    portal = Portal(sharded)
    profiles = [await both(portal, number) for number in range(8)]
    sharded.clock.now_ms += DAY_MS
    later = await portal.grant(profiles[0])
    size = sum(len(sharded.entries(shard)) for shard in range(4))
    assert await withdrawn(portal, found()) == (16, 0)
    for profile in profiles:
        assert (await sharded.authorize(query(portal.address(profile)))).permit is None
    revoked = [entry for shard in range(4) for entry in sharded.entries(shard) if entry.type == "consent.revoked"]
    assert [entry.actor for entry in revoked] == ["platform"] * 16
    shard = portal.address(profiles[0]).shard
    index = next(i for i, entry in enumerate(sharded.entries(shard)) if entry.type == "consent.revoked")
    assert sharded.opened(index, shard)["why"] == "a key was stolen"
    assert await withdrawn(portal, found()) == (0, 16)
    assert sum(len(sharded.entries(shard)) for shard in range(4)) == size + 16 + len(profiles)
    assert (await portal.suspend(later.name)).revision == 2  # signed after the period: it stands


async def test_a_mass_withdrawal_counts_each_consent_once_and_takes_bounded_steps(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    names = [(await portal.grant(profile, portal.consent(actor=by(PERSON)))).name for _ in range(STEP + 5)]
    amended = portal.consent(name=names[0], actor=by(PERSON))
    amended.ClearField("service")
    for _ in range(STEP):  # further assertions of the same consent, into the next step
        await portal.amend(amended)
    await portal.revoke(names[1])
    await portal.suspend(names[2])
    brief = portal.consent(actor=by(PERSON), end_time=timestamp(NOW_MS + 1))
    await portal.grant(profile, brief)
    bench.clock.now_ms += 1
    other = await portal.grant(profile, portal.consent(actor=by("somebody-else")))
    assert await withdrawn(portal, of(PERSON)) == (STEP + 4, 2)
    assert await withdrawn(portal, of(PERSON)) == (0, STEP + 6)
    found_other = bench.find_consent(*portal.names.consent(other.name))
    assert found_other is not None
    assert found_other.state == "ACTIVE"
    item = c.RevokeAsserted(0, *_step_of(bench))
    assert len((await bench.ledger.do(item)).ended) <= STEP


def _step_of(bench: Bench) -> tuple[Any, None, str]:
    from services.consent.domain.asserted import AssertionFilter

    return AssertionFilter(bench.vault.person_hash(PERSON), "", NOW_MS, NOW_MS + DAY_MS), None, "again"


async def test_a_mass_withdrawal_needs_a_reason_and_a_filter(portal: Portal) -> None:
    assert await reason_of(withdrawn(portal, found(), "")) is Reason.FIELD_INVALID
    assert await reason_of(withdrawn(portal, found(), "x" * 201)) is Reason.FIELD_INVALID
    assert await reason_of(withdrawn(portal, found(kid=""))) is Reason.FIELD_INVALID
