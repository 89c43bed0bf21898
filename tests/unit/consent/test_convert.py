"""What the portal asks for and a consent as it is written: every violated field is named at once, and what is accepted is
what was meant."""

from typing import Any

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_service_pb2 as pb
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.keys import derive
from services.consent.convert import consents as convert
from services.consent.convert import profiles
from services.consent.convert.form import MAX_CATEGORIES, Form
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.identifiers import CONSENT, PORTAL, Identifiers
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import MAX_PERIOD_S, MAX_QUOTA, Effect, Limits, Quota
from services.errors import Reason
from services.formats.entry import EntryType
from services.formats.rights import Direction, Purpose
from tests.support.ledgers import EVERYTHING, NOTICE, RECIPIENT, SENDER, ins
from tests.support.refused import refusal_of, violated

ADDRESS = c.Address(3, 12345)
IDENTIFIERS = Identifiers(lambda audience: derive(b"m" * 32, audience))
NAMES = Names(IDENTIFIERS, allow_test_ins=True)
PSEUDONYM = IDENTIFIERS.encipher(SENDER, 3, 12345)
PROFILE = "profiles/" + IDENTIFIERS.encipher(PORTAL, 3, 12345)
NAMED = "consents/" + IDENTIFIERS.encipher(CONSENT, 3, 9)
REVISION = f"{NAMED}/revisions/2"
HOLDER = consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_HOLDER, authentication="eidas2")
REPRESENTATIVE = consent_pb2.ACTOR_ROLE_REPRESENTATIVE
PATIENT = pb.PatientIdentity(root=ins(1).root, matricule=ins(1).matricule)


def scope_message(**changes: Any) -> consent_pb2.Scope:
    fields: dict[str, Any] = {
        "categories": ["class:10"],
        "directions": [registry_pb2.DIRECTION_READ],
        "purposes": [registry_pb2.PURPOSE_CARE, registry_pb2.PURPOSE_PREVENTION],
    }
    return consent_pb2.Scope(**(fields | changes))


def consent_of(**changes: Any) -> consent_pb2.Consent:
    fields: dict[str, Any] = {
        "service": SENDER,
        "scope": scope_message(),
        "start_time": Timestamp(seconds=100, nanos=999_999),
        "end_time": Timestamp(seconds=200, nanos=1_999_999),
        "notice_sha256": NOTICE,
        "actor": HOLDER,
    }
    return consent_pb2.Consent(**(fields | changes))


def grant_message(**changes: Any) -> pb.GrantConsentRequest:
    names = ("profile", "request_id", "assertion", "request")
    request = {name: changes.pop(name) for name in names if name in changes}
    good = {"profile": PROFILE, "request_id": "request-1", "assertion": "x"} | request
    return pb.GrantConsentRequest(consent=consent_of(**changes), **good)


def amend_message(**changes: Any) -> pb.AmendConsentRequest:
    good: dict[str, Any] = {"name": NAMED, "service": "", "start_time": None}
    return pb.AmendConsentRequest(consent=consent_of(**(good | changes)), request_id="request-1", assertion="x")


def test_an_identity_s_faults_have_reasons_of_their_own() -> None:
    wrong = pb.PatientIdentity(root=ins(1).root, matricule="123456789012345")
    assert refusal_of(lambda: NAMES.ins(wrong)).reason is Reason.INS_INVALID
    strict = Names(IDENTIFIERS, allow_test_ins=False)
    assert refusal_of(lambda: strict.ins(PATIENT)).reason is Reason.INS_TEST_REFUSED
    assert NAMES.ins(PATIENT) == ins(1)


def test_a_grant_is_read_as_it_is_meant() -> None:
    item = convert.grant(grant_message(), NAMES)
    assert (item.address, item.service, item.request_id, item.notice_sha256) == (ADDRESS, SENDER, "request-1", NOTICE)
    assert (item.start_ms, item.end_ms) == (100_000, 200_001)
    assert item.actor == c.Actor("holder", "eidas2")
    assert item.scope.purposes == frozenset({Purpose.CARE, Purpose.PREVENTION})
    assert item.scope.directions == frozenset({Direction.READ})
    assert (item.limits, item.assertion, item.pairs, item.validate_only) == (Limits(), None, False, False)


