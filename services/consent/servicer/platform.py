"""What the platform's operator does."""

import grpc
from accord.consent.v1 import platform_service_pb2 as pb
from accord.consent.v1 import platform_service_pb2_grpc as pb_grpc

from services.consent.convert import platform as convert
from services.consent.convert.consents import profile_message
from services.consent.convert.form import timestamp
from services.consent.convert.names import Names
from services.consent.ledger import Ledger
from services.consent.platform import Platform

Context = grpc.ServicerContext


class PlatformServicer(pb_grpc.PlatformServiceServicer):
    """Suspension, erasure, retention, and the portal's assertions; `person_hash` gives what stands for a person."""

    def __init__(self, ledger: Ledger, platform: Platform, names: Names, person_hash: convert.PersonHash) -> None:
        self._ledger, self._platform, self._names, self._person_hash = ledger, platform, names, person_hash

    async def SuspendProfile(self, request: pb.SuspendProfileRequest, _: Context) -> pb.SuspendProfileResponse:
        """Suspends a profile."""
        profile = await self._ledger.do(convert.suspension(request, self._names))
        return pb.SuspendProfileResponse(profile=profile_message(profile, self._names), token=self._ledger.token)

    async def ResumeProfile(self, request: pb.ResumeProfileRequest, _: Context) -> pb.ResumeProfileResponse:
        """Resumes a profile."""
        profile = await self._ledger.do(convert.resumption(request, self._names))
        return pb.ResumeProfileResponse(profile=profile_message(profile, self._names), token=self._ledger.token)

    async def ErasePatient(self, request: pb.ErasePatientRequest, _: Context) -> pb.ErasePatientResponse:
        """Erases a patient."""
        effective_ms, covers = await self._platform.erase(convert.erasure(request, self._names))
        effective, token = timestamp(effective_ms), self._ledger.token
        return pb.ErasePatientResponse(effective_time=effective, covers=covers, token=token)

    async def ApplyRetention(self, request: pb.ApplyRetentionRequest, _: Context) -> pb.ApplyRetentionResponse:
        """Drops a past year."""
        return pb.ApplyRetentionResponse(covers=await self._platform.retain(*convert.retention(request)))

    async def ListAssertions(self, request: pb.ListAssertionsRequest, _: Context) -> pb.ListAssertionsResponse:
        """Lists assertions."""
        wanted, page = convert.page(request, self._person_hash)
        items, following = await self._platform.assertions(wanted, convert.cursor(page), page.size)
        return convert.assertions_message(items, following, page, self._names)

    async def RevokeAssertions(self, request: pb.RevokeAssertionsRequest, _: Context) -> pb.RevokeAssertionsResponse:
        """Withdraws what rests on assertions."""
        wanted = convert.wanted(request.filter, self._person_hash)
        revoked, ended = await self._platform.revoke(wanted, convert.justification(request.justification))
        return pb.RevokeAssertionsResponse(revoked=revoked, ended_before=ended, token=self._ledger.token)
