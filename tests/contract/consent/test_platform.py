"""What the platform does across shards: retention, and the portal's assertions, listed and withdrawn in bulk."""

from typing import Any

import pytest
from accord.consent.v1 import platform_service_pb2 as pb

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.domain.asserted import AssertionFilter
from services.consent.locked import STEP
from services.errors import AccordError, Reason
from tests.contract.consent.behind import rows
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, query
from tests.support.portals import CONTEXT, PORTAL_KEY, Portal, by
from tests.support.refused import reason_of

PERSON = "person-of-the-portal-7f3a"
YEAR_MS = 366 * DAY_MS


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


async def retain(portal: Portal, year: int, basis: str = "ehds_9") -> int:
    request = pb.ApplyRetentionRequest(year=year, legal_basis=basis)
    return (await portal.platform.ApplyRetention(request, CONTEXT)).covers


async def test_retention_drops_the_traces_of_one_past_year_of_all_patients_in_every_shard(sharded: Bench) -> None:
    portal = Portal(sharded)
    addresses = [portal.address(await consenting(portal, number)) for number in range(1, 9)]
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


async def consenting(portal: Portal, number: int) -> str:
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
    profiles = [await consenting(portal, number) for number in range(8)]
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
    wanted = AssertionFilter(bench.vault.person_hash(PERSON), "", NOW_MS, NOW_MS + DAY_MS)
    step = await bench.ledger.do(c.RevokeAsserted(0, wanted, None, "again"))
    assert len(step.ended) <= STEP
    assert step.after is not None


async def test_a_mass_withdrawal_needs_a_reason_and_a_filter(portal: Portal) -> None:
    assert await reason_of(withdrawn(portal, found(), "")) is Reason.FIELD_INVALID
    assert await reason_of(withdrawn(portal, found(), "x" * 201)) is Reason.FIELD_INVALID
    assert await reason_of(withdrawn(portal, found(kid=""))) is Reason.FIELD_INVALID