def test_a_grant_without_a_start_begins_now() -> None:
    message = grant_message()
    message.consent.ClearField("start_time")
    assert convert.grant(message, NAMES).start_ms is None


def test_limits_are_read_as_they_are_meant() -> None:
    limits = consent_pb2.Limits(
        exceptions=["label:V", "type:11502-2"],
        quota=consent_pb2.Quota(limit=3, period_seconds=60),
        data_start_time=Timestamp(seconds=1),
        data_end_time=Timestamp(seconds=2),
        erase_time=Timestamp(seconds=3),
        secret=True,
    )
    read = convert.grant(grant_message(limits=limits), NAMES).limits
    excepted = frozenset({"label:V", "type:11502-2"})
    assert read == Limits(Effect.PERMIT, excepted, Quota(3, 60), 1000, 2000, 3000, None, True)
    limits.effect = consent_pb2.EFFECT_PERMIT
    assert convert.limits_message(read) == limits
    refusal = consent_pb2.Limits(effect=consent_pb2.EFFECT_DENY, secret=True)
    assert convert.grant(grant_message(limits=refusal), NAMES).limits == Limits(Effect.DENY, secret=True)


def test_two_grants_have_one_digest_exactly_when_they_say_the_same() -> None:
    digest = convert.grant(grant_message(), NAMES).digest
    assert convert.grant(grant_message(request_id="request-2", assertion="another"), NAMES).digest == digest
    for changes in (
        {"service": RECIPIENT},
        {"notice_sha256": "b" * 64},
        {"end_time": Timestamp(seconds=201)},
        {"limits": consent_pb2.Limits(exceptions=["label:V"])},
        {"actor": consent_pb2.Actor(role=REPRESENTATIVE, authentication="eidas2", person="parent-1")},
    ):
        assert convert.grant(grant_message(**changes), NAMES).digest != digest


def test_every_violated_field_of_a_grant_is_named_at_once_before_the_profile_is_looked_for() -> None:
    empty = pb.GrantConsentRequest(profile="nobody")
    assert set(violated(lambda: convert.grant(empty, NAMES))) == {
        "consent.service",
        "consent.scope.categories",
        "consent.scope.directions",
        "consent.scope.purposes",
        "consent.end_time",
        "consent.notice_sha256",
        "consent.actor.role",
        "consent.actor.authentication",
        "assertion",
        "request_id",
    }
    nobody = grant_message(profile="nobody")
    assert refusal_of(lambda: convert.grant(nobody, NAMES)).reason is Reason.RESOURCE_NOT_FOUND


