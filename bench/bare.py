"""The servers that Accord is compared with: grpc.aio on uvloop behind the same mutual TLS, and not one check.

`echo` answers a message with itself; `sink` counts a stream's bytes; `relay` passes a stream on as it comes. Prints one JSON
line when it listens; ends at SIGTERM.
"""

import argparse
import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import uvloop

from services.chassis.channel import open_channel
from services.chassis.identity import parse_spiffe_id
from services.chassis.tls import TlsFiles, server_credentials

SERVICE, ECHO, SEND = "bench.Bare", "Echo", "Send"
Handler = Callable[[Any, Any], Awaitable[bytes]]


async def _echo(message: bytes, _: object) -> bytes:
    return message


async def _sink(frames: AsyncIterator[bytes], _: object) -> bytes:
    received = 0
    async for frame in frames:
        received += len(frame)
    return str(received).encode()


def _relay(channel: grpc.aio.Channel) -> Handler:
    send: Any = channel.stream_unary(f"/{SERVICE}/{SEND}")

    async def relay(frames: AsyncIterator[bytes], _: object) -> bytes:
        call = send(timeout=60)
        async for frame in frames:
            await call.write(frame)
        await call.done_writing()
        answer: bytes = await call
        return answer

    return relay


async def _serve(flags: argparse.Namespace, files: TlsFiles, handlers: dict[str, Any]) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)
    port = server.add_secure_port(flags.listen, server_credentials(files))
    await server.start()
    print(json.dumps({"listening": port}), flush=True)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await server.stop(1)


async def _run(flags: argparse.Namespace) -> None:
    files = TlsFiles(flags.cert, flags.key, flags.ca)
    if flags.role == "echo":
        await _serve(flags, files, {ECHO: grpc.unary_unary_rpc_method_handler(_echo)})
    elif flags.role == "sink":
        await _serve(flags, files, {SEND: grpc.stream_unary_rpc_method_handler(_sink)})
    else:
        async with open_channel(flags.to, files, parse_spiffe_id(flags.identity)) as channel:
            await _serve(flags, files, {SEND: grpc.stream_unary_rpc_method_handler(_relay(channel))})


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description="Bare servers to compare with.")
    parser.add_argument("role", choices=("echo", "sink", "relay"))
    parser.add_argument("--listen", default="127.0.0.1:0")
    for name in ("cert", "key", "ca"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--to", help="relay: host:port of the sink")
    parser.add_argument("--identity", help="relay: the sink's SPIFFE ID")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(_run(_flags()))
