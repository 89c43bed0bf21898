"""A service asks, a patient decides: granted once, narrowed at most, or rejected."""

import asyncio
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_request_service_pb2 as pb
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.consent.domain.codes import ALPHABET
from services.errors import AccordError, Reason
from services.formats.lease import Status
from tests.support.ledgers import DAY_MS, NOTICE, NOW_MS, RECIPIENT, SENDER, Bench, query, record
from tests.support.portals import CONTEXT, Portal, calling, representative, scope
from tests.support.refused import reason_of

PENDING, GRANTED = pb.REQUEST_STATE_PENDING, pb.REQUEST_STATE_GRANTED
REJECTED = pb.REQUEST_STATE_REJECTED
LIFE_MS = 900_000
LIMITS = consent_pb2.Limits(
    exceptions=["label:V"],
    quota=consent_pb2.Quota(limit=5, period_seconds=3600),
    data_start_time=Timestamp(seconds=1_600_000_000),
    data_end_time=Timestamp(seconds=1_900_000_000),
    erase_time=timestamp(NOW_MS + 50 * DAY_MS),
)


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


async def test_a_request_is_found_by_its_code_granted_narrower_and_its_service_hears_of_it(
    bench: Bench, portal: Portal
) -> None:
    asked = await portal.ask()
    assert (asked.state, asked.notice_sha256, asked.consent, asked.patient) == (PENDING, NOTICE, "", "")
    assert asked.expire_time == timestamp(NOW_MS + LIFE_MS)
    assert (await portal.poll(asked.name)) == asked
    found = await portal.look_up(asked.user_code)
    assert found == asked
    profile = await portal.open()
    narrower = portal.consent(scope=scope(purposes=[registry_pb2.PURPOSE_CARE]))
    granted = await portal.grant(profile, narrower, request=asked.name)
    told = await portal.poll(asked.name)
    assert (told.state, told.consent) == (GRANTED, granted.name)
    assert told.patient == await portal.pair(profile)  # paired by the grant: this changes nothing
    kinds = bench.kinds()
    assert kinds[-4:] == ["consent.requested", "profile.opened", "pairing.created", "consent.granted"]
    requested = bench.entries()[kinds.index("consent.requested")]
    assert (requested.actor, requested.service, requested.subject) == ("service", SENDER, "")
    await portal.pair(profile, RECIPIENT)
    await portal.grant(profile, portal.consent(service=RECIPIENT))
    assert (await bench.authorize(query(portal.address(profile)))).permit


async def test_a_code_is_eight_consonants_typed_as_one_likes(portal: Portal) -> None:
    asked = await portal.ask()
    first, hyphen, second = asked.user_code.partition("-")
    assert (hyphen, len(first), len(second)) == ("-", 4, 4)
    assert set(first + second) <= set(ALPHABET)
    for typed in (asked.user_code.lower(), f" {first} {second} ", first + second):
        assert (await portal.look_up(typed)).name == asked.name
    for wrong in ("", "A" * 9, first, asked.user_code + "B", "🂡" * 9, "BCDF-GHJK" * 50):
        assert await reason_of(portal.look_up(wrong)) is Reason.RESOURCE_NOT_FOUND


async def test_a_code_leads_to_the_shard_of_its_service(sharded: Bench) -> None:
    portal, names = Portal(sharded), [f"services/service-{number}" for number in range(8)]
    sharded.view.set([record(name) for name in [*names, SENDER, RECIPIENT]])
    asked = [await portal.ask(name) for name in names]
    assert len({portal.names.request(item.name)[0] for item in asked}) > 1
    for item in asked:
        assert (await portal.look_up(item.user_code)).name == item.name
        profile = await portal.open(int(item.service.rpartition("-")[2]))
        granted = await portal.grant(profile, portal.consent(service=item.service), request=item.name)
        assert (await portal.poll(item.name, item.service)).consent == granted.name


async def test_a_service_asks_for_itself_and_sees_its_own_requests_only(portal: Portal) -> None:
    asked = await portal.ask()
    calling(RECIPIENT)
    foreign = portal.requests.RequestConsent(portal.asking(SENDER), CONTEXT)
    assert await reason_of(foreign) is Reason.NOT_PERMITTED
    assert await reason_of(portal.poll(asked.name, RECIPIENT)) is Reason.RESOURCE_NOT_FOUND
    for name in ("consentRequests/" + "0" * 32, portal.names.request_name(0, 12345), asked.name + "0"):
        assert await reason_of(portal.poll(name)) is Reason.RESOURCE_NOT_FOUND


