"""Who acts for a minor, until when, and what the minor keeps from them; and what the holder confirms at majority."""

from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_service_pb2 as pb

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.domain.by_clock import MAJORITY
from services.errors import Reason
from tests.contract.consent.behind import rows
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, Bench, query
from tests.support.portals import CONTEXT, HOLDER, Portal, representative
from tests.support.refused import reason_of

ACTIVE, SUSPENDED = consent_pb2.CONSENT_STATE_ACTIVE, consent_pb2.CONSENT_STATE_SUSPENDED
MINOR: dict[str, Any] = {"majority_time": timestamp(NOW_MS + 10 * DAY_MS)}
PARENT, STRANGER = representative("parent-1"), representative("somebody")


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


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
    assert portal.standing(granted)[0] == "ACTIVE"  # until it is withdrawn
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
    one, _ = await portal.both(child, actor=PARENT)
    own = await portal.grant(child, portal.consent(service=RECIPIENT))
    address = portal.address(child)
    assert (await bench.authorize(query(address))).permit
    bench.clock.now_ms += 10 * DAY_MS
    assert (await bench.authorize(query(address))).told is Reason.CONSENT_SUSPENDED
    for refused in (portal.revoke(one.name, PARENT), portal.grant(child, portal.consent(actor=PARENT))):
        assert await reason_of(refused) is Reason.STATE_CONFLICT
    assert await bench.ledger.do(c.SweepConsents(0)) == 1
    assert await bench.ledger.do(c.SweepConsents(0)) == 0
    assert portal.standing(one) == ("SUSPENDED", MAJORITY, 2)
    assert portal.standing(own) == ("ACTIVE", "", 1)
    assert (await bench.authorize(query(address))).told is Reason.CONSENT_SUSPENDED


@pytest.mark.parametrize("swept", [True, False])
async def test_the_holder_confirms_at_majority_what_a_representative_gave(
    bench: Bench, portal: Portal, swept: bool
) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    one, other = await portal.both(child, actor=PARENT)
    bench.clock.now_ms += 10 * DAY_MS
    if swept:
        await bench.ledger.sweep(0)
    for given in (one, other):
        assert (await portal.resume(given)).state == ACTIVE
    assert portal.standing(one) == ("ACTIVE", "", 3)
    assert (await bench.authorize(query(portal.address(child)))).permit
    assert bench.kinds().count("consent.suspended") == 2
    await bench.ledger.sweep(0)
    assert portal.standing(one) == ("ACTIVE", "", 3)


async def test_what_a_representative_had_paused_is_confirmed_when_the_grown_holder_resumes_it(
    bench: Bench, portal: Portal
) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    one, _ = await portal.both(child, actor=PARENT)
    await portal.grant(child, portal.consent(service=RECIPIENT))
    paused = await portal.suspend(one.name, PARENT)
    bench.clock.now_ms += 10 * DAY_MS
    await bench.ledger.sweep(0)
    assert portal.standing(one) == ("SUSPENDED", "representative", 2)
    await portal.resume(paused)
    assert (await bench.authorize(query(portal.address(child)))).permit


async def test_what_the_platform_resumes_after_majority_waits_for_the_holder(bench: Bench, portal: Portal) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    one, _ = await portal.both(child, actor=PARENT)
    await portal.suspend_profile(child)
    bench.clock.now_ms += 10 * DAY_MS
    await bench.ledger.sweep(0)
    await portal.resume_profile(child)
    assert portal.standing(one)[:2] == ("SUSPENDED", MAJORITY)


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


async def test_a_representative_s_own_request_repeated_tells_nothing_of_what_became_secret(portal: Portal) -> None:
    """Nor once they represent nobody any more."""
    child = await portal.paired(1, **MINOR)
    await portal.represent(child, "parent-1")
    told = portal.consent(actor=PARENT)
    given = await portal.grant(child, told, request_id="by-the-parent")
    assert (await portal.grant(child, told, request_id="by-the-parent")).name == given.name
    hiding = portal.consent(name=given.name, limits=consent_pb2.Limits(secret=True))
    hiding.ClearField("service")
    await portal.amend(hiding)
    assert await reason_of(portal.grant(child, told, request_id="by-the-parent")) is Reason.RESOURCE_NOT_FOUND
    await portal.consents.RemoveRepresentative(
        pb.RemoveRepresentativeRequest(profile=child, person="parent-1"), CONTEXT
    )
    assert await reason_of(portal.grant(child, told, request_id="by-the-parent")) is Reason.STATE_CONFLICT


async def test_a_request_that_a_minor_answered_in_secret_looks_like_any_that_was_decided(portal: Portal) -> None:
    child = await portal.open(1, **MINOR)
    await portal.represent(child, "parent-1")
    asked = await portal.ask()
    await portal.grant(child, portal.consent(limits=consent_pb2.Limits(secret=True)), request=asked.name)
    told = portal.consent(actor=PARENT)
    assert await reason_of(portal.grant(child, told, request=asked.name)) is Reason.STATE_CONFLICT