LIMITS: list[tuple[consent_pb2.Limits, str]] = [
    (consent_pb2.Limits(effect=9), "consent.limits.effect"),  # type: ignore[arg-type]
    (consent_pb2.Limits(effect=2, exceptions=["label:V"]), "consent.limits.effect"),  # type: ignore[arg-type]
    (consent_pb2.Limits(exceptions=["class:10"]), "consent.limits.exceptions"),
    (consent_pb2.Limits(exceptions=["label:V"] * 2), "consent.limits.exceptions"),
    (consent_pb2.Limits(exceptions=[f"type:{n:04}" for n in range(65)]), "consent.limits.exceptions"),
    (consent_pb2.Limits(quota=consent_pb2.Quota()), "consent.limits.quota.limit"),
    (consent_pb2.Limits(quota=consent_pb2.Quota(limit=MAX_QUOTA + 1)), "consent.limits.quota.limit"),
    (
        consent_pb2.Limits(quota=consent_pb2.Quota(limit=1, period_seconds=MAX_PERIOD_S + 1)),
        "consent.limits.quota.period_seconds",
    ),
    (
        consent_pb2.Limits(quota=consent_pb2.Quota(limit=1, period_seconds=-1)),
        "consent.limits.quota.period_seconds",
    ),
    (
        consent_pb2.Limits(data_start_time=Timestamp(seconds=2), data_end_time=Timestamp(seconds=2)),
        "consent.limits.data_end_time",
    ),
    (consent_pb2.Limits(erase_time=Timestamp(seconds=-1)), "consent.limits.erase_time"),
]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "consents/x"}, "consent"),
        ({"state": consent_pb2.CONSENT_STATE_ACTIVE}, "consent"),
        ({"revision": 1}, "consent"),
        ({"etag": '"1"'}, "consent"),
        ({"cause": "holder"}, "consent"),
        ({"service": "lumen"}, "consent.service"),
        ({"notice_sha256": "A" * 64}, "consent.notice_sha256"),
        ({"end_time": None}, "consent.end_time"),
        ({"end_time": Timestamp(seconds=-1)}, "consent.end_time"),
        ({"end_time": Timestamp(seconds=253_402_300_800)}, "consent.end_time"),
        ({"start_time": Timestamp(seconds=1, nanos=-1)}, "consent.start_time"),
        ({"start_time": Timestamp(seconds=1, nanos=10**9)}, "consent.start_time"),
        ({"scope": scope_message(categories=["class:77"])}, "consent.scope.categories"),
        ({"scope": scope_message(categories=["type:nothing"])}, "consent.scope.categories"),
        ({"scope": scope_message(directions=[1, 1])}, "consent.scope.directions"),
        ({"scope": scope_message(directions=[77])}, "consent.scope.directions"),
        ({"scope": scope_message(purposes=[])}, "consent.scope.purposes"),
        ({"scope": scope_message(purposes=[0])}, "consent.scope.purposes"),
        ({"actor": consent_pb2.Actor(authentication="x")}, "consent.actor.role"),
        ({"actor": consent_pb2.Actor(role=HOLDER.role, authentication="X" * 41)}, "consent.actor.authentication"),
        ({"actor": consent_pb2.Actor(role=REPRESENTATIVE, authentication="eidas2")}, "consent.actor.person"),
        ({"actor": consent_pb2.Actor(role=HOLDER.role, authentication="x", person="a b")}, "consent.actor.person"),
        ({"assertion": ""}, "assertion"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "short"}, "request_id"),
        ({"request_id": "x" * 65}, "request_id"),
        ({"request_id": "with space"}, "request_id"),
        *[({"limits": limits}, field) for limits, field in LIMITS],
    ],
)
def test_a_violated_field_of_a_grant_is_named(changes: dict[str, Any], field: str) -> None:
    assert violated(lambda: convert.grant(grant_message(**changes), NAMES)) == [field]


def test_too_many_categories_are_refused() -> None:
    many = grant_message(scope=scope_message(categories=["class:10"] * (MAX_CATEGORIES + 1)))
    assert violated(lambda: convert.grant(many, NAMES)) == ["consent.scope.categories"] * 2


def test_a_grant_that_answers_a_request_needs_no_request_id() -> None:
    message = grant_message(request="consentRequests/x", request_id="")
    assert convert.grant(message, NAMES).request_id == ""
    short = grant_message(request="consentRequests/x", request_id="short")
    assert violated(lambda: convert.grant(short, NAMES)) == ["request_id"]


def test_an_amendment_is_read_as_it_is_meant() -> None:
    item = convert.amendment(amend_message(etag='"3"', limits=consent_pb2.Limits(exceptions=["label:V"])), NAMES)
    assert (item.shard, item.consent, item.request_id, item.etag) == (3, 9, "request-1", '"3"')
    assert (item.end_ms, item.notice_sha256, item.actor) == (200_001, NOTICE, c.Actor("holder", "eidas2"))
    assert item.limits == Limits(exceptions=frozenset({"label:V"}))
    assert item.scope.directions == frozenset({Direction.READ})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start_time": Timestamp(seconds=1)}, "consent"),
        ({"state": consent_pb2.CONSENT_STATE_ACTIVE}, "consent"),
        ({"revision": 1}, "consent"),
        ({"cause": "holder"}, "consent"),
        ({"end_time": None}, "consent.end_time"),
        ({"scope": scope_message(purposes=[])}, "consent.scope.purposes"),
    ],
)
def test_a_violated_field_of_an_amendment_is_named(changes: dict[str, Any], field: str) -> None:
    assert violated(lambda: convert.amendment(amend_message(**changes), NAMES)) == [field]