async def test_the_same_request_again_is_the_same_request(bench: Bench, portal: Portal) -> None:
    first = await portal.ask(request_id="the-same-one")
    assert await portal.ask(request_id="the-same-one") == first
    for changes in ({"scope": scope(["class:11"])}, {"life_seconds": 600}):
        again = portal.ask(request_id="the-same-one", **changes)
        assert await reason_of(again) is Reason.REQUEST_ID_REUSED
    other = await portal.ask(RECIPIENT, request_id="the-same-one")
    assert other.name != first.name
    assert bench.kinds().count("consent.requested") == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"scope": scope(["class:60"])}, Reason.CONVENTION_EXCEEDED),
        ({"end_time": timestamp(NOW_MS + 3650 * DAY_MS + 1)}, Reason.CONVENTION_EXCEEDED),
        ({"end_time": timestamp(NOW_MS)}, Reason.CONVENTION_EXCEEDED),
        ({"start_time": timestamp(NOW_MS - 366 * DAY_MS)}, Reason.CONVENTION_EXCEEDED),
        ({"limits": consent_pb2.Limits(secret=True)}, Reason.FIELD_INVALID),
        ({"limits": consent_pb2.Limits(effect=consent_pb2.EFFECT_DENY)}, Reason.FIELD_INVALID),
        ({"user_code": "BCDF-GHJK"}, Reason.FIELD_INVALID),
        ({"life_seconds": 59}, Reason.FIELD_INVALID),
        ({"life_seconds": 604_801}, Reason.FIELD_INVALID),
    ],
)
async def test_a_service_asks_for_no_more_than_its_convention(
    portal: Portal, changes: dict[str, Any], reason: Reason
) -> None:
    assert await reason_of(portal.ask(**changes)) is reason
    assert portal.bench.entries() == () or "consent.requested" not in portal.bench.kinds()


async def test_only_a_service_referenced_with_exchange_asks(bench: Bench, portal: Portal) -> None:
    bench.view.set([record(SENDER, Status.SUSPENDED), record(RECIPIENT)])
    assert await reason_of(portal.ask()) is Reason.SERVICE_SUSPENDED
    bench.view.snapshot = None
    assert await reason_of(portal.ask()) is Reason.REGISTRY_STALE


WIDER: dict[str, tuple[dict[str, Any], str]] = {
    "categories": ({"scope": scope(["class:10", "class:11"])}, "consent.scope"),
    "end": ({"end_time": timestamp(NOW_MS + 60 * DAY_MS + 1)}, "consent.end_time"),
    "start": ({"start_time": timestamp(NOW_MS + DAY_MS - 1)}, "consent.start_time"),
    "effect": ({"limits": consent_pb2.Limits(effect=consent_pb2.EFFECT_DENY)}, "consent.limits.effect"),
    "exceptions": ({"limits": {"exceptions": ["label:R"]}}, "consent.limits.exceptions"),
    "quota": ({"limits": {"quota": consent_pb2.Quota(limit=6, period_seconds=3600)}}, "consent.limits.quota"),
    "data start": ({"limits": {"data_start_time": Timestamp(seconds=1_599_999_999)}}, "consent.limits.data_start_time"),
    "data end": ({"limits": {"data_end_time": Timestamp(seconds=1_900_000_001)}}, "consent.limits.data_end_time"),
    "erasure": ({"limits": {"erase_time": timestamp(NOW_MS + 50 * DAY_MS + 1)}}, "consent.limits.erase_time"),
}


def limits(**changes: Any) -> consent_pb2.Limits:
    """The limits asked for, but for these fields."""
    fields = {field.name: getattr(LIMITS, field.name) for field, _ in LIMITS.ListFields()}
    return consent_pb2.Limits(**(fields | changes))


@pytest.mark.parametrize("term", WIDER)
async def test_a_grant_wider_than_was_asked_is_refused_field_by_field(portal: Portal, term: str) -> None:
    asked = await portal.ask(limits=LIMITS, start_time=timestamp(NOW_MS + DAY_MS))
    changes, field = WIDER[term]
    given = {name: value for name, value in changes.items() if name != "limits"}
    wanted = changes.get("limits", {})
    given["limits"] = wanted if isinstance(wanted, consent_pb2.Limits) else limits(**wanted)
    consent = portal.consent(**({"start_time": timestamp(NOW_MS + DAY_MS)} | given))
    profile = await portal.open()
    with pytest.raises(AccordError) as caught:
        await portal.grant(profile, consent, request=asked.name)
    assert caught.value.reason is Reason.FIELD_INVALID
    assert field in [item.field for item in caught.value.violations]
    if term != "effect":
        assert [item.field for item in caught.value.violations] == [field]
    exact = portal.consent(start_time=timestamp(NOW_MS + DAY_MS), limits=LIMITS, end_time=asked.end_time)
    assert (await portal.grant(profile, exact, request=asked.name)).revision == 1


async def test_every_term_that_is_wider_is_named_at_once(portal: Portal) -> None:
    asked = await portal.ask(limits=LIMITS, start_time=timestamp(NOW_MS + DAY_MS))
    consent = portal.consent(service=RECIPIENT, scope=scope(["class:11"]), end_time=timestamp(NOW_MS + 61 * DAY_MS))
    with pytest.raises(AccordError) as caught:
        await portal.grant(await portal.open(), consent, request=asked.name)
    assert {item.field for item in caught.value.violations} == {
        "consent.service",
        "consent.scope",
        "consent.start_time",
        "consent.end_time",
        "consent.limits.exceptions",
        "consent.limits.quota",
        "consent.limits.data_start_time",
        "consent.limits.data_end_time",
        "consent.limits.erase_time",
    }


