"""What the broker calls: the ledger (DecisionService), with domain values in and out, and recipients.

Guarantees a deadline on each call, and that a failure of the ledger is an AccordError whose kind is UNAVAILABLE: whatever
the ledger cannot do now, nothing is sent. Leaves to the callers whether what the ledger says holds.
"""

from collections.abc import Callable
from typing import Any

import grpc
from accord.consent.v1 import decision_service_pb2, decision_service_pb2_grpc
from accord.exchange.v1 import delivery_service_pb2, delivery_service_pb2_grpc

from services.chassis.ledger import CALL_S, call_ledger
from services.chassis.telemetry import trace_metadata
from services.errors import Reason
from services.exchange import convert
from services.exchange.domain.exchange import Authorization, Case, Denied, EntryRef, Query, Recorded, Sent
from services.nomenclature.ins import Ins

CHECK_S = 2.0
DeliveryCall = grpc.aio.StreamUnaryCall[delivery_service_pb2.DeliverRequest, delivery_service_pb2.DeliverResponse]


class Ledger:
    """The ledger's decisions; `channel` gives the channel to it, asked anew for each request (certificates change)."""

    def __init__(self, channel: Callable[[], grpc.aio.Channel]) -> None:
        self._channel = channel

    async def check(self, query: Query, resources: tuple[str, ...]) -> Reason | None:
        """Advice: why the exchange would be refused now, or None; `resources`: only these consent revisions may carry it.

        Raises: AccordError of kind UNAVAILABLE.
        """
        asked = convert.query_message(query)
        request = decision_service_pb2.CheckRequest(query=asked, resources=resources, exchange=query.exchange)
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

    async def _decision(self, method: Callable[[Any], Any], request: Any, timeout: float = CALL_S) -> Any:  # noqa: ASYNC109
        stub = decision_service_pb2_grpc.DecisionServiceStub(self._channel())
        return await call_ledger(method(stub), request, timeout)


def open_delivery(channel: grpc.aio.Channel, timeout: float) -> DeliveryCall:
    """A bundle's way to its recipient, at most `timeout` seconds open; nothing is sent yet."""
    return delivery_service_pb2_grpc.DeliveryServiceStub(channel).Deliver(timeout=timeout, metadata=trace_metadata())
