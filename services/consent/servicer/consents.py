"""What the portal writes."""

import grpc
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_service_pb2 as pb
from accord.consent.v1 import consent_service_pb2_grpc as pb_grpc

from services.consent.across import Across
from services.consent.answers import Answers
from services.consent.convert import consents as convert
from services.consent.convert import profiles, requests
from services.consent.convert.form import Form
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.grants import Grants
from services.consent.ledger import Ledger

Context = grpc.ServicerContext


class ConsentServicer(pb_grpc.ConsentServiceServicer):
    """Profiles, pairings and consents."""

    def __init__(self, ledger: Ledger, across: Across, grants: Grants, answers: Answers, names: Names) -> None:
        self._ledger, self._across, self._names = ledger, across, names
        self._grants, self._answers = grants, answers

    async def OpenProfile(self, request: pb.OpenProfileRequest, _: Context) -> pb.OpenProfileResponse:
        """Opens a profile."""
        profile = await self._across.open_profile(profiles.opening(request, self._names))
        state = consent_pb2.ProfileState.Value("PROFILE_STATE_" + profile.status)
        name, token = self._names.profile_name(profile.address), self._ledger.token
        return pb.OpenProfileResponse(profile=name, state=state, token=token)

    async def ActivateProfile(self, request: pb.ActivateProfileRequest, _: Context) -> pb.ActivateProfileResponse:
        """Activates a profile."""
        profile = await self._profile(profiles.activation(request, self._names))
        return pb.ActivateProfileResponse(profile=profile, token=self._ledger.token)

    async def CloseProfile(self, request: pb.CloseProfileRequest, _: Context) -> pb.CloseProfileResponse:
        """Closes a profile."""
        profile = await self._profile(profiles.closing(request, self._names))
        return pb.CloseProfileResponse(profile=profile, token=self._ledger.token)

    async def ReopenProfile(self, request: pb.ReopenProfileRequest, _: Context) -> pb.ReopenProfileResponse:
        """Reopens a profile."""
        profile = await self._profile(profiles.reopening(request, self._names))
        return pb.ReopenProfileResponse(profile=profile, token=self._ledger.token)

    async def _profile(self, item: c.MoveProfile) -> consent_pb2.Profile:
        return convert.profile_message(await self._ledger.do(item), self._names)

    async def AddIdentity(self, request: pb.AddIdentityRequest, _: Context) -> pb.AddIdentityResponse:
        """Records another identity."""
        item = c.AddIdentity(self._names.ins(request.patient), self._names.profile(request.profile))
        await self._across.add_identity(item)
        return pb.AddIdentityResponse(token=self._ledger.token)

    async def AddRepresentative(self, request: pb.AddRepresentativeRequest, _: Context) -> pb.AddRepresentativeResponse:
        """Records a representative."""
        await self._ledger.do(profiles.representation(request.profile, request.person, self._names, allowed=True))
        return pb.AddRepresentativeResponse()

    async def RemoveRepresentative(
        self, request: pb.RemoveRepresentativeRequest, _: Context
    ) -> pb.RemoveRepresentativeResponse:
        """Ends a representation."""
        await self._ledger.do(profiles.representation(request.profile, request.person, self._names, allowed=False))
        return pb.RemoveRepresentativeResponse()

    async def PairPatient(self, request: pb.PairPatientRequest, _: Context) -> pb.PairPatientResponse:
        """Pairs a patient with a service."""
        form = Form()
        service = form.service(request.service, "service")
        form.done()
        address = await self._ledger.do(c.Pair(self._names.profile(request.profile), service))
        pseudonym = self._names.pseudonym(service, address)
        return pb.PairPatientResponse(patient=pseudonym, token=self._ledger.token)

    async def GrantConsent(self, request: pb.GrantConsentRequest, _: Context) -> pb.GrantConsentResponse:
        """Records a consent, or checks that it could be."""
        item = convert.grant(request, self._names)
        if request.request:
            place = self._names.request(request.request)
            granted = await self._grants.answer(item, place, request.assertion, request.profile, request.request)
        else:
            granted = await self._grants.grant(item, request.assertion, request.profile)
        message = convert.consent_message(granted, self._names)
        if item.validate_only:
            message.ClearField("name")
        return pb.GrantConsentResponse(consent=message, token=self._ledger.token)

    async def RejectConsentRequest(
        self, request: pb.RejectConsentRequestRequest, _: Context
    ) -> pb.RejectConsentRequestResponse:
        """Rejects a service's request."""
        await self._answers.reject(requests.rejection(request, self._names))
        return pb.RejectConsentRequestResponse()

    async def AmendConsent(self, request: pb.AmendConsentRequest, _: Context) -> pb.AmendConsentResponse:
        """Changes what a consent covers."""
        item = convert.amendment(request, self._names)
        amended = await self._grants.amend(item, request.assertion, request.consent.name)
        consent = convert.consent_message(amended, self._names)
        return pb.AmendConsentResponse(consent=consent, token=self._ledger.token)

    async def SuspendConsent(self, request: pb.SuspendConsentRequest, _: Context) -> pb.SuspendConsentResponse:
        """Pauses a consent."""
        item = convert.movement(request.name, ConsentState.SUSPENDED, request.actor, request.etag, self._names)
        return pb.SuspendConsentResponse(consent=await self._consent(item), token=self._ledger.token)

    async def ResumeConsent(self, request: pb.ResumeConsentRequest, _: Context) -> pb.ResumeConsentResponse:
        """Resumes a consent."""
        item = convert.resumption(request, self._names)
        resumed = await self._grants.resume(item, request.assertion, request.name)
        consent = convert.consent_message(resumed, self._names)
        return pb.ResumeConsentResponse(consent=consent, token=self._ledger.token)

    async def RevokeConsent(self, request: pb.RevokeConsentRequest, _: Context) -> pb.RevokeConsentResponse:
        """Withdraws a consent."""
        item = convert.movement(request.name, ConsentState.REVOKED, request.actor, request.etag, self._names)
        return pb.RevokeConsentResponse(consent=await self._consent(item), token=self._ledger.token)

    async def _consent(self, item: c.MoveConsent) -> consent_pb2.Consent:
        return convert.consent_message(await self._ledger.do(item), self._names)

    async def RecordNotice(self, request: pb.RecordNoticeRequest, _: Context) -> pb.RecordNoticeResponse:
        """Records that the patient was told."""
        await self._ledger.do(profiles.notice(request, self._names))
        return pb.RecordNoticeResponse()