async def test_from_now_is_not_earlier_than_a_start_that_has_passed(bench: Bench, portal: Portal) -> None:
    asked = await portal.ask(start_time=timestamp(NOW_MS + 1000))
    profile = await portal.open()
    assert await reason_of(portal.grant(profile, request=asked.name)) is Reason.FIELD_INVALID
    bench.clock.now_ms += 1000
    assert (await portal.grant(profile, request=asked.name)).start_time == timestamp(NOW_MS + 1000)


async def test_the_word_of_a_grant_names_the_request_it_answers(portal: Portal) -> None:
    one, other = await portal.ask(), await portal.ask()
    profile, consent = await portal.open(), portal.consent()
    for jti in (other.name, portal.request_id()):
        word = portal.hand.grant(consent, profile, jti)
        refused = portal.grant(profile, consent, request=one.name, assertion=word)
        assert await reason_of(refused) is Reason.ASSERTION_INVALID
    assert (await portal.grant(profile, consent, request=one.name)).name


async def test_a_repeated_grant_of_a_request_is_one_consent_even_after_its_end(bench: Bench, portal: Portal) -> None:
    asked, profile, consent = await portal.ask(), await portal.open(), portal.consent()
    granted = await portal.grant(profile, consent, request=asked.name)
    bench.clock.now_ms += 2 * LIFE_MS
    assert await portal.grant(profile, consent, request=asked.name) == granted
    assert (await portal.poll(asked.name)).state == GRANTED
    other = portal.consent(scope=scope(purposes=[registry_pb2.PURPOSE_CARE]), end_time=consent.end_time)
    assert await reason_of(portal.grant(profile, other, request=asked.name)) is Reason.REQUEST_ID_REUSED
    assert bench.kinds().count("consent.granted") == 1


async def test_a_request_that_one_patient_answered_is_no_other_s(bench: Bench, portal: Portal) -> None:
    asked, one, two = await portal.ask(), await portal.open(1), await portal.open(2)
    granted = await portal.grant(one, request=asked.name)
    for validate_only in (True, False):
        refused = portal.grant(two, request=asked.name, validate_only=validate_only)
        assert await reason_of(refused) is Reason.STATE_CONFLICT
    assert await reason_of(portal.reject(asked.name, two)) is Reason.STATE_CONFLICT
    assert await reason_of(portal.reject(asked.name, one)) is Reason.STATE_CONFLICT
    assert (await portal.poll(asked.name)).consent == granted.name
    assert await reason_of(portal.look_up(asked.user_code)) is Reason.RESOURCE_NOT_FOUND


async def test_many_patients_at_once_are_one_grant(portal: Portal) -> None:
    asked = await portal.ask()
    profiles = [await portal.open(number) for number in range(10)]
    consent = portal.consent()
    calls = (portal.grant(profile, consent, request=asked.name) for profile in profiles)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    granted = [item for item in outcomes if isinstance(item, consent_pb2.Consent)]
    reasons = [item.reason for item in outcomes if isinstance(item, AccordError)]
    assert (len(granted), reasons) == (1, [Reason.STATE_CONFLICT] * 9)
    assert (await portal.poll(asked.name)).consent == granted[0].name
    assert portal.bench.kinds().count("consent.granted") == 1


async def test_a_rejected_request_stays_rejected(bench: Bench, portal: Portal) -> None:
    asked, profile = await portal.ask(), await portal.open()
    for _ in range(2):
        await portal.reject(asked.name, profile)
    assert (await portal.poll(asked.name)).state == REJECTED
    assert bench.kinds().count("consent.rejected") == 1
    entry = bench.entries()[-1]
    assert (entry.actor, entry.service, entry.subject) == ("holder", SENDER, "")
    assert await reason_of(portal.grant(profile, request=asked.name)) is Reason.STATE_CONFLICT
    assert await reason_of(portal.look_up(asked.user_code)) is Reason.RESOURCE_NOT_FOUND
    bench.clock.now_ms += 2 * LIFE_MS
    assert (await portal.poll(asked.name)).state == REJECTED


async def test_a_request_is_rejected_for_a_patient_who_is_there_by_who_may(portal: Portal) -> None:
    asked = await portal.ask()
    nobody = portal.names.profile_name(c.Address(0, 12345))
    assert await reason_of(portal.reject(asked.name, nobody)) is Reason.RESOURCE_NOT_FOUND
    child = await portal.open(1, majority_time=timestamp(NOW_MS + DAY_MS))
    parent = representative("parent-1")
    assert await reason_of(portal.reject(asked.name, child, parent)) is Reason.STATE_CONFLICT
    assert (await portal.poll(asked.name)).state == PENDING
    await portal.represent(child, "parent-1")
    await portal.reject(asked.name, child, parent)
    assert (await portal.poll(asked.name)).state == REJECTED
