"""What services ask of patients, and how the portal finds it."""

import grpc
from accord.consent.v1 import consent_request_service_pb2 as pb
from accord.consent.v1 import consent_request_service_pb2_grpc as pb_grpc

from services.chassis.identity import current_caller
from services.consent.answers import Answers
from services.consent.convert import requests as convert
from services.consent.convert.form import timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.ledger import Ledger
from services.errors import AccordError, Reason

Context = grpc.ServicerContext
POLL_S = 5


class ConsentRequestServicer(pb_grpc.ConsentRequestServiceServicer):
    """Requests for consent; a service asks for itself and sees its own."""

    def __init__(self, ledger: Ledger, answers: Answers, names: Names) -> None:
        self._ledger, self._answers, self._names = ledger, answers, names

    async def RequestConsent(self, request: pb.RequestConsentRequest, _: Context) -> pb.RequestConsentResponse:
        """Records what the caller asks for."""
        item = convert.request(request)
        if item.service != _own_service():
            raise AccordError(Reason.NOT_PERMITTED)
        answer = await self._answers.of(await self._ledger.do(item))
        message = convert.request_message(answer, self._names, for_service=True)
        return pb.RequestConsentResponse(request=message, poll_seconds=POLL_S)

    async def GetConsentRequest(self, request: pb.GetConsentRequestRequest, _: Context) -> pb.GetConsentRequestResponse:
        """Reads one of the caller's own requests."""
        answer = await self._answers.own(_own_service(), *self._names.request(request.name))
        return pb.GetConsentRequestResponse(request=convert.request_message(answer, self._names, for_service=True))

    async def LookupConsentRequest(
        self, request: pb.LookupConsentRequestRequest, _: Context
    ) -> pb.LookupConsentRequestResponse:
        """Finds a pending request by its code."""
        answer = await self._answers.by_code(request.user_code)
        return pb.LookupConsentRequestResponse(request=convert.request_message(answer, self._names, for_service=False))

    async def AcknowledgeRevocation(
        self, request: pb.AcknowledgeRevocationRequest, _: Context
    ) -> pb.AcknowledgeRevocationResponse:
        """Records that the caller has noted a consent's end."""
        shard, consent = self._names.consent(request.consent)
        noted_ms = await self._ledger.do(c.AcknowledgeRevocation(shard, consent, _own_service()))
        return pb.AcknowledgeRevocationResponse(acknowledge_time=timestamp(noted_ms))


def _own_service() -> str:
    """The name of the service that calls; of nobody, where the caller is none."""
    return f"services/{current_caller().service or ''}"
