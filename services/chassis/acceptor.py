"""Accepting RPCs: one waiting task per served method, and one for everything else.

Guarantees that a path is matched by gRPC's core and never decoded here: the stock `grpc.aio` server dies of a `:path` that
is not UTF-8 (grpcio 1.85.1: UnicodeDecodeError in its main loop, then a shutdown that aborts every call), so any caller
with a certificate could stop it. It also waits on one future per method at every call, which this does not.

Leans on private names of grpcio's `cygrpc`; a missing one fails at the start, and the tests send the fatal path. Leaves
every check of a call to the handlers it is given.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_accept_rpc = cygrpc._schedule_rpc_coro
_handle_rpc = cygrpc._handle_rpc
_ShutDown = cygrpc._RequestCallError


class _Methods:
    """Finds the handler of an RPC, as grpcio asks for it."""

    def __init__(self, unknown: Handler) -> None:
        self._unknown = unknown
        self.handlers: dict[str, Handler] = {}

    def resolve_handler(self, details: grpc.HandlerCallDetails) -> Handler:
        return self.handlers.get(details.method, self._unknown)


class _Core(cygrpc.AioServer):  # type: ignore[misc]
    """grpcio's server core with another way of accepting calls."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, unknown: Handler, options: tuple[tuple[str, object], ...]
    ) -> None:
        super().__init__(loop, None, (), (), options, None)
        self.calls: set[asyncio.Task[None]] = set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._event_loop = loop
        self._methods = _Methods(unknown)

    def add_registered_method_handlers(self, handlers: Mapping[str, Handler]) -> None:
        """Have the core match these paths exactly."""
        self._methods.handlers.update(handlers)
        super().add_registered_method_handlers(dict(handlers))

    def _make_request_call_future(self, path: bytes | None) -> "asyncio.Future[None]":
        """What the main loop waits on instead of a single call: pending for as long as the server runs.

        On shutdown the main loop cancels this future, and not the task behind it, which may just have taken a call. The
        one for unregistered paths tells it of the shutdown.
        """
        ended: asyncio.Future[None] = self._event_loop.create_future()

        def tell(task: "asyncio.Task[None]") -> None:
            self._accepting.discard(task)
            error = None if task.cancelled() else task.exception() or (_ShutDown() if path is None else None)
            if error is not None and not ended.done():
                ended.set_exception(error)

        task = self._event_loop.create_task(self._accept(path))
        task.add_done_callback(tell)
        self._accepting.add(task)
        return ended

    async def _accept(self, path: bytes | None) -> None:
        """Start a task for each call to one path (None: any path not registered) until the server shuts down."""
        name = "" if path is None else path.decode("ascii")
        while self.is_running():
            try:
                state = await (self._request_call() if path is None else self._request_registered_call(path))
            except _ShutDown:
                continue
            call = _handle_rpc(name, self._methods, (), state, self._event_loop, False)
            task = self._event_loop.create_task(_accept_rpc(call, state, self._event_loop, name))
            self.calls.add(task)
            task.add_done_callback(self.calls.discard)


class Acceptor(grpc.aio._server.Server):  # type: ignore[misc,name-defined]
    """A `grpc.aio.Server` that serves registered methods only. Generated `add_…_to_server` functions work on it."""

    def __init__(self, unknown: Handler, options: Iterable[tuple[str, object]]) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _Core(self._loop, unknown, tuple(options))

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Generated code announces each method twice; the registered form is the one that is served."""

    async def settle(self) -> None:
        """After `stop`: wait until the `finally` blocks of aborted calls have run (grpc/grpc#37239)."""
        if self._server.calls:
            await asyncio.wait(self._server.calls)
