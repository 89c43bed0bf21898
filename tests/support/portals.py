"""The writing RPCs of a ledger, called in this process as the portal, a service or the platform calls them; and a portal
that signs what its patients decide."""

import itertools
from collections.abc import Iterable
from typing import Any

from accord.consent.v1 import consent_pb2, platform_service_pb2
from accord.consent.v1 import consent_request_service_pb2 as requests_pb
from accord.consent.v1 import consent_service_pb2 as pb
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.identity import Caller, Identity, set_current_caller
from services.consent.answers import Answers
from services.consent.assertions import Assertions
from services.consent.convert.form import timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.grants import Grants
from services.consent.platform import Platform
from services.consent.servicer.consents import ConsentServicer
from services.consent.servicer.platform import PlatformServicer
from services.consent.servicer.requests import ConsentRequestServicer
from services.ctl.portal import PortalHand
from services.formats.trust import DatedKey, KeyRole, Trust
from tests.support.evidence import DOMAIN, signer
from tests.support.ledgers import DAY_MS, NOTICE, RECIPIENT, SENDER, Bench, ins

PORTAL_KEY = signer("portal")
TRUST = Trust(DOMAIN, (), (DatedKey(KeyRole.PORTAL, PORTAL_KEY.verify_key, 0),))
CONTEXT: Any = None  # no handler looks at it: identity, deadline and errors are the interceptor's
HOLDER = consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_HOLDER, authentication="eidas2")
DIRECTIONS = [registry_pb2.DIRECTION_READ, registry_pb2.DIRECTION_DEPOSIT]
PURPOSES = [registry_pb2.PURPOSE_CARE, registry_pb2.PURPOSE_PREVENTION]


