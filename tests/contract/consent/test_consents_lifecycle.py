"""Consents from grant to end, as the portal asks for them: each move once, and only where it is allowed."""

from dataclasses import replace

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_service_pb2 as pb
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.consent.convert.form import timestamp
from services.errors import Reason
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, convention, query, record
from tests.support.portals import CONTEXT, HOLDER, Portal, amended, scope, with_effect
from tests.support.refused import reason_of

ACTIVE, SUSPENDED = consent_pb2.CONSENT_STATE_ACTIVE, consent_pb2.CONSENT_STATE_SUSPENDED
REVOKED, EXPIRED = consent_pb2.CONSENT_STATE_REVOKED, consent_pb2.CONSENT_STATE_EXPIRED
LIMITS = consent_pb2.Limits(
    exceptions=["label:V", "type:11502-2"],
    quota=consent_pb2.Quota(limit=5, period_seconds=86_400),
    data_start_time=Timestamp(seconds=1_700_000_000),
    erase_time=timestamp(NOW_MS + 20 * DAY_MS),
)


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


async def test_an_amendment_is_a_revision_that_decisions_see_at_once(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    await portal.pair(profile, RECIPIENT)
    granted = await portal.grant(profile)
    await portal.grant(profile, portal.consent(service=RECIPIENT))
    address = portal.address(profile)
    assert (await bench.authorize(query(address))).permit
    narrowed = amended(granted, scope=scope(directions=[registry_pb2.DIRECTION_READ]), limits=LIMITS)
    after = await portal.amend(narrowed)
    assert (after.revision, after.etag, after.start_time) == (2, '"2"', granted.start_time)
    assert after.limits == with_effect(LIMITS)
    entry = bench.entries()[-1]
    assert (entry.type, entry.resources[0].endswith("/revisions/2")) == ("consent.amended", True)
    assert (await bench.authorize(query(address))).told is Reason.DIRECTION_NOT_GRANTED


async def test_an_amendment_repeated_answers_the_consent_as_it_stands(bench: Bench, portal: Portal) -> None:
    granted = await portal.grant(await portal.paired())
    change = amended(granted, scope=scope(directions=[registry_pb2.DIRECTION_READ]), etag=granted.etag)
    first = await portal.amend(change, request_id="amendment-1")
    assert await portal.amend(change, request_id="amendment-1") == first
    revoked = await portal.revoke(granted.name)
    assert await portal.amend(change, request_id="amendment-1") == revoked
    wider = amended(granted, scope=scope(["class:11"]), etag=granted.etag)
    assert await reason_of(portal.amend(wider, request_id="amendment-1")) is Reason.REQUEST_ID_REUSED
    assert bench.kinds().count("consent.amended") == 1


async def test_an_amendment_stays_within_the_convention(bench: Bench, portal: Portal) -> None:
    granted = await portal.grant(await portal.paired())
    beyond = timestamp(NOW_MS + 3650 * DAY_MS + 1)
    assert await reason_of(portal.amend(amended(granted, end_time=beyond))) is Reason.CONVENTION_EXCEEDED
    wide = amended(granted, scope=scope(["class:60"]))
    assert await reason_of(portal.amend(wide)) is Reason.CONVENTION_EXCEEDED
    old = amended(granted, notice_sha256="b" * 64)
    assert await reason_of(portal.amend(old)) is Reason.STATE_CONFLICT
    bench.view.set([record(SENDER, convention=replace(convention(), end_ms=NOW_MS)), record(RECIPIENT)])
    assert await reason_of(portal.amend(amended(granted))) is Reason.CONVENTION_NOT_IN_FORCE
    bench.view.snapshot = None
    assert await reason_of(portal.amend(amended(granted))) is Reason.REGISTRY_STALE


async def test_what_gives_does_not_become_what_refuses(portal: Portal) -> None:
    profile = await portal.paired()
    deny = consent_pb2.Limits(effect=consent_pb2.EFFECT_DENY)
    granted = await portal.grant(profile)
    assert await reason_of(portal.amend(amended(granted, limits=deny))) is Reason.STATE_CONFLICT
    refusal = await portal.grant(profile, portal.consent(limits=deny))
    assert await reason_of(portal.amend(amended(refusal))) is Reason.STATE_CONFLICT
    longer = amended(refusal, limits=deny, end_time=timestamp(NOW_MS + 3650 * DAY_MS + 1))
    assert (await portal.amend(longer)).revision == 2  # a refusal needs no convention


async def test_only_an_active_consent_is_amended(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    suspended = await portal.suspend((await portal.grant(profile)).name)
    revoked = await portal.revoke((await portal.grant(profile)).name)
    brief = await portal.grant(profile, portal.consent(end_time=timestamp(NOW_MS + 1000)))
    bench.clock.now_ms += 1000
    for consent in (suspended, revoked, brief):
        change = amended(consent, end_time=timestamp(NOW_MS + DAY_MS))
        assert await reason_of(portal.amend(change)) is Reason.STATE_CONFLICT


async def test_an_amendment_of_another_revision_than_was_read_is_refused(portal: Portal) -> None:
    granted = await portal.grant(await portal.paired())
    current = await portal.amend(amended(granted, etag=granted.etag))
    stale = amended(granted, etag=granted.etag)
    assert await reason_of(portal.amend(stale)) is Reason.ETAG_MISMATCH
    for move in (portal.suspend, portal.revoke):
        assert await reason_of(move(granted.name, etag=granted.etag)) is Reason.ETAG_MISMATCH
    suspended = await portal.suspend(granted.name, etag=current.etag)
    assert await reason_of(portal.resume(suspended, etag=current.etag)) is Reason.ETAG_MISMATCH
    assert (await portal.resume(suspended, etag=suspended.etag)).state == ACTIVE


async def test_what_is_only_validated_is_checked_and_leaves_nothing(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    granted = await portal.grant(profile)
    size = len(bench.entries())
    checked = await portal.grant(profile, request_id="only-checked", validate_only=True)
    assert (checked.name, checked.state, checked.scope) == ("", ACTIVE, granted.scope)
    narrower = amended(granted, limits=LIMITS)
    assert (await portal.amend(narrower, request_id="only-checked", validate_only=True)).limits == with_effect(LIMITS)
    wide = portal.consent(scope=scope(["class:60"]))
    assert await reason_of(portal.grant(profile, wide, validate_only=True)) is Reason.CONVENTION_EXCEEDED
    assert await reason_of(portal.grant(profile, validate_only=True, assertion="x")) is Reason.ASSERTION_INVALID
    assert len(bench.entries()) == size
    assert (await portal.grant(profile, request_id="only-checked")).name  # the request id was not used up


async def test_a_pause_takes_the_right_away_and_resuming_gives_it_back(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    await portal.pair(profile, RECIPIENT)
    granted = await portal.grant(profile)
    await portal.grant(profile, portal.consent(service=RECIPIENT))
    asked = query(portal.address(profile))
    suspended = await portal.suspend(granted.name)
    assert (suspended.state, suspended.cause, suspended.revision) == (SUSPENDED, "holder", 2)
    assert (await bench.authorize(asked)).told is Reason.CONSENT_SUSPENDED
    assert await portal.suspend(granted.name) == suspended
    resumed = await portal.resume(suspended)
    assert (resumed.state, resumed.cause, resumed.revision) == (ACTIVE, "", 3)
    assert (await bench.authorize(asked)).permit
    assert await portal.resume(suspended) == resumed
    kinds = bench.kinds()
    assert (kinds.count("consent.suspended"), kinds.count("consent.resumed")) == (1, 1)


async def test_the_word_of_one_resumption_carries_no_second_one(portal: Portal) -> None:
    granted = await portal.grant(await portal.paired())
    first = await portal.suspend(granted.name)
    word = portal.hand.resume(first, HOLDER)
    await portal.resume(first, assertion=word)
    second = await portal.suspend(granted.name)
    assert await reason_of(portal.resume(first, assertion=word)) is Reason.ASSERTION_INVALID
    assert (await portal.resume(second)).state == ACTIVE


async def test_a_pause_and_a_withdrawal_wait_for_nothing(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    one, two = await portal.grant(profile), await portal.grant(profile)
    bench.view.snapshot = None
    await portal.suspend_profile(profile)
    assert (await portal.suspend(one.name)).cause == "holder"
    assert (await portal.revoke(two.name)).state == REVOKED


@pytest.mark.parametrize("end", ["revoked", "expired", "ended"])
async def test_what_has_ended_moves_no_more(bench: Bench, portal: Portal, end: str) -> None:
    profile = await portal.paired()
    granted = await portal.grant(profile, portal.consent(end_time=timestamp(NOW_MS + 10_000)))
    if end == "revoked":
        await portal.revoke(granted.name)
    elif end == "expired":
        bench.clock.now_ms += 10_000
    else:
        await portal.close(profile)
        await portal.reopen(profile)
    size = len(bench.entries())
    assert await reason_of(portal.suspend(granted.name)) is Reason.STATE_CONFLICT
    assert await reason_of(portal.resume(granted)) is Reason.STATE_CONFLICT
    if end == "revoked":
        assert (await portal.revoke(granted.name)).state == REVOKED
    else:
        assert await reason_of(portal.revoke(granted.name)) is Reason.STATE_CONFLICT
    assert len(bench.entries()) == size


async def test_a_repeated_grant_of_what_expired_says_so_before_the_sweeper_does(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    consent = portal.consent(end_time=timestamp(NOW_MS + 10_000))
    await portal.grant(profile, consent, request_id="the-request")
    bench.clock.now_ms += 10_000
    assert (await portal.grant(profile, consent, request_id="the-request")).state == EXPIRED
    assert "consent.expired" not in bench.kinds()


async def test_a_patient_is_told_of_a_revision_that_there_is(bench: Bench, portal: Portal) -> None:
    profile, other = await portal.paired(1), await portal.paired(2)
    granted = await portal.grant(profile)
    await portal.amend(amended(granted))

    async def tell(revision: int, *, whose: str = profile, channel: str = "letter", sent_ms: int = NOW_MS) -> None:
        about = f"{granted.name}/revisions/{revision}"
        request = pb.RecordNoticeRequest(profile=whose, about=about, channel=channel, send_time=timestamp(sent_ms))
        await portal.consents.RecordNotice(request, CONTEXT)

    await tell(1)
    entry = bench.entries()[-1]
    assert (entry.type, entry.actor, entry.resources) == ("notice.sent", "portal", (f"{granted.name}/revisions/1",))
    assert bench.opened(len(bench.entries()) - 1) == {"channel": "letter", "sent": "2026-11-23T14:15:28.123Z"}
    assert await reason_of(tell(3)) is Reason.RESOURCE_NOT_FOUND
    assert await reason_of(tell(1, whose=other)) is Reason.RESOURCE_NOT_FOUND
    assert await reason_of(tell(1, sent_ms=NOW_MS + 1)) is Reason.STATE_CONFLICT
    assert await reason_of(tell(1, channel="pigeon")) is Reason.FIELD_INVALID
    assert bench.kinds().count("notice.sent") == 1


async def test_a_service_notes_the_end_of_its_own_consent_once(bench: Bench, portal: Portal) -> None:
    granted = await portal.grant(await portal.paired())
    assert await reason_of(portal.acknowledge(granted.name)) is Reason.STATE_CONFLICT
    await portal.revoke(granted.name)
    assert await reason_of(portal.acknowledge(granted.name, RECIPIENT)) is Reason.RESOURCE_NOT_FOUND
    noted = await portal.acknowledge(granted.name)
    assert noted == timestamp(NOW_MS)
    bench.clock.now_ms += 5000
    assert await portal.acknowledge(granted.name) == noted
    entry = bench.entries()[-1]
    assert (entry.type, entry.actor, entry.service) == ("revocation.acknowledged", "service", SENDER)
    assert bench.kinds().count("revocation.acknowledged") == 1


async def test_an_expiry_that_a_service_notes_before_the_sweeper_came_is_written_first(
    bench: Bench, portal: Portal
) -> None:
    brief = portal.consent(end_time=timestamp(NOW_MS + 1000))
    granted = await portal.grant(await portal.paired(), brief)
    bench.clock.now_ms += 1000
    await portal.acknowledge(granted.name)
    assert bench.kinds()[-2:] == ["consent.expired", "revocation.acknowledged"]
    assert bench.entries()[-1].resources == (f"{granted.name}/revisions/2",)
    assert await bench.ledger.sweep(0) == 0
