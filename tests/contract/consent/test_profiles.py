"""Profiles: how they open, pause, close, and whom they belong to; and what that does to their consents."""

from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_service_pb2 as pb

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.domain.by_clock import MAJORITY
from services.consent.profiles import OPT_OUT_MS
from services.errors import Reason
from services.formats.entry import EntryType
from tests.contract.consent.behind import rows
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, ins, query
from tests.support.portals import HOLDER, Portal, identity, representative
from tests.support.refused import reason_of

ACTIVE, SUSPENDED = consent_pb2.CONSENT_STATE_ACTIVE, consent_pb2.CONSENT_STATE_SUSPENDED
P = consent_pb2.ProfileState
OPT_OUT: dict[str, Any] = {"path": pb.OPENING_PATH_OPT_OUT}
MINOR: dict[str, Any] = {"majority_time": timestamp(NOW_MS + 10 * DAY_MS)}
PARENT, STRANGER = representative("parent-1"), representative("somebody")


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


async def both(portal: Portal, profile: str, **fields: Any) -> list[consent_pb2.Consent]:
    """Consents to sender and recipient."""
    granted = []
    for service in (SENDER, RECIPIENT):
        await portal.pair(profile, service)
        granted.append(await portal.grant(profile, portal.consent(service=service, **fields)))
    return granted


async def state(portal: Portal, profile: str) -> Any:
    """Where a profile stands, as opening it again tells."""
    address = portal.address(profile)
    return P.Value(f"PROFILE_STATE_{(await portal.bench.ledger.read_profile(address)).status}")


def standing(portal: Portal, consent: consent_pb2.Consent) -> tuple[str, str, int]:
    """(state, cause, revision) of a consent in the ledger's own rows."""
    found = portal.bench.find_consent(*portal.names.consent(consent.name))
    assert found is not None
    return found.state.value, found.cause, found.revision


async def test_who_says_nothing_for_six_weeks_has_a_profile_that_is_open_but_not_activated(
    bench: Bench, portal: Portal
) -> None:
    request = pb.OpenProfileRequest(patient=identity(1), **OPT_OUT)
    opened = await portal.consents.OpenProfile(request, None)  # type: ignore[arg-type]
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
    one, other = await both(portal, profile)
    paused = await portal.suspend((await portal.grant(profile)).name)
    revoked = await portal.revoke((await portal.grant(profile)).name)
    brief = await portal.grant(profile, portal.consent(end_time=timestamp(NOW_MS + 1000)))
    bench.clock.now_ms += 1000
    closed = await portal.close(profile)
    assert closed.state == P.PROFILE_STATE_CLOSED
    assert {standing(portal, item)[0] for item in (one, other, paused)} == {"ENDED"}
    assert (standing(portal, revoked)[0], standing(portal, brief)[0]) == ("REVOKED", "EXPIRED")
    assert await portal.close(profile) == closed
    address = portal.address(profile)
    assert (await bench.authorize(query(address))).told is Reason.PROFILE_NOT_OPEN
    assert await reason_of(portal.grant(profile)) is Reason.PROFILE_NOT_OPEN
    kinds = bench.kinds()
    assert (kinds.count("consent.ended"), kinds.count("consent.expired")) == (3, 1)
    reopened = await portal.reopen(profile)
    assert await portal.reopen(profile) == reopened
    assert {standing(portal, item)[0] for item in (one, other, paused)} == {"ENDED"}
    assert (await bench.authorize(query(address))).permit is None
    await both(portal, profile)
    assert (await bench.authorize(query(address))).permit


async def test_a_suspension_by_the_platform_pauses_and_resumes_exactly_what_it_paused(
    bench: Bench, portal: Portal
) -> None:
    profile = await portal.open()
    one, other = await both(portal, profile)
    by_holder = await portal.suspend((await portal.grant(profile)).name)
    brief = await portal.grant(profile, portal.consent(end_time=timestamp(NOW_MS + 1000)))
    await portal.revoke((await portal.grant(profile)).name)
    suspended = await portal.suspend_profile(profile, "fraud is suspected")
    assert suspended.state == P.PROFILE_STATE_SUSPENDED
    assert await portal.suspend_profile(profile, "again") == suspended
    assert [standing(portal, item) for item in (one, other, brief)] == [("SUSPENDED", "platform", 2)] * 3
    assert standing(portal, by_holder) == ("SUSPENDED", "holder", 2)
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
    assert [standing(portal, item) for item in (one, other)] == [("ACTIVE", "", 3)] * 2
    assert standing(portal, by_holder) == ("SUSPENDED", "holder", 2)
    assert standing(portal, brief)[0] == "EXPIRED"
    assert (await bench.authorize(query(address))).permit


