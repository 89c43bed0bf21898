"""Nothing gives a right but the portal's signed word, and that word exactly."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.ctl.portal import PortalHand
from services.errors import Reason
from services.formats.assertion import MAX_AGE_S
from services.formats.entry import sha256_hex
from services.formats.trust import DatedKey, KeyRole, Trust
from tests.support.evidence import DOMAIN, signer
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench
from tests.support.portals import CONTEXT, PORTAL_KEY, Portal, amended, representative, scope, with_effect
from tests.support.refused import reason_of

ACTIVE = consent_pb2.CONSENT_STATE_ACTIVE
REVOKED = consent_pb2.CONSENT_STATE_REVOKED
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
    granted = (await portal.consents.GrantConsent(request, CONTEXT)).consent
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


async def test_a_spent_resumption_undoes_no_later_suspension(bench: Bench, portal: Portal) -> None:
    """Read before the lock the consent was active; under the lock it has been suspended again."""
    given = await portal.grant(await portal.paired())
    suspended = await portal.suspend(given.name)
    await portal.resume(suspended)
    shard, consent = portal.names.consent(given.name)
    actor = c.Actor(c.HOLDER, "eidas2")
    again = c.MoveConsent(shard, consent, ConsentState.ACTIVE, actor, seen=suspended.revision)
    assert (await bench.ledger.do(again)).state is ConsentState.ACTIVE  # it is: nothing to do
    await portal.suspend(given.name)
    assert await reason_of(bench.ledger.do(again)) is Reason.ETAG_MISMATCH
    assert portal.standing(given)[0] == "SUSPENDED"
