"""What the broker calls: the ledger (DecisionService, AuditService), with domain values in and out, and recipients.

Guarantees a deadline on each call, and that a failure of the ledger is an AccordError whose kind is UNAVAILABLE: whatever
the ledger cannot do now, nothing is sent. Leaves to the callers whether what the ledger says holds.
"""

import logging
from collections.abc import Callable
from typing import Any

import grpc
from accord.consent.v1 import audit_service_pb2, audit_service_pb2_grpc, decision_service_pb2, decision_service_pb2_grpc
from accord.exchange.v1 import delivery_service_pb2, delivery_service_pb2_grpc

from services.chassis.channels import Channels
from services.chassis.identity import Identity
from services.chassis.status import accord_error
from services.chassis.telemetry import trace_metadata
from services.errors import AccordError, Kind, Reason
from services.exchange import convert
from services.exchange.domain.exchange import Authorization, Case, Denied, EntryRef, Query, Recorded, Sent
from services.nomenclature.ins import Ins

CHECK_S = 2.0
CALL_S = 5.0
RETRY_S = 1.0
CONSENT_PATH = "/consent"
_log = logging.getLogger(__name__)
DeliveryCall = grpc.aio.StreamUnaryCall[delivery_service_pb2.DeliverRequest, delivery_service_pb2.DeliverResponse]


class Ledger:
    """The consent service at `target` (host:port)."""

    def __init__(self, channels: Channels, target: str, trust_domain: str) -> None:
        self._channels, self._target = channels, target
        self._identity = Identity(trust_domain, CONSENT_PATH)

    async def check(self, query: Query, resources: tuple[str, ...]) -> Reason | None:
        """Advice: why the exchange would be refused now, or None; `resources`: only these consent revisions may carry it.

        Raises: AccordError of kind UNAVAILABLE.
        """
        request = decision_service_pb2.CheckRequest(query=convert.query_message(query), resources=resources)
        response = await self._decision(lambda stub: stub.Check, request, CHECK_S)
        return convert.refusal(response.verdict)

    async def authorize(self, case: Case, query: Query, patients: tuple[Ins, ...]) -> Authorization | Denied:
        """The decision, recorded; `patients`: the identity that each document carries. Raises: AccordError as `check`."""
        request = convert.authorize_request(query, case.exchange, patients)
        return convert.decision(await self._decision(lambda stub: stub.Authorize, request))

    async def record_outcome(self, authorization: EntryRef, exchange: str, sent: Sent) -> Recorded:
        """Records how an authorised exchange ended; the same again is harmless. Raises: AccordError as `check`."""
        request = convert.outcome_request(authorization, exchange, sent)
        return convert.recorded(await self._decision(lambda stub: stub.RecordOutcome, request))

    async def record_refusal(self, case: Case, reason: Reason) -> None:
        """Records a refusal that needed no decision. Raises: AccordError as `check`."""
        await self._decision(lambda stub: stub.RecordRefusal, convert.refusal_request(case, reason))

    async def checkpoints(self) -> list[str]:
        """The latest signed checkpoint of each shard. Raises: AccordError as `check`."""
        response = await self._audit(lambda stub: stub.GetCheckpoints, audit_service_pb2.GetCheckpointsRequest())
        return list(response.checkpoints)

    async def consistency(self, origin: str, old: int, new: int) -> list[bytes] | None:
        """The proof that a log of size `new` continues that of size `old`; None where the ledger has none to give.

        Raises: AccordError as `check`, when the ledger cannot be asked.
        """
        request = audit_service_pb2.GetConsistencyProofRequest(origin=origin, old_size=old, new_size=new)
        try:
            response = await self._audit(lambda stub: stub.GetConsistencyProof, request)
        except Refused:
            return None
        return list(response.hashes)

    async def _decision(self, method: Callable[[Any], Any], request: Any, timeout: float = CALL_S) -> Any:  # noqa: ASYNC109
        stub = decision_service_pb2_grpc.DecisionServiceStub(self._channel())
        return await _call(method(stub), request, timeout)

    async def _audit(self, method: Callable[[Any], Any], request: Any) -> Any:
        stub = audit_service_pb2_grpc.AuditServiceStub(self._channel())
        return await _call(method(stub), request, CALL_S)

    def _channel(self) -> grpc.aio.Channel:
        return self._channels.to(self._target, self._identity)


class Refused(AccordError):  # noqa: N818 (an AccordError that says more, not another error)
    """A LEDGER_UNAVAILABLE that was an answer: the ledger said no to a call, and would again."""


async def _call(method: Any, request: Any, timeout: float) -> Any:  # noqa: ASYNC109 (gRPC's own deadline)
    try:
        return await method(request, timeout=timeout, metadata=trace_metadata())
    except grpc.aio.AioRpcError as error:
        failure = accord_error(error, Reason.LEDGER_UNAVAILABLE, trusted=True)
        if failure.kind is Kind.UNAVAILABLE:
            raise AccordError(failure.reason, failure.detail, retry_after=failure.retry_after or RETRY_S) from None
        _log.error("the ledger refused a call", extra={"fields": {"reason": failure.reason.value}})
        kind = AccordError if failure.kind in (Kind.EXHAUSTED, Kind.INTERNAL) else Refused
        raise kind(Reason.LEDGER_UNAVAILABLE, retry_after=failure.retry_after) from None


def open_delivery(channel: grpc.aio.Channel, timeout: float) -> DeliveryCall:
    """A bundle's way to its recipient, at most `timeout` seconds open; nothing is sent yet."""
    return delivery_service_pb2_grpc.DeliveryServiceStub(channel).Deliver(timeout=timeout, metadata=trace_metadata())