async def test_why_the_platform_acts_is_on_the_record_and_needs_words(bench: Bench, portal: Portal) -> None:
    profile = await portal.open()
    for why in ("", "x" * 201):
        assert await reason_of(portal.suspend_profile(profile, why)) is Reason.FIELD_INVALID
    await portal.suspend_profile(profile, "fraud is suspected")
    assert bench.opened(len(bench.entries()) - 1) == {"why": "fraud is suspected"}


async def test_only_the_platform_resumes_what_it_suspended_and_only_that(portal: Portal) -> None:
    profile = await portal.open()
    assert (await portal.resume_profile(profile)).state == P.PROFILE_STATE_ACTIVE  # it is: nothing to do
    await portal.suspend_profile(profile)
    for call in (portal.activate(profile), portal.reopen(profile)):
        assert await reason_of(call) is Reason.STATE_CONFLICT
    await portal.close(profile)
    for call in (portal.resume_profile(profile), portal.activate(profile), portal.suspend_profile(profile)):
        assert await reason_of(call) is Reason.STATE_CONFLICT
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
    assert standing(portal, granted) == ("SUSPENDED", "holder", 3)


async def test_a_profile_that_is_not_there_does_nothing(portal: Portal) -> None:
    nobody = portal.names.profile_name(c.Address(0, 12345))
    elsewhere = portal.names.profile_name(c.Address(7, 12345))
    for name in (nobody, elsewhere, "profiles/x"):
        for call in (portal.activate(name), portal.close(name), portal.suspend_profile(name), portal.identify(name, 9)):
            assert await reason_of(call) is Reason.RESOURCE_NOT_FOUND
        assert await reason_of(portal.represent(name, "parent-1")) is Reason.RESOURCE_NOT_FOUND


async def test_only_a_person_recorded_before_acts_and_only_for_a_minor(bench: Bench, portal: Portal) -> None:
    child, adult = await portal.paired(1, **MINOR), await portal.paired(2)
    await portal.represent(child, "parent-1")
    await portal.represent(child, "parent-1")
    assert await reason_of(portal.represent(adult, "parent-1")) is Reason.STATE_CONFLICT
    granted = await portal.grant(child, portal.consent(actor=PARENT))
    assert granted.actor.role == consent_pb2.ACTOR_ROLE_REPRESENTATIVE
    for refused in (
        portal.grant(child, portal.consent(actor=STRANGER)),
        portal.grant(adult, portal.consent(actor=PARENT)),
        portal.suspend(granted.name, STRANGER),
        portal.revoke(granted.name, STRANGER),
        portal.close(child, STRANGER),
    ):
        assert await reason_of(refused) is Reason.STATE_CONFLICT
    await portal.represent(child, "parent-1", allowed=False)
    await portal.represent(child, "parent-1", allowed=False)
    assert await reason_of(portal.revoke(granted.name, PARENT)) is Reason.STATE_CONFLICT
    assert standing(portal, granted)[0] == "ACTIVE"  # until it is withdrawn
    kinds = bench.kinds()
    assert (kinds.count("representative.added"), kinds.count("representative.removed")) == (1, 1)


async def test_a_person_s_name_stands_sealed_and_nowhere_else(bench: Bench, portal: Portal) -> None:
    child = await portal.paired(1, **MINOR)
    await portal.represent(child, "parent-1")
    await portal.grant(child, portal.consent(actor=PARENT))
    tables = ("entry", "representative", "assertion", "consent", "opening", "grant_request")
    text = b"".join(
        item if isinstance(item, bytes) else str(item).encode()
        for name in tables
        for row in rows(bench, name)
        for item in row
    )
    assert b"parent-1" not in text
    assert bench.opened(len(bench.entries()) - 1)["person"] == "parent-1"


async def test_from_majority_on_a_representative_s_consent_carries_nothing_even_before_the_sweeper(
    bench: Bench, portal: Portal
) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    one, _ = await both(portal, child, actor=PARENT)
    own = await portal.grant(child, portal.consent(service=RECIPIENT))
    address = portal.address(child)
    assert (await bench.authorize(query(address))).permit
    bench.clock.now_ms += 10 * DAY_MS
    assert (await bench.authorize(query(address))).told is Reason.CONSENT_SUSPENDED
    for refused in (portal.revoke(one.name, PARENT), portal.grant(child, portal.consent(actor=PARENT))):
        assert await reason_of(refused) is Reason.STATE_CONFLICT
    assert await bench.ledger.do(c.SweepConsents(0)) == 1
    assert await bench.ledger.do(c.SweepConsents(0)) == 0
    assert standing(portal, one) == ("SUSPENDED", MAJORITY, 2)
    assert standing(portal, own) == ("ACTIVE", "", 1)
    assert (await bench.authorize(query(address))).told is Reason.CONSENT_SUSPENDED


