"""Profiles: how they open, pause and close; and what that does to their consents."""

from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_service_pb2 as pb

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.profiles import OPT_OUT_MS
from services.errors import Reason
from tests.support.ledgers import NOW_MS, Bench, query
from tests.support.portals import CONTEXT, Portal, identity
from tests.support.refused import reason_of

ACTIVE, SUSPENDED = consent_pb2.CONSENT_STATE_ACTIVE, consent_pb2.CONSENT_STATE_SUSPENDED
P = consent_pb2.ProfileState
OPT_OUT: dict[str, Any] = {"path": pb.OPENING_PATH_OPT_OUT}


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


async def state(portal: Portal, profile: str) -> Any:
    """Where a profile stands, as opening it again tells."""
    address = portal.address(profile)
    return P.Value(f"PROFILE_STATE_{(await portal.bench.across.profile(address)).status}")


async def test_who_says_nothing_for_six_weeks_has_a_profile_that_is_open_but_not_activated(
    bench: Bench, portal: Portal
) -> None:
    request = pb.OpenProfileRequest(patient=identity(1), **OPT_OUT)
    opened = await portal.consents.OpenProfile(request, CONTEXT)
    assert opened.state == P.PROFILE_STATE_INFORMED
    assert await portal.open(1) == opened.profile
    assert await reason_of(portal.pair(opened.profile)) is Reason.PROFILE_NOT_OPEN
    bench.clock.now_ms += OPT_OUT_MS - 1
    assert await bench.ledger.sweep(0) == 0
    bench.clock.now_ms += 1
    assert await bench.ledger.sweep(0) == 1
    assert await bench.ledger.sweep(0) == 0
    entry = bench.entries()[-1]
    assert (entry.type, entry.actor) == ("profile.opened", "ledger")
    assert await state(portal, opened.profile) == P.PROFILE_STATE_OPENED
    for call in (portal.pair(opened.profile), portal.grant(opened.profile)):
        assert await reason_of(call) is Reason.PROFILE_NOT_OPEN
    activated = await portal.activate(opened.profile)
    assert activated.state == P.PROFILE_STATE_ACTIVE
    assert await portal.activate(opened.profile) == activated
    await portal.pair(opened.profile)
    await portal.grant(opened.profile)
    kinds = [kind for kind in bench.kinds() if kind.startswith("profile")]
    assert kinds == ["profile.informed", "profile.opened", "profile.activated"]


async def test_who_refuses_within_six_weeks_has_no_profile_that_opens(bench: Bench, portal: Portal) -> None:
    profile = await portal.open(1, **OPT_OUT)
    assert (await portal.close(profile)).state == P.PROFILE_STATE_CLOSED
    bench.clock.now_ms += 2 * OPT_OUT_MS
    assert await bench.ledger.sweep(0) == 0
    assert await reason_of(portal.activate(profile)) is Reason.STATE_CONFLICT
    assert (await portal.reopen(profile)).state == P.PROFILE_STATE_ACTIVE


async def test_an_informed_patient_may_activate_at_once_and_the_sweeper_does_nothing_more(
    bench: Bench, portal: Portal
) -> None:
    profile = await portal.open(1, **OPT_OUT)
    await portal.activate(profile)
    bench.clock.now_ms += 2 * OPT_OUT_MS
    assert await bench.ledger.sweep(0) == 0
    assert await state(portal, profile) == P.PROFILE_STATE_ACTIVE


async def test_closing_ends_every_consent_and_reopening_revives_none(bench: Bench, portal: Portal) -> None:
    profile = await portal.open()
    one, other = await portal.both(profile)
    paused = await portal.suspend((await portal.grant(profile)).name)
    revoked = await portal.revoke((await portal.grant(profile)).name)
    brief = await portal.grant(profile, portal.consent(end_time=timestamp(NOW_MS + 1000)))
    bench.clock.now_ms += 1000
    closed = await portal.close(profile)
    assert closed.state == P.PROFILE_STATE_CLOSED
    assert {portal.standing(item)[0] for item in (one, other, paused)} == {"ENDED"}
    assert (portal.standing(revoked)[0], portal.standing(brief)[0]) == ("REVOKED", "EXPIRED")
    assert await portal.close(profile) == closed
    address = portal.address(profile)
    assert (await bench.authorize(query(address))).told is Reason.PROFILE_NOT_OPEN
    assert await reason_of(portal.grant(profile)) is Reason.PROFILE_NOT_OPEN
    kinds = bench.kinds()
    assert (kinds.count("consent.ended"), kinds.count("consent.expired")) == (3, 1)
    reopened = await portal.reopen(profile)
    assert await portal.reopen(profile) == reopened
    assert {portal.standing(item)[0] for item in (one, other, paused)} == {"ENDED"}
    assert (await bench.authorize(query(address))).permit is None
    await portal.both(profile)
    assert (await bench.authorize(query(address))).permit