def test_an_amendment_needs_its_consent_a_request_id_and_an_assertion() -> None:
    assert {"request_id", "assertion"} < set(violated(lambda: convert.amendment(pb.AmendConsentRequest(), NAMES)))
    unknown = amend_message(name="consents/x")
    assert refusal_of(lambda: convert.amendment(unknown, NAMES)).reason is Reason.RESOURCE_NOT_FOUND


def test_a_movement_names_its_actor_and_its_consent() -> None:
    moved = convert.movement(NAMED, ConsentState.REVOKED, HOLDER, '"1"', NAMES)
    assert moved == c.MoveConsent(3, 9, ConsentState.REVOKED, c.Actor("holder", "eidas2"), '"1"')
    nobody = consent_pb2.Actor()
    fields = violated(lambda: convert.movement(NAMED, ConsentState.REVOKED, nobody, "", NAMES))
    assert fields == ["actor.role", "actor.authentication"]
    unasserted = pb.ResumeConsentRequest(name=NAMED, actor=HOLDER)
    assert violated(lambda: convert.resumption(unasserted, NAMES)) == ["assertion"]
    resumed = pb.ResumeConsentRequest(name=NAMED, actor=HOLDER, assertion="x", etag='"2"')
    assert convert.resumption(resumed, NAMES) == c.MoveConsent(3, 9, ConsentState.ACTIVE, moved.actor, '"2"')


@pytest.mark.parametrize(
    "name",
    ["", "profiles/", PROFILE.removeprefix("profiles/"), PROFILE + "0", PROFILE.upper(), "profiles/" + PSEUDONYM],
)
def test_a_profile_s_name_is_one_that_was_given_out(name: str) -> None:
    assert refusal_of(lambda: NAMES.profile(name)).reason is Reason.RESOURCE_NOT_FOUND


def test_names_read_back_for_their_own_audience_only() -> None:
    assert NAMES.profile(NAMES.profile_name(ADDRESS)) == ADDRESS
    assert NAMES.patient(SENDER, NAMES.pseudonym(SENDER, ADDRESS)) == ADDRESS
    assert NAMES.patient(RECIPIENT, NAMES.pseudonym(SENDER, ADDRESS)) is None
    assert NAMES.consent(NAMES.consent_name(1, 2)) == (1, 2)
    assert NAMES.request(NAMES.request_name(1, 2)) == (1, 2)
    assert NAMES.revision(REVISION) == (3, 9, 2)
    for read, name in (
        (NAMES.consent, PROFILE.replace("profiles", "consents")),
        (NAMES.request, NAMED.replace("consents", "consentRequests")),
        (NAMES.revision, f"{NAMED}/revisions/0"),
        (NAMES.revision, NAMED),
    ):
        assert refusal_of(read, name).reason is Reason.RESOURCE_NOT_FOUND