@pytest.mark.parametrize("swept", [True, False])
async def test_the_holder_confirms_at_majority_what_a_representative_gave(
    bench: Bench, portal: Portal, swept: bool
) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    one, other = await both(portal, child, actor=PARENT)
    bench.clock.now_ms += 10 * DAY_MS
    if swept:
        await bench.ledger.sweep(0)
    for given in (one, other):
        assert (await portal.resume(given)).state == ACTIVE
    assert standing(portal, one) == ("ACTIVE", "", 3)
    assert (await bench.authorize(query(portal.address(child)))).permit
    assert bench.kinds().count("consent.suspended") == 2
    await bench.ledger.sweep(0)
    assert standing(portal, one) == ("ACTIVE", "", 3)


async def test_what_a_representative_had_paused_is_confirmed_when_the_grown_holder_resumes_it(
    bench: Bench, portal: Portal
) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    one, _ = await both(portal, child, actor=PARENT)
    await portal.grant(child, portal.consent(service=RECIPIENT))
    paused = await portal.suspend(one.name, PARENT)
    bench.clock.now_ms += 10 * DAY_MS
    await bench.ledger.sweep(0)
    assert standing(portal, one) == ("SUSPENDED", "representative", 2)
    await portal.resume(paused)
    assert (await bench.authorize(query(portal.address(child)))).permit


async def test_what_the_platform_resumes_after_majority_waits_for_the_holder(bench: Bench, portal: Portal) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    one, _ = await both(portal, child, actor=PARENT)
    await portal.suspend_profile(child)
    bench.clock.now_ms += 10 * DAY_MS
    await bench.ledger.sweep(0)
    await portal.resume_profile(child)
    assert standing(portal, one)[:2] == ("SUSPENDED", MAJORITY)


async def test_who_paused_or_a_stronger_hand_resumes(portal: Portal) -> None:
    child = await portal.paired(1, **MINOR)
    await portal.represent(child, "parent-1")
    granted = await portal.grant(child, portal.consent(actor=PARENT))
    by_parent = await portal.suspend(granted.name, PARENT)
    resumed = await portal.resume(by_parent, PARENT)
    by_holder = await portal.suspend(resumed.name)
    assert await reason_of(portal.resume(by_holder, PARENT)) is Reason.STATE_CONFLICT
    assert (await portal.suspend(granted.name, PARENT)).cause == "holder"  # it is paused already
    assert (await portal.resume(by_holder)).state == ACTIVE
    again = await portal.suspend(granted.name, PARENT)
    assert (again.cause, (await portal.suspend(granted.name)).cause) == ("representative", "holder")


async def test_what_a_minor_keeps_secret_is_not_there_for_representatives(portal: Portal) -> None:
    child = await portal.paired(1, **MINOR)
    await portal.represent(child, "parent-1")
    secret = consent_pb2.Limits(secret=True)
    told = portal.consent(limits=secret, actor=PARENT)
    assert await reason_of(portal.grant(child, told)) is Reason.STATE_CONFLICT
    granted = await portal.grant(child, portal.consent(limits=secret))
    size = len(portal.bench.entries())
    nothing = portal.names.consent_name(0, 12345)
    for name in (granted.name, nothing):
        change = portal.consent(name=name, actor=PARENT)
        change.ClearField("service")
        seen = consent_pb2.Consent()
        seen.CopyFrom(granted)
        seen.name = name
        for call in (
            portal.suspend(name, PARENT),
            portal.revoke(name, PARENT),
            portal.amend(change),
            portal.resume(seen, PARENT),
        ):
            assert await reason_of(call) is Reason.RESOURCE_NOT_FOUND
    assert len(portal.bench.entries()) == size
    open_ = await portal.grant(child, portal.consent(actor=PARENT))
    hiding = portal.consent(name=open_.name, limits=secret, actor=PARENT)
    hiding.ClearField("service")
    assert await reason_of(portal.amend(hiding)) is Reason.STATE_CONFLICT
    hiding.actor.CopyFrom(HOLDER)
    assert (await portal.amend(hiding)).limits.secret
    assert await reason_of(portal.revoke(open_.name, PARENT)) is Reason.RESOURCE_NOT_FOUND


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
    await both(portal, profile)
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
    await both(portal, profile)
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