class Portal:
    """The writing servicers of one bench, and short ways to call them."""

    def __init__(self, bench: Bench, trust: Trust = TRUST) -> None:
        view: Any = bench.view
        self.bench, self.names = bench, Names(bench.identifiers, allow_test_ins=True)
        self.hand = PortalHand(PORTAL_KEY, DOMAIN, lambda: bench.clock.now_ms // 1000)
        answers = Answers(bench.database, bench.ledger, bench.across, view, bench.vault, bench.clock)
        grants = Grants(bench.database, bench.ledger, bench.across, Assertions(trust, bench.clock), bench.clock)
        serve: Any = (ConsentServicer, ConsentRequestServicer, PlatformServicer)  # the stubs' classes look abstract
        self.consents: ConsentServicer = serve[0](bench.ledger, bench.across, grants, answers, self.names)
        self.requests: ConsentRequestServicer = serve[1](bench.ledger, answers, self.names)
        mass = Platform(bench.database, bench.ledger)
        self.platform: PlatformServicer = serve[2](bench.ledger, mass, self.names, bench.vault.person_hash)
        self._ids = itertools.count()

    def request_id(self) -> str:
        """One that was not used before."""
        return f"portal-{next(self._ids):08}"

    async def open(self, number: int = 1, **fields: Any) -> str:
        """The name of a patient's profile, opened if it was not."""
        request = pb.OpenProfileRequest(patient=identity(number), **fields)
        return (await self.consents.OpenProfile(request, CONTEXT)).profile

    async def pair(self, profile: str, service: str = SENDER) -> str:
        """The patient's pseudonym."""
        request = pb.PairPatientRequest(profile=profile, service=service)
        return (await self.consents.PairPatient(request, CONTEXT)).patient

    async def paired(self, number: int = 1, **fields: Any) -> str:
        """The name of a profile, open and paired with the sender."""
        profile = await self.open(number, **fields)
        await self.pair(profile)
        return profile

    def consent(self, **changes: Any) -> consent_pb2.Consent:
        """Class 10 both ways for care and prevention, to the sender, for thirty days; any field may be changed."""
        fields: dict[str, Any] = {
            "service": SENDER,
            "scope": scope(),
            "end_time": timestamp(self.bench.clock.now_ms + 30 * DAY_MS),
            "notice_sha256": NOTICE,
            "actor": HOLDER,
        }
        return consent_pb2.Consent(**(fields | changes))

    def granting(self, profile: str, consent: consent_pb2.Consent, **fields: Any) -> pb.GrantConsentRequest:
        """A grant, asserted unless `assertion` says otherwise; answers `request` if there is one."""
        named = {"request_id": self.request_id()} if "request" not in fields else {}
        values: dict[str, Any] = named | fields
        jti = values.get("request") or values["request_id"]
        values.setdefault("assertion", self.hand.grant(consent, profile, jti))
        return pb.GrantConsentRequest(profile=profile, consent=consent, **values)

    async def grant(
        self, profile: str, consent: consent_pb2.Consent | None = None, **fields: Any
    ) -> consent_pb2.Consent:
        """A consent, by default the everyday one."""
        request = self.granting(profile, consent or self.consent(), **fields)
        return (await self.consents.GrantConsent(request, CONTEXT)).consent

    def amending(self, consent: consent_pb2.Consent, **fields: Any) -> pb.AmendConsentRequest:
        """An amendment to what `consent` says, asserted unless `assertion` says otherwise."""
        values: dict[str, Any] = {"request_id": self.request_id()} | fields
        values.setdefault("assertion", self.hand.amend(consent, consent.service or SENDER, values["request_id"]))
        return pb.AmendConsentRequest(consent=consent, **values)

    async def amend(self, consent: consent_pb2.Consent, **fields: Any) -> consent_pb2.Consent:
        """The consent as amended."""
        return (await self.consents.AmendConsent(self.amending(consent, **fields), CONTEXT)).consent

    async def suspend(self, name: str, actor: consent_pb2.Actor = HOLDER, **fields: Any) -> consent_pb2.Consent:
        """The consent, paused."""
        request = pb.SuspendConsentRequest(name=name, actor=actor, **fields)
        return (await self.consents.SuspendConsent(request, CONTEXT)).consent

    async def resume(
        self, consent: consent_pb2.Consent, actor: consent_pb2.Actor = HOLDER, **fields: Any
    ) -> consent_pb2.Consent:
        """The consent, resumed from how the portal saw it."""
        fields.setdefault("assertion", self.hand.resume(consent, actor))
        request = pb.ResumeConsentRequest(name=consent.name, actor=actor, **fields)
        return (await self.consents.ResumeConsent(request, CONTEXT)).consent

    async def revoke(self, name: str, actor: consent_pb2.Actor = HOLDER, **fields: Any) -> consent_pb2.Consent:
        """The consent, withdrawn."""
        request = pb.RevokeConsentRequest(name=name, actor=actor, **fields)
        return (await self.consents.RevokeConsent(request, CONTEXT)).consent

    async def activate(self, profile: str, actor: consent_pb2.Actor = HOLDER) -> consent_pb2.Profile:
        """The profile, active."""
        request = pb.ActivateProfileRequest(profile=profile, actor=actor)
        return (await self.consents.ActivateProfile(request, CONTEXT)).profile

    async def close(self, profile: str, actor: consent_pb2.Actor = HOLDER) -> consent_pb2.Profile:
        """The profile, closed."""
        return (await self.consents.CloseProfile(pb.CloseProfileRequest(profile=profile, actor=actor), CONTEXT)).profile

    async def reopen(self, profile: str, actor: consent_pb2.Actor = HOLDER) -> consent_pb2.Profile:
        """The profile, active again."""
        request = pb.ReopenProfileRequest(profile=profile, actor=actor)
        return (await self.consents.ReopenProfile(request, CONTEXT)).profile

    async def suspend_profile(self, profile: str, why: str = "a token was stolen") -> consent_pb2.Profile:
        """The profile, suspended by the platform."""
        request = platform_service_pb2.SuspendProfileRequest(profile=profile, justification=why)
        return (await self.platform.SuspendProfile(request, CONTEXT)).profile

    async def resume_profile(self, profile: str, why: str = "the token was found") -> consent_pb2.Profile:
        """The profile, resumed by the platform."""
        request = platform_service_pb2.ResumeProfileRequest(profile=profile, justification=why)
        return (await self.platform.ResumeProfile(request, CONTEXT)).profile

    async def represent(self, profile: str, person: str, *, allowed: bool = True) -> None:
        """Records that a person may act, or no longer may."""
        if allowed:
            await self.consents.AddRepresentative(pb.AddRepresentativeRequest(profile=profile, person=person), CONTEXT)
        else:
            request = pb.RemoveRepresentativeRequest(profile=profile, person=person)
            await self.consents.RemoveRepresentative(request, CONTEXT)

    async def identify(self, profile: str, number: int) -> None:
        """Records another identity."""
        request = pb.AddIdentityRequest(profile=profile, patient=identity(number))
        await self.consents.AddIdentity(request, CONTEXT)

    def asking(self, service: str = SENDER, **changes: Any) -> requests_pb.RequestConsentRequest:
        """A request for what `consent` gives, for sixty days; any field of what is asked may be changed."""
        fields: dict[str, Any] = {
            "service": service,
            "scope": scope(),
            "end_time": timestamp(self.bench.clock.now_ms + 60 * DAY_MS),
        }
        more: dict[str, Any] = {"request_id": self.request_id()}
        more |= {name: changes.pop(name) for name in ("request_id", "life_seconds") if name in changes}
        return requests_pb.RequestConsentRequest(request=requests_pb.ConsentRequest(**(fields | changes)), **more)

    async def ask(self, service: str = SENDER, **changes: Any) -> requests_pb.ConsentRequest:
        """A request, made by its service."""
        calling(service)
        return (await self.requests.RequestConsent(self.asking(service, **changes), CONTEXT)).request

    async def poll(self, name: str, service: str = SENDER) -> requests_pb.ConsentRequest:
        """A request, as a service reads it."""
        calling(service)
        request = requests_pb.GetConsentRequestRequest(name=name)
        return (await self.requests.GetConsentRequest(request, CONTEXT)).request

    async def look_up(self, code: str) -> requests_pb.ConsentRequest:
        """A request, as the portal finds it."""
        request = requests_pb.LookupConsentRequestRequest(user_code=code)
        return (await self.requests.LookupConsentRequest(request, CONTEXT)).request

    async def reject(self, request: str, profile: str, actor: consent_pb2.Actor = HOLDER) -> None:
        """Rejects a request for a patient."""
        rejection = pb.RejectConsentRequestRequest(request=request, profile=profile, actor=actor)
        await self.consents.RejectConsentRequest(rejection, CONTEXT)

    async def acknowledge(self, consent: str, service: str = SENDER) -> Timestamp:
        """When a service noted a consent's end."""
        calling(service)
        request = requests_pb.AcknowledgeRevocationRequest(consent=consent)
        return (await self.requests.AcknowledgeRevocation(request, CONTEXT)).acknowledge_time

    async def erase(self, profile: str, *, traces_too: bool = False) -> platform_service_pb2.ErasePatientResponse:
        """Erases a patient."""
        request = platform_service_pb2.ErasePatientRequest(
            profile=profile, legal_basis="gdpr_17_1_b", traces_too=traces_too
        )
        return await self.platform.ErasePatient(request, CONTEXT)

    async def both(self, profile: str, **fields: Any) -> list[consent_pb2.Consent]:
        """Consents to sender and recipient, paired if they were not; any field may be changed."""
        granted = []
        for service in (SENDER, RECIPIENT):
            await self.pair(profile, service)
            granted.append(await self.grant(profile, self.consent(service=service, **fields)))
        return granted

    def standing(self, consent: consent_pb2.Consent) -> tuple[str, str, int]:
        """(state, cause, revision) of a consent in the ledger's own rows."""
        found = self.bench.find_consent(*self.names.consent(consent.name))
        assert found is not None
        return found.state.value, found.cause, found.revision

    def address(self, profile: str) -> c.Address:
        """Where the ledger keeps a profile."""
        return self.names.profile(profile)


def representative(person: str) -> consent_pb2.Actor:
    """A person who acts for a minor."""
    return consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_REPRESENTATIVE, authentication="franceconnect", person=person)


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


