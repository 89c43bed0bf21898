"""The consent ledger as those around it call it: its signed checkpoints and the proofs that join them, over gRPC.

Guarantees a deadline on each call, and that a failure of the ledger is an AccordError whose kind is UNAVAILABLE: what the
ledger cannot do now is never taken for an answer. Leaves to `witness` whether what the ledger says holds.
"""

import logging
from collections.abc import Callable
from typing import Any

import grpc
from accord.consent.v1 import audit_service_pb2 as pb
from accord.consent.v1 import audit_service_pb2_grpc as pb_grpc

from services.chassis.status import accord_error
from services.chassis.telemetry import trace_metadata
from services.errors import AccordError, Kind, Reason

CALL_S = 5.0
RETRY_S = 1.0
CONSENT_PATH = "/consent"
_log = logging.getLogger(__name__)


class LedgerLogs:
    """The logs of one ledger; `channel` gives the channel to it, asked anew for each request (certificates change)."""

    def __init__(self, channel: Callable[[], grpc.aio.Channel]) -> None:
        self._channel = channel

    async def checkpoints(self) -> list[str]:
        """The latest signed checkpoint of each shard. Raises: AccordError of kind UNAVAILABLE."""
        stub = pb_grpc.AuditServiceStub(self._channel())
        return list((await call_ledger(stub.GetCheckpoints, pb.GetCheckpointsRequest(), CALL_S)).checkpoints)

    async def consistency(self, origin: str, old: int, new: int) -> list[bytes] | None:
        """The proof that a log of size `new` continues that of size `old`; None where the ledger has none to give.

        Specification: RFC 9162 §2.1.4. Raises: AccordError of kind UNAVAILABLE, when the ledger cannot be asked.
        """
        stub = pb_grpc.AuditServiceStub(self._channel())
        request = pb.GetConsistencyProofRequest(origin=origin, old_size=old, new_size=new)
        try:
            return list((await call_ledger(stub.GetConsistencyProof, request, CALL_S)).hashes)
        except Refused:
            return None


class Refused(AccordError):  # noqa: N818 (an AccordError that says more, not another error)
    """A LEDGER_UNAVAILABLE that was an answer: the ledger said no to a call, and would again; its cause says why."""


async def call_ledger(method: Any, request: Any, timeout: float) -> Any:  # noqa: ASYNC109 (gRPC's own deadline)
    """The ledger's answer, at most `timeout` seconds later. Raises: AccordError of kind UNAVAILABLE; Refused for a no."""
    try:
        return await method(request, timeout=timeout, metadata=trace_metadata())
    except grpc.aio.AioRpcError as error:
        failure = accord_error(error, Reason.LEDGER_UNAVAILABLE, trusted=True)
    if failure.kind is Kind.UNAVAILABLE:
        raise AccordError(failure.reason, failure.detail, retry_after=failure.retry_after or RETRY_S)
    _log.error("the ledger refused a call", extra={"fields": {"reason": failure.reason.value}})
    kind = AccordError if failure.kind in (Kind.EXHAUSTED, Kind.INTERNAL) else Refused
    raise kind(Reason.LEDGER_UNAVAILABLE, retry_after=failure.retry_after) from failure
