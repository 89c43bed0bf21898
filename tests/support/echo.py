"""A small gRPC service of every cardinality, for tests of the chassis alone: its descriptor is built here, not compiled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from services.chassis.identity import current_caller
from services.chassis.server import Endpoint

SERVICE = "accord.test.v1.EchoService"
_F = descriptor_pb2.FieldDescriptorProto


def _field(name: str, number: int, kind: int, **more: Any) -> descriptor_pb2.FieldDescriptorProto:
    return _F(name=name, number=number, type=kind, label=more.pop("label", _F.LABEL_OPTIONAL), **more)  # type: ignore[arg-type]


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="accord/test/v1/echo.proto", package="accord.test.v1", syntax="proto3"
    )
    ping = file.message_type.add(name="Ping")
    ping.field.extend(
        [
            _field("text", 1, _F.TYPE_STRING),
            _field("inner", 2, _F.TYPE_MESSAGE, type_name=".accord.test.v1.Ping"),
            _field("numbers", 3, _F.TYPE_INT32, label=_F.LABEL_REPEATED),
            _field("left", 4, _F.TYPE_STRING, oneof_index=0),
            _field("right", 5, _F.TYPE_STRING, oneof_index=0),
            _field("labels", 6, _F.TYPE_MESSAGE, label=_F.LABEL_REPEATED, type_name=".accord.test.v1.Ping.LabelsEntry"),
        ]
    )
    ping.oneof_decl.add(name="side")
    entry = ping.nested_type.add(name="LabelsEntry")
    entry.field.extend([_field("key", 1, _F.TYPE_STRING), _field("value", 2, _F.TYPE_STRING)])
    entry.options.map_entry = True
    service = file.service.add(name="EchoService")
    for name, client, server in (("Echo", 0, 0), ("Admin", 0, 0), ("Upload", 1, 0), ("Repeat", 0, 1), ("Chat", 1, 1)):
        service.method.add(
            name=name,
            input_type=".accord.test.v1.Ping",
            output_type=".accord.test.v1.Ping",
            client_streaming=bool(client),
            server_streaming=bool(server),
        )
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
DESCRIPTOR = _POOL.FindServiceByName(SERVICE)
Ping: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("accord.test.v1.Ping"))
Action = Callable[[Any], Awaitable[Any]]


class EchoServicer:
    """Answers with what it got. A unary call whose text names an action runs that instead; `seen` counts handlers run."""

    def __init__(self) -> None:
        self.seen = 0
        self.entered = asyncio.Event()
        self.actions: dict[str, Action] = {}

    async def echo(self, request: Any, context: Any) -> Any:
        """Run the action that the text names, or return the request with the caller's path as `left`."""
        self.seen += 1
        self.entered.set()
        if request.text in self.actions:
            return await self.actions[request.text](request)
        return Ping(text=request.text, left=current_caller().identity.path)

    async def upload(self, requests: AsyncIterator[Any], context: Any) -> Any:
        """Return how many messages came."""
        self.seen += 1
        return Ping(text=str([request.text async for request in requests]))

    async def repeat(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Yield the request twice, then run the action that the text names."""
        self.seen += 1
        for _ in range(2):
            yield request
        if request.text in self.actions:
            await self.actions[request.text](request)

    async def chat(self, requests: AsyncIterator[Any], context: Any) -> None:
        """Send each message back as it comes, by the reader and writer API."""
        self.seen += 1
        async for request in requests:
            await context.write(request)
            await asyncio.sleep(0)

    def endpoint(self) -> Endpoint:
        """This servicer as an endpoint."""
        kinds = {
            "Echo": (grpc.unary_unary_rpc_method_handler, self.echo),
            "Admin": (grpc.unary_unary_rpc_method_handler, self.echo),
            "Upload": (grpc.stream_unary_rpc_method_handler, self.upload),
            "Repeat": (grpc.unary_stream_rpc_method_handler, self.repeat),
            "Chat": (grpc.stream_stream_rpc_method_handler, self.chat),
        }
        handlers = {name: make(run, Ping.FromString, Ping.SerializeToString) for name, (make, run) in kinds.items()}
        return Endpoint(DESCRIPTOR, lambda server: server.add_registered_method_handlers(SERVICE, handlers))


class EchoClient:
    """Stubs of the service over a channel, with messages or, for malformed ones, bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        out, back = _encode, Ping.FromString
        self.echo: Any = channel.unary_unary(f"/{SERVICE}/Echo", out, back)
        self.admin: Any = channel.unary_unary(f"/{SERVICE}/Admin", out, back)
        self.echo_many: Any = channel.stream_unary(f"/{SERVICE}/Echo", out, back)
        self.upload: Any = channel.stream_unary(f"/{SERVICE}/Upload", out, back)
        self.repeat: Any = channel.unary_stream(f"/{SERVICE}/Repeat", out, back)
        self.repeat_many: Any = channel.stream_stream(f"/{SERVICE}/Repeat", out, back)
        self.chat: Any = channel.stream_stream(f"/{SERVICE}/Chat", out, back)


def _encode(message: Any) -> bytes:
    return message if isinstance(message, bytes) else bytes(message.SerializeToString())
