"""What registrars, the portal, services and auditors do, as calls over mTLS from a stack's own leaves."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import grpc
from accord.consent.v1 import (
    audit_service_pb2_grpc,
    consent_pb2,
    consent_request_service_pb2,
    consent_request_service_pb2_grpc,
    consent_service_pb2,
    consent_service_pb2_grpc,
)
from accord.registry.v1 import registry_pb2, registry_service_pb2, registry_service_pb2_grpc

from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.chassis.keys import load_signer
from services.chassis.status import accord_error
from services.ctl import keys
from services.ctl.portal import PortalHand
from services.ctl.stack import Stack
from services.errors import Reason
from services.formats.canonical import dumps
from services.formats.entry import sha256_hex
from services.formats.jwk import VerifyKey
from services.nomenclature.documents import CLASSES
from services.nomenclature.ins import Ins

CALL_S = 15.0
DIRECTIONS = [registry_pb2.DIRECTION_READ, registry_pb2.DIRECTION_DEPOSIT]
CATEGORIES = [f"class:{code}" for code in sorted(CLASSES)]
NOTICE = (
    "Ce service lira ou déposera dans votre espace santé les documents que vous choisissez, pour votre prévention et "
    "vos soins. Vous pouvez retirer votre accord à tout moment."
)


class People:
    """Channels of one stack's registrar, portal and auditor, of services as they are needed, and the portal's signature."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        signer = load_signer(stack.folder / "keys" / keys.PORTAL)
        self.hand = PortalHand(signer, stack.trust_domain, lambda: int(time.time()))
        self._channels: list[grpc.aio.Channel] = []
        self._services: dict[str, consent_request_service_pb2_grpc.ConsentRequestServiceAsyncStub] = {}

    async def __aenter__(self) -> Self:
        """Opens the channels."""
        self.registry = registry_service_pb2_grpc.RegistryServiceStub(self._open("registrar", "registry"))
        channel = self._open("portal", "consent")
        self.portal = consent_service_pb2_grpc.ConsentServiceStub(channel)
        self.requests = consent_request_service_pb2_grpc.ConsentRequestServiceStub(channel)
        self.audit = audit_service_pb2_grpc.AuditServiceStub(self._open("auditor", "consent"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes them. Turns a failed call's status into the AccordError it carries."""
        for channel in self._channels:
            await channel.close()
        if isinstance(error, grpc.aio.AioRpcError):
            raise accord_error(error, Reason.INTERNAL, trusted=True) from error

    def _open(self, role: str, server: str) -> grpc.aio.Channel:
        identity = Identity(self._stack.trust_domain, f"/{server}")
        channel = open_channel(self._stack.target(server), self._stack.tls(role), identity)
        self._channels.append(channel)
        return channel

    async def reference(self, service: registry_pb2.Service, *, siren: str) -> None:
        """Records organization and service, and references the service with exchange."""
        organization = registry_pb2.Organization(
            name=service.organization, siren=siren, oid=service.oid + ".1", display_name=service.display_name
        )
        await self.registry.CreateOrganization(
            registry_service_pb2.CreateOrganizationRequest(organization=organization), timeout=CALL_S
        )
        await self.registry.CreateService(registry_service_pb2.CreateServiceRequest(service=service), timeout=CALL_S)
        request = registry_service_pb2.ReferenceServiceRequest(name=service.name, with_exchange=True)
        await self.registry.ReferenceService(request, timeout=CALL_S)

    async def open_profile(self, ins: Ins) -> str:
        """Opens a profile and returns its name. Raises: AccordError."""
        patient = consent_service_pb2.PatientIdentity(root=ins.root, matricule=ins.matricule)
        request = consent_service_pb2.OpenProfileRequest(patient=patient)
        try:
            return (await self.portal.OpenProfile(request, timeout=CALL_S)).profile
        except grpc.aio.AioRpcError as error:
            raise accord_error(error, Reason.INTERNAL, trusted=True) from error

    async def pair(self, profile: str, service: str) -> str:
        """Pairs and returns the pseudonym."""
        request = consent_service_pb2.PairPatientRequest(profile=profile, service=service)
        return (await self.portal.PairPatient(request, timeout=CALL_S)).patient

    async def grant(self, profile: str, service: str, days: int = 180) -> str:
        """Grants everything the convention allows and returns the consent's name."""
        consent = consent_pb2.Consent(
            service=service, scope=everything(), notice_sha256=sha256_hex(NOTICE), actor=holder()
        )
        consent.end_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
        return await self.consent(profile, consent)

    async def consent(self, profile: str, consent: consent_pb2.Consent, request: str = "") -> str:
        """Grants this consent, or answers a service's request with it, and returns its name."""
        request_id = "" if request else uuid.uuid4().hex
        granting = consent_service_pb2.GrantConsentRequest(
            profile=profile,
            consent=consent,
            request_id=request_id,
            request=request,
            assertion=self.hand.grant(consent, profile, request or request_id),
        )
        return (await self.portal.GrantConsent(granting, timeout=CALL_S)).consent.name

    async def ask(self, service_id: str, days: int = 365) -> tuple[str, str]:
        """Asks, as a service, for everything its convention allows, and returns the request's name and its code."""
        asked = consent_request_service_pb2.ConsentRequest(service=f"services/{service_id}", scope=everything())
        asked.end_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
        request = consent_request_service_pb2.RequestConsentRequest(request=asked, request_id=uuid.uuid4().hex)
        made = (await self._as(service_id).RequestConsent(request, timeout=CALL_S)).request
        return made.name, made.user_code

    async def accept(self, profile: str, code: str, days: int = 180) -> str:
        """Finds a request by its code, as the portal, and grants less than was asked: for care, not as long."""
        lookup = consent_request_service_pb2.LookupConsentRequestRequest(user_code=code)
        asked = (await self.requests.LookupConsentRequest(lookup, timeout=CALL_S)).request
        consent = consent_pb2.Consent(
            service=asked.service, scope=asked.scope, notice_sha256=asked.notice_sha256, actor=holder()
        )
        consent.scope.purposes[:] = [registry_pb2.PURPOSE_CARE]
        consent.end_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
        return await self.consent(profile, consent, asked.name)

    async def poll(self, service_id: str, request: str) -> consent_request_service_pb2.ConsentRequest:
        """Reads a request as the service that made it."""
        asking = consent_request_service_pb2.GetConsentRequestRequest(name=request)
        return (await self._as(service_id).GetConsentRequest(asking, timeout=CALL_S)).request

    def _as(self, service_id: str) -> "consent_request_service_pb2_grpc.ConsentRequestServiceAsyncStub":
        if service_id not in self._services:
            channel = self._open(service_id, "consent")
            self._services[service_id] = consent_request_service_pb2_grpc.ConsentRequestServiceStub(channel)
        return self._services[service_id]

    async def revoke(self, consent: str) -> None:
        """Withdraws a consent."""
        request = consent_service_pb2.RevokeConsentRequest(name=consent, actor=holder())
        await self.portal.RevokeConsent(request, timeout=CALL_S)


def holder() -> consent_pb2.Actor:
    """The patient, signed in on the portal."""
    return consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_HOLDER, authentication="eidas2")


def everything() -> consent_pb2.Scope:
    """All that a convention of `service` allows."""
    return consent_pb2.Scope(categories=CATEGORIES, directions=DIRECTIONS, purposes=all_purposes())


def all_purposes() -> "list[registry_pb2.Purpose.ValueType]":
    """Every purpose of the closed list."""
    return [value for value in registry_pb2.Purpose.values() if value]


def service(service_id: str, display_name: str, oid: str, key: VerifyKey, endpoint: str = "") -> registry_pb2.Service:
    """A service whose convention allows every class of document, in both directions, for every purpose."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    convention = registry_pb2.Convention(
        categories=CATEGORIES,
        directions=DIRECTIONS,
        purposes=all_purposes(),
        notice=registry_pb2.InformationNotice(version="1", text=NOTICE, sha256=sha256_hex(NOTICE)),
        ins_in_documents=True,
    )
    convention.start_time.FromDatetime(start)
    convention.end_time.FromDatetime(start + timedelta(days=1095))
    return registry_pb2.Service(
        name=f"services/{service_id}",
        organization=f"organizations/{service_id}-editions",
        display_name=display_name,
        oid=oid,
        convention=convention,
        signing_keys=[registry_pb2.SigningKey(jwk=dumps(key.jwk).decode())],
        endpoint=endpoint,
    )