def with_effect(limits: consent_pb2.Limits) -> consent_pb2.Limits:
    """The limits as they are answered: their effect said."""
    told = consent_pb2.Limits()
    told.CopyFrom(limits)
    told.effect = told.effect or consent_pb2.EFFECT_PERMIT
    return told


def by(person: str) -> consent_pb2.Actor:
    """The holder, whom the portal names."""
    return consent_pb2.Actor(role=HOLDER.role, authentication="eidas2", person=person)


def identity(number: int) -> pb.PatientIdentity:
    """A test identity."""
    return pb.PatientIdentity(root=ins(number).root, matricule=ins(number).matricule)


def scope(
    categories: Iterable[str] = ("class:10",),
    directions: "Iterable[registry_pb2.Direction.ValueType]" = tuple(DIRECTIONS),
    purposes: "Iterable[registry_pb2.Purpose.ValueType]" = tuple(PURPOSES),
) -> consent_pb2.Scope:
    """A scope, by default the everyday one."""
    return consent_pb2.Scope(categories=categories, directions=directions, purposes=purposes)


def calling(service: str = "") -> None:
    """Whoever calls from now on: a service (services/…), or one of our own."""
    name = service.removeprefix("services/")
    path = f"/service/{name}" if name else "/portal"
    set_current_caller(Caller(Identity(DOMAIN, path), "t" * 43, frozenset(), name or None))
