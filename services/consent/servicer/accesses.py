"""What the portal reads of accesses, and what it takes away as FHIR: what `reader` delegates to."""

from accord.consent.v1 import consent_reader_service_pb2 as reader

from services.chassis.clock import Clock
from services.consent.accesses import Accesses
from services.consent.convert import accesses as convert
from services.consent.convert.names import Names
from services.consent.domain.accesses import Wanted
from services.consent.fhir.audit_event import audit_events
from services.consent.fhir.bundle import bundle
from services.consent.fhir.codings import Site
from services.consent.fhir.consent import consent_resource
from services.errors import AccordError, Reason

MAX_EXPORT = 3 << 20
"""Bytes of one export: an answer is one message of at most 4 MiB."""


class AccessReader:
    """Accesses and exports."""

    def __init__(self, accesses: Accesses, names: Names, clock: Clock, trust_domain: str) -> None:
        self._accesses, self._names, self._clock, self._site = accesses, names, clock, Site(trust_domain)

    async def list_accesses(self, request: reader.ListAccessesRequest) -> reader.ListAccessesResponse:
        """A page of who accessed, or tried to."""
        return convert.page_message(*await self._accesses.page(*convert.accesses(request, self._names)))

    async def export_fhir(self, request: reader.ExportFhirRequest) -> reader.ExportFhirResponse:
        """A Bundle of Consent or AuditEvent resources."""
        asked = convert.export(request, self._names)
        exported = await (self._audit_events(asked.wanted) if asked.of_accesses else self._consents(asked.wanted))
        if len(exported) > MAX_EXPORT:
            raise AccordError(Reason.STATE_CONFLICT, "there is more than one export carries: list it page by page")
        return reader.ExportFhirResponse(bundle=exported)

    async def _audit_events(self, wanted: Wanted) -> bytes:
        profile = self._names.profile_name(wanted.address)
        found = await self._accesses.every(wanted)
        return bundle(self._site, audit_events(self._site, profile, found), self._clock.wall_ms())

    async def _consents(self, wanted: Wanted) -> bytes:
        profile = self._names.profile_name(wanted.address)
        found = await self._accesses.consents(wanted.address, wanted.role)
        resources = (
            consent_resource(self._site, profile, item.name, item.consent, item.given_ms, item.revised_ms)
            for item in found
        )
        return bundle(self._site, resources, self._clock.wall_ms())
