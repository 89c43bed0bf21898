"""What portal and services read."""

import grpc
from accord.consent.v1 import consent_reader_service_pb2 as reader
from accord.consent.v1 import consent_reader_service_pb2_grpc as reader_grpc

from services.chassis.identity import current_caller
from services.consent.convert import reader as convert
from services.consent.convert.consents import consent_message, profile_message
from services.consent.convert.form import Form
from services.consent.convert.names import Names
from services.consent.permitted import Permitted
from services.consent.reading import Reading
from services.consent.servicer.accesses import AccessReader

Context = grpc.ServicerContext


class ConsentReaderServicer(reader_grpc.ConsentReaderServiceServicer):
    """Consents, profiles, accesses."""

    def __init__(self, reading: Reading, permitted: Permitted, accesses: AccessReader, names: Names) -> None:
        self._reading, self._permitted, self._accesses, self._names = reading, permitted, accesses, names

    async def GetConsent(self, request: reader.GetConsentRequest, _: Context) -> reader.GetConsentResponse:
        """Reads a consent, or what a revision of it said."""
        form = Form()
        viewer = convert.viewer(request.viewer, current_caller().service, form)
        form.done()
        if "/revisions/" in request.name:
            found = await self._reading.revision(*self._names.revision(request.name), viewer)
        else:
            found = await self._reading.consent(*self._names.consent(request.name), viewer)
        return reader.GetConsentResponse(consent=consent_message(found, self._names))

    async def ListConsents(self, request: reader.ListConsentsRequest, _: Context) -> reader.ListConsentsResponse:
        """Lists a patient's consents, newest first."""
        asked = convert.consents(request, current_caller().service, self._names)
        found, token = await self._reading.consents(
            asked.address, asked.viewer, asked.page, lambda item: self._names.consent_name(item.shard, item.consent)
        )
        messages = [consent_message(item, self._names) for item in found]
        return reader.ListConsentsResponse(consents=messages, next_page_token=token)

    async def ListConsentRevisions(
        self, request: reader.ListConsentRevisionsRequest, _: Context
    ) -> reader.ListConsentRevisionsResponse:
        """Lists a consent's revisions, newest first."""
        viewer, page = convert.revisions(request, current_caller().service)
        found, token = await self._reading.revisions(*self._names.consent(request.name), viewer, page)
        messages = [convert.revision_message(item, self._names) for item in found]
        return reader.ListConsentRevisionsResponse(revisions=messages, next_page_token=token)

    async def GetProfile(self, request: reader.GetProfileRequest, _: Context) -> reader.GetProfileResponse:
        """Reads a profile."""
        profile = await self._reading.profile(self._names.profile(request.profile))
        return reader.GetProfileResponse(profile=profile_message(profile, self._names))

    async def ListPermitted(self, request: reader.ListPermittedRequest, _: Context) -> reader.ListPermittedResponse:
        """Lists who may access a patient now, or which patients a service may access."""
        asked = convert.permitted(request, current_caller().service, self._names)
        if asked.address is not None:
            lines, token = await self._permitted.services(asked.address, asked.viewer, asked.wanted, asked.page)
        else:
            lines, token = await self._permitted.patients(asked.viewer.service, asked.wanted, asked.page, asked.after)
        return convert.permitted_response(lines, token, asked.viewer, self._names)

    async def ListAccesses(self, request: reader.ListAccessesRequest, _: Context) -> reader.ListAccessesResponse:
        """Lists who accessed a patient's data, or tried to."""
        return await self._accesses.list_accesses(request)

    async def ExportFhir(self, request: reader.ExportFhirRequest, _: Context) -> reader.ExportFhirResponse:
        """Exports consents or accesses as FHIR R4."""
        return await self._accesses.export_fhir(request)
