"""Consents from grant to end, as the portal asks for them: each move once, on the portal's word where it gives a right."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.consent.convert.form import timestamp
from services.ctl.portal import PortalHand
from services.errors import Reason
from services.formats.assertion import MAX_AGE_S
from services.formats.entry import sha256_hex
from services.formats.trust import DatedKey, KeyRole, Trust
from tests.support.evidence import DOMAIN, signer
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, convention, query, record
from tests.support.portals import HOLDER, PORTAL_KEY, Portal, representative, scope
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


async def test_a_grant_keeps_the_portal_s_word_and_binds_its_entry_to_it(bench: Bench, portal: Portal) -> None:
    profile = await portal.paired()
    request = portal.granting(profile, portal.consent(limits=LIMITS))
    granted = (await portal.consents.GrantConsent(request, None)).consent  # type: ignore[arg-type]
    assert (granted.state, granted.revision, granted.etag, granted.limits) == (ACTIVE, 1, '"1"', with_effect(LIMITS))
    entry, body = bench.entries()[-1], bench.opened(len(bench.entries()) - 1)
    assert entry.assertion == sha256_hex(request.assertion)
    assert body["assertion"] == request.assertion
    assert body["limits"] == {
        "data_from": "2023-11-14T22:13:20.000Z",
        "erase": "2026-12-13T14:15:28.123Z",
        "exceptions": ["label:V", "type:11502-2"],
        "quota": {"limit": 5, "period": 86_400},
    }


def with_effect(limits: consent_pb2.Limits) -> consent_pb2.Limits:
    """The limits as they are answered: their effect said."""
    told = consent_pb2.Limits()
    told.CopyFrom(limits)
    told.effect = told.effect or consent_pb2.EFFECT_PERMIT
    return told


async def test_a_repeated_grant_signed_anew_answers_the_same_consent(bench: Bench, portal: Portal) -> None:
    profile, consent = await portal.paired(), portal.consent()
    first = await portal.grant(profile, consent, request_id="the-same-one")
    size = len(bench.entries())
    bench.clock.now_ms += (MAX_AGE_S + 1) * 1000
    assert await portal.grant(profile, consent, request_id="the-same-one") == first
    other = portal.consent(scope=scope(["class:11"]))
    assert await reason_of(portal.grant(profile, other, request_id="the-same-one")) is Reason.REQUEST_ID_REUSED
    assert len(bench.entries()) == size


def changed(**fields: Any) -> Callable[[Portal, str, consent_pb2.Consent], str]:
    """Signs for a consent that differs in these fields."""

    def sign(portal: Portal, profile: str, consent: consent_pb2.Consent) -> str:
        other = consent_pb2.Consent()
        other.CopyFrom(consent)
        other.MergeFrom(consent_pb2.Consent(**fields))
        return portal.hand.grant(other, profile, "the-request")

    return sign


def signed_by(name: str, **hand: Any) -> Callable[[Portal, str, consent_pb2.Consent], str]:
    def sign(portal: Portal, profile: str, consent: consent_pb2.Consent) -> str:
        stranger = PortalHand(signer(name), hand.get("domain", DOMAIN), portal.hand.now_s)
        return stranger.grant(consent, profile, "the-request")

    return sign


def at(seconds: int) -> Callable[[Portal, str, consent_pb2.Consent], str]:
    def sign(portal: Portal, profile: str, consent: consent_pb2.Consent) -> str:
        now_s = portal.hand.now_s()
        return replace(portal.hand, now_s=lambda: now_s + seconds).grant(consent, profile, "the-request")

    return sign


FALSE_WORDS: dict[str, Callable[[Portal, str, consent_pb2.Consent], str]] = {
    "not a token": lambda *_: "x",
    "another request id": lambda portal, profile, consent: portal.hand.grant(consent, profile, "another-request"),
    "another profile": lambda portal, profile, consent: portal.hand.grant(
        consent, "profiles/" + "0" * 32, "the-request"
    ),
    "another service": changed(service=RECIPIENT),
    "a wider scope": changed(scope=consent_pb2.Scope(categories=["class:11"])),
    "another end": changed(end_time=Timestamp(seconds=1)),
    "a start": changed(start_time=timestamp(NOW_MS)),
    "a limit": changed(limits=consent_pb2.Limits(exceptions=["label:V"])),
    "another notice": lambda portal, profile, consent: portal.hand.grant(
        portal.consent(notice_sha256="b" * 64), profile, "the-request"
    ),
    "another authentication": changed(actor=consent_pb2.Actor(authentication="password")),
    "a person": changed(actor=consent_pb2.Actor(person="somebody")),
    "a representative": changed(actor=representative("somebody")),
    "another key": signed_by("a stranger"),
    "a key of another role": signed_by("permit"),
    "another trust domain": signed_by("portal", domain="elsewhere.example"),
    "signed too long ago": at(-MAX_AGE_S - 1),
    "signed in the future": at(MAX_AGE_S + 1),
    "another act": lambda portal, profile, consent: portal.hand.amend(
        named(consent, "consents/" + "0" * 32), SENDER, "the-request"
    ),
}


def named(consent: consent_pb2.Consent, name: str) -> consent_pb2.Consent:
    copy = consent_pb2.Consent()
    copy.CopyFrom(consent)
    copy.name = name
    return copy


@pytest.mark.parametrize("false", FALSE_WORDS)
async def test_a_grant_is_refused_that_is_not_exactly_what_the_portal_signed(portal: Portal, false: str) -> None:
    keys = (
        DatedKey(KeyRole.PORTAL, PORTAL_KEY.verify_key, 0),
        DatedKey(KeyRole.PERMIT, signer("permit").verify_key, 0),
    )
    portal = Portal(portal.bench, Trust(DOMAIN, (), keys))
    profile, consent = await portal.paired(), portal.consent()
    size = len(portal.bench.entries())
    word = FALSE_WORDS[false](portal, profile, consent)
    call = portal.grant(profile, consent, request_id="the-request", assertion=word)
    assert await reason_of(call) is Reason.ASSERTION_INVALID
    assert len(portal.bench.entries()) == size
    await portal.grant(profile, consent, request_id="the-request")


async def test_an_assertion_may_be_five_minutes_old_or_new_but_its_key_was_good_when_it_signed(portal: Portal) -> None:
    profile, consent = await portal.paired(), portal.consent()
    for seconds in (-MAX_AGE_S + 1, MAX_AGE_S):
        word = at(seconds)(portal, profile, consent)
        await portal.grant(profile, consent, request_id="the-request", assertion=word)
    ended = Trust(DOMAIN, (), (DatedKey(KeyRole.PORTAL, PORTAL_KEY.verify_key, 0, NOW_MS - 60_000),))
    later = Portal(portal.bench, ended)
    assert await reason_of(later.grant(profile)) is Reason.ASSERTION_INVALID
    before = at(-120)(later, profile, consent)
    await later.grant(profile, consent, request_id="the-request", assertion=before)


async def test_no_right_is_given_without_the_portal_s_word_and_none_taken_away_needs_it(portal: Portal) -> None:
    profile = await portal.paired()
    assert await reason_of(portal.grant(profile, assertion="")) is Reason.FIELD_INVALID
    granted = await portal.grant(profile)
    assert await reason_of(portal.amend(amended(granted), assertion="")) is Reason.FIELD_INVALID
    suspended = await portal.suspend(granted.name)
    assert await reason_of(portal.resume(suspended, assertion="")) is Reason.FIELD_INVALID
    assert (await portal.revoke(granted.name)).state == REVOKED


def amended(consent: consent_pb2.Consent, **changes: Any) -> consent_pb2.Consent:
    """What an amendment says: the consent as it was read, but for these fields."""
    fields: dict[str, Any] = {
        "name": consent.name,
        "scope": consent.scope,
        "end_time": consent.end_time,
        "notice_sha256": consent.notice_sha256,
        "actor": HOLDER,
    }
    return consent_pb2.Consent(**(fields | changes))


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
    from accord.consent.v1 import consent_service_pb2 as pb

    profile, other = await portal.paired(1), await portal.paired(2)
    granted = await portal.grant(profile)
    await portal.amend(amended(granted))

    async def tell(revision: int, *, whose: str = profile, channel: str = "letter", sent_ms: int = NOW_MS) -> None:
        about = f"{granted.name}/revisions/{revision}"
        request = pb.RecordNoticeRequest(profile=whose, about=about, channel=channel, send_time=timestamp(sent_ms))
        await portal.consents.RecordNotice(request, None)  # type: ignore[arg-type]

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
