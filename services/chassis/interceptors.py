"""The one path of every RPC into a servicer: peer → trace → deadline → access policy → strict message → handler → errors.

Guarantees that no handler runs for a caller without identity, role, place and deadline, nor on a malformed message, and
that whatever a handler raises leaves as one stable status. A handler answers or raises AccordError and chooses no gRPC
code. Leaves to `acceptor` which method an RPC is for; what arrives for no served method comes to `Guard.unknown`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, cast

import grpc

from services.chassis.access import AccessPolicy
from services.chassis.admission import Admission
from services.chassis.identity import Caller, Callers, set_current_caller
from services.chassis.messages import malformed, strict
from services.chassis.refusals import Refusals
from services.chassis.status import WireStatus, preferred_language, wire_status
from services.chassis.telemetry import RpcTrace, Telemetry
from services.errors import AccordError, Kind, Reason

UNKNOWN_METHOD = "unknown/unknown"
_log = logging.getLogger(__name__)
T = TypeVar("T")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class _Overrun(AccordError):  # noqa: N818 (an AccordError with a code of its own, not another error)
    """The call outlived the longest deadline this server gives."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands before every handler of one server. `max_deadline_s` clamps longer deadlines; `incident` draws an id."""

    policy: AccessPolicy
    callers: Callers
    admission: Admission
    telemetry: Telemetry
    refusals: Refusals
    max_deadline_s: float
    incident: Callable[[], str]

    def wrap(self, method: str, handler: Handler) -> Handler:
        """A handler for `package.Service/Method` that runs `handler` only behind every check.

        It reads its requests itself, whatever the cardinality: that is how a second message in a unary body is seen, and
        how the caller is known before its bytes are parsed.
        """
        guarded = _Method(self, method, handler)
        decode = strict(handler.request_deserializer or bytes)
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(guarded.stream, decode, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(guarded.answer, decode)

    def unknown(self) -> Handler:
        """The handler for every path that no service serves: UNIMPLEMENTED, to callers with an identity."""
        nothing = _Method(self, UNKNOWN_METHOD, grpc.stream_unary_rpc_method_handler(_unserved))
        return grpc.stream_unary_rpc_method_handler(nothing.refuse, bytes)

    def explain(self, error: Exception, method: str, caller: Caller | None, context: Context) -> WireStatus:
        """The status for what a handler or a check raised; the unexpected gets an incident id and a log entry."""
        language = preferred_language(context.invocation_metadata() or ())
        if isinstance(error, AccordError) and error.kind is not Kind.INTERNAL:
            self.refusals.note(error, method, caller.identity.uri if caller else None)
            code = grpc.StatusCode.DEADLINE_EXCEEDED if isinstance(error, _Overrun) else None
            return wire_status(error, language, code=code)
        incident = self.incident()
        _log.error("unexpected failure", exc_info=error, extra={"fields": {"incident": incident, "method": method}})
        internal = AccordError(Reason.INTERNAL, f"incident {incident}")
        return wire_status(internal, language, metadata={"incident": incident})

    def deadline(self, context: Context) -> float | None:
        """Seconds after which this server itself ends the RPC; None if the caller's own deadline comes first.

        Raises: AccordError(DEADLINE_INVALID) if the caller set none.
        """
        remaining: float | None = context.time_remaining()
        if remaining is None:
            raise AccordError(Reason.DEADLINE_INVALID)
        return self.max_deadline_s if remaining > self.max_deadline_s else None


class _Method:
    """One method of one servicer, behind the guard."""

    __slots__ = ("_behaviour", "_encode", "_guard", "_name", "_request_streaming")

    def __init__(self, guard: Guard, name: str, handler: Handler) -> None:
        self._guard = guard
        self._name = name
        self._encode = handler.response_serializer or bytes
        self._request_streaming = handler.request_streaming
        self._behaviour: Any = (
            handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        )

    async def answer(self, requests: object, context: Context) -> bytes:
        """Serve an RPC with one response: it needs a deadline, which covers the receipt of its requests too."""
        return await self._checked(requests, context, self._answer)

    async def stream(self, requests: object, context: Context) -> None:
        """Serve an RPC with many responses: only the wait for its one request, where it has just one, is bounded."""
        await self._checked(requests, context, self._stream)

    async def refuse(self, requests: object, context: Context) -> bytes:
        """Refuse an RPC that nothing serves."""
        return await self._checked(requests, context, self._refuse)

    async def _checked(self, requests: object, context: Context, serve: Callable[..., Awaitable[T]]) -> T:
        caller: Caller | None = None
        span: RpcTrace | None = None
        code = "OK"
        try:
            caller = self._guard.callers.of(context.auth_context())
            set_current_caller(caller)
            span = self._guard.telemetry.begin(self._name, context)
            return await serve(requests, context, caller)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except Exception as error:
            status = self._guard.explain(error, self._name, caller, context)
            code = status.code.name
            await context.abort(status.code, status.details, status.trailing_metadata)
        finally:
            self._record(span, code)

    async def _answer(self, requests: object, context: Context, caller: Caller) -> bytes:
        limit = self._guard.deadline(context)
        self._enter(caller)
        try:
            work = self._respond(requests, context)
            return await (work if limit is None else _within(limit, work))
        finally:
            self._guard.admission.leave(caller.identity.path)

    async def _respond(self, requests: object, context: Context) -> bytes:
        request = requests if self._request_streaming else await _only_message(context)
        response = await self._behaviour(request, context)
        return self._encode(response)

    async def _stream(self, requests: object, context: Context, caller: Caller) -> None:
        self._enter(caller)
        try:
            request = requests
            if not self._request_streaming:
                request = await _within(self._guard.max_deadline_s, _only_message(context))
            await _send(self._behaviour(request, context), context)
        finally:
            self._guard.admission.leave(caller.identity.path)

    async def _refuse(self, requests: object, context: Context, caller: Caller) -> bytes:
        return cast(bytes, await self._behaviour(requests, context))

    def _enter(self, caller: Caller) -> None:
        if not self._guard.policy.allows(self._name, caller.roles):
            raise AccordError(Reason.RPC_NOT_ALLOWED)
        self._guard.admission.enter(caller.identity.path)

    def _record(self, span: RpcTrace | None, code: str) -> None:
        if span is not None:
            span.end(code)
        else:
            self._guard.telemetry.count(self._name, code)


async def _unserved(requests: object, context: Context) -> bytes:
    raise AccordError(Reason.METHOD_UNKNOWN)


async def _only_message(context: Context) -> object:
    """The one message of a unary request. gRPC itself would ignore a second one; here it is refused."""
    request = await context.read()
    if request is grpc.aio.EOF:
        raise malformed("the call carries no message")
    if await context.read() is not grpc.aio.EOF:
        raise malformed("the call carries more than one message")
    return request


async def _send(responses: Any, context: Context) -> None:
    """Send what a streaming handler yields, closing it in every case; or await one that writes to the context itself."""
    if not hasattr(responses, "__aiter__"):
        await responses
        return
    async with aclosing(responses):
        async for response in responses:
            await context.write(response)


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError:
        if limit.expired():
            raise _Overrun(Reason.DEADLINE_INVALID, f"a call may take {seconds:g} s here") from None
        raise