async def test_a_suspension_by_the_platform_pauses_and_resumes_exactly_what_it_paused(
    bench: Bench, portal: Portal
) -> None:
    profile = await portal.open()
    one, other = await portal.both(profile)
    by_holder = await portal.suspend((await portal.grant(profile)).name)
    brief = await portal.grant(profile, portal.consent(end_time=timestamp(NOW_MS + 1000)))
    await portal.revoke((await portal.grant(profile)).name)
    suspended = await portal.suspend_profile(profile, "fraud is suspected")
    assert suspended.state == P.PROFILE_STATE_SUSPENDED
    assert await portal.suspend_profile(profile, "again") == suspended
    assert [portal.standing(item) for item in (one, other, brief)] == [("SUSPENDED", "platform", 2)] * 3
    assert portal.standing(by_holder) == ("SUSPENDED", "holder", 2)
    paused = [entry for entry in bench.entries() if entry.type == "consent.suspended" and entry.cause == "platform"]
    assert [entry.actor for entry in paused] == ["platform"] * 3
    address = portal.address(profile)
    assert (await bench.authorize(query(address))).told is Reason.PROFILE_SUSPENDED
    for call in (portal.grant(profile), portal.pair(profile), portal.resume(by_holder)):
        assert await reason_of(call) is Reason.PROFILE_SUSPENDED
    bench.clock.now_ms += 1000
    resumed = await portal.resume_profile(profile)
    assert resumed.state == P.PROFILE_STATE_ACTIVE
    assert await portal.resume_profile(profile) == resumed
    assert [portal.standing(item) for item in (one, other)] == [("ACTIVE", "", 3)] * 2
    assert portal.standing(by_holder) == ("SUSPENDED", "holder", 2)
    assert portal.standing(brief)[0] == "EXPIRED"
    assert (await bench.authorize(query(address))).permit


async def test_why_the_platform_acts_is_on_the_record_and_needs_words(bench: Bench, portal: Portal) -> None:
    profile = await portal.open()
    for why in ("", "x" * 201):
        assert await reason_of(portal.suspend_profile(profile, why)) is Reason.FIELD_INVALID
    await portal.suspend_profile(profile, "fraud is suspected")
    assert bench.opened(len(bench.entries()) - 1) == {"why": "fraud is suspected"}


async def test_only_the_platform_resumes_what_it_suspended(bench: Bench, portal: Portal) -> None:
    """Nor does closing and reopening: what is reopened is suspended still, and the platform may bar what is closed."""
    profile = await portal.paired()
    address = portal.address(profile)
    assert (await portal.resume_profile(profile)).state == P.PROFILE_STATE_ACTIVE  # it is: nothing to do
    await portal.suspend_profile(profile)
    assert await reason_of(portal.activate(profile)) is Reason.STATE_CONFLICT
    for _ in range(2):
        assert (await portal.close(profile)).state == P.PROFILE_STATE_BARRED
        assert await reason_of(portal.grant(profile)) is Reason.PROFILE_NOT_OPEN
        assert (await portal.reopen(profile)).state == P.PROFILE_STATE_SUSPENDED
        assert (await bench.authorize(query(address))).told is Reason.PROFILE_SUSPENDED
    await portal.close(profile)
    assert (await portal.resume_profile(profile)).state == P.PROFILE_STATE_CLOSED
    assert (await portal.suspend_profile(profile)).state == P.PROFILE_STATE_BARRED
    assert (await portal.resume_profile(profile)).state == P.PROFILE_STATE_CLOSED
    assert (await portal.reopen(profile)).state == P.PROFILE_STATE_ACTIVE
    informed = await portal.open(2, **OPT_OUT)
    for call in (portal.resume_profile(informed), portal.reopen(informed), portal.suspend_profile(informed)):
        assert await reason_of(call) is Reason.STATE_CONFLICT


async def test_a_patient_s_own_pause_outlasts_the_platform_s(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    granted = await portal.grant(profile)
    await portal.suspend_profile(profile)
    assert (await portal.suspend(granted.name)).cause == "holder"
    assert (await portal.suspend(granted.name)).revision == 3
    await portal.resume_profile(profile)
    assert portal.standing(granted) == ("SUSPENDED", "holder", 3)


async def test_a_profile_that_is_not_there_does_nothing(portal: Portal) -> None:
    nobody = portal.names.profile_name(c.Address(0, 12345))
    elsewhere = portal.names.profile_name(c.Address(7, 12345))
    for name in (nobody, elsewhere, "profiles/x"):
        for call in (portal.activate(name), portal.close(name), portal.suspend_profile(name), portal.identify(name, 9)):
            assert await reason_of(call) is Reason.RESOURCE_NOT_FOUND
        assert await reason_of(portal.represent(name, "parent-1")) is Reason.RESOURCE_NOT_FOUND
