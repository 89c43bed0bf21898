"""A patient has one profile, whatever identity leads to it, and in whatever shard that identity is looked for."""

import pytest

from services.consent.domain import commands as c
from services.errors import Reason
from services.formats.entry import EntryType
from tests.contract.consent.behind import rows
from tests.support.ledgers import Bench, ins, query
from tests.support.portals import Portal
from tests.support.refused import reason_of


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


async def test_either_identity_leads_to_one_profile(bench: Bench, portal: Portal) -> None:
    profile = await portal.open(1)
    await portal.identify(profile, 2)
    await portal.identify(profile, 2)
    await portal.identify(profile, 1)
    assert await portal.open(2) == await portal.open(1) == profile
    assert bench.kinds().count("profile.aliased") == 1
    assert bench.kinds().count("profile.opened") == 1


async def test_a_document_may_bear_either_identity_and_no_third(bench: Bench, portal: Portal) -> None:
    profile = await portal.open(1)
    await portal.identify(profile, 2)
    await portal.both(profile)
    asked = query(portal.address(profile))
    for number in (1, 2):
        assert (await bench.authorize(asked, ins(number))).permit
    assert (await bench.authorize(asked, ins(1), ins(2))).permit
    assert (await bench.authorize(asked, ins(3))).told is Reason.PATIENT_MISMATCH


async def test_an_identity_of_another_profile_is_refused(bench: Bench, portal: Portal) -> None:
    one, two = await portal.open(1), await portal.open(2)
    await portal.identify(two, 3)
    for number in (2, 3):
        assert await reason_of(portal.identify(one, number)) is Reason.STATE_CONFLICT
    assert bench.kinds().count("profile.aliased") == 1


async def test_an_identity_in_another_shard_leads_to_its_profile(sharded: Bench) -> None:
    portal = Portal(sharded)
    home = {number: sharded.ledger.home(c.OpenProfile(ins(number))) for number in range(40)}
    first = next(number for number in home if home[number] == 0)
    other = next(number for number in home if home[number] == 3)
    third = next(number for number in home if home[number] == 2)
    profile = await portal.open(first)
    await portal.identify(profile, other)
    assert await portal.open(other) == profile
    await portal.both(profile)
    assert (await sharded.authorize(query(portal.address(profile)), ins(other))).permit
    assert [len(rows(sharded, name)) for name in ("alias", "identity", "patient")] == [1, 1, 1]
    stranger = await portal.open(third)
    assert await reason_of(portal.identify(stranger, other)) is Reason.STATE_CONFLICT
    assert await reason_of(portal.identify(stranger, first)) is Reason.STATE_CONFLICT
    assert sharded.kinds(3) == []  # the directory is no record of its own
    assert EntryType.PROFILE_ALIASED.value in sharded.kinds(0)


async def test_an_alias_that_was_claimed_and_not_recorded_is_recorded_by_the_same_call_again(
    sharded: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal = Portal(sharded)
    profile = await portal.open(1)
    claimed = c.ClaimAlias(ins(2), portal.address(profile))
    await sharded.ledger.do(claimed)  # and then the process died
    assert await portal.open(2) == profile
    assert rows(sharded, "identity") == []
    await portal.identify(profile, 2)
    assert len(rows(sharded, "identity")) == 1