@pytest.mark.parametrize("state", ConsentState)
@pytest.mark.parametrize("role", ["holder", "representative"])
def test_a_consent_is_written_as_it_stands(state: ConsentState, role: str) -> None:
    consent = c.Consent(3, 9, 12345, SENDER, EVERYTHING, 1001, 2002, NOTICE, c.Actor(role, "eidas2"), state, 4)
    message = convert.consent_message(consent, NAMES)
    assert NAMES.consent(message.name) == (3, 9)
    assert (message.service, message.revision, message.notice_sha256) == (SENDER, 4, NOTICE)
    assert (message.etag, message.cause, message.HasField("limits")) == ('"4"', "", False)
    assert consent_pb2.ConsentState.Name(message.state) == f"CONSENT_STATE_{state}"
    assert consent_pb2.ActorRole.Name(message.actor.role) == f"ACTOR_ROLE_{role.upper()}"
    assert message.start_time == Timestamp(seconds=1, nanos=1_000_000)
    assert message.end_time == Timestamp(seconds=2, nanos=2_000_000)
    assert list(message.scope.categories) == sorted(EVERYTHING.categories)
    form = Form()
    assert frozenset(form.purpose(item, "x") for item in message.scope.purposes) == EVERYTHING.purposes
    assert frozenset(form.direction(item, "x") for item in message.scope.directions) == EVERYTHING.directions
    assert "12345" not in str(message)


def test_when_a_consent_waits_for_its_holder_is_the_ledger_s_own_affair() -> None:
    waiting = Limits(confirm_ms=5)
    actor = c.Actor("holder", "eidas2")
    consent = c.Consent(3, 9, 1, SENDER, EVERYTHING, 1, 2, NOTICE, actor, ConsentState.ACTIVE, 1, waiting)
    assert not convert.consent_message(consent, NAMES).HasField("limits")


@pytest.mark.parametrize(
    ("path", "opt_out"),
    [(0, False), (pb.OPENING_PATH_EXPRESS, False), (pb.OPENING_PATH_OPT_OUT, True)],
)
def test_a_profile_opens_at_once_or_in_six_weeks(path: Any, opt_out: bool) -> None:
    message = pb.OpenProfileRequest(patient=PATIENT, path=path, majority_time=Timestamp(seconds=5))
    assert profiles.opening(message, NAMES) == c.OpenProfile(ins(1), opt_out, 5000)
    unknown = pb.OpenProfileRequest(patient=PATIENT, path=7)  # type: ignore[arg-type]
    assert violated(lambda: profiles.opening(unknown, NAMES)) == ["path"]


def test_each_move_of_a_profile_names_its_entry() -> None:
    activated = profiles.activation(pb.ActivateProfileRequest(profile=PROFILE, actor=HOLDER), NAMES)
    reopened = profiles.reopening(pb.ReopenProfileRequest(profile=PROFILE, actor=HOLDER), NAMES)
    closed = profiles.closing(pb.CloseProfileRequest(profile=PROFILE, actor=HOLDER), NAMES)
    assert [(item.address, item.move) for item in (activated, reopened, closed)] == [
        (ADDRESS, EntryType.PROFILE_ACTIVATED),
        (ADDRESS, EntryType.PROFILE_REOPENED),
        (ADDRESS, EntryType.PROFILE_CLOSED),
    ]
    nobody = pb.CloseProfileRequest(profile=PROFILE)
    assert violated(lambda: profiles.closing(nobody, NAMES)) == ["actor.role", "actor.authentication"]


def test_a_person_has_a_name_without_spaces() -> None:
    assert profiles.representation(PROFILE, "parent-1", NAMES, allowed=True) == c.Represent(ADDRESS, "parent-1", True)
    for person in ("", "a b", "x" * 65):
        assert violated(lambda: profiles.representation(PROFILE, person, NAMES, allowed=True)) == ["person"]  # noqa: B023


def test_a_notice_says_what_about_by_which_channel_and_when() -> None:
    message = pb.RecordNoticeRequest(profile=PROFILE, about=REVISION, channel="sms", send_time=Timestamp(seconds=5))
    assert profiles.notice(message, NAMES) == c.RecordNotice(ADDRESS, 3, 9, 2, "sms", 5000)
    empty = pb.RecordNoticeRequest(profile=PROFILE, about=REVISION)
    assert violated(lambda: profiles.notice(empty, NAMES)) == ["channel", "send_time"]
    message.about = NAMED
    assert refusal_of(lambda: profiles.notice(message, NAMES)).reason is Reason.RESOURCE_NOT_FOUND
