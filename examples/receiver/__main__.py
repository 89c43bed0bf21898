"""Runs the receiver: `python -m examples.receiver --help`.

Prints one JSON line when it listens, and one for each bundle it keeps. Ends at SIGINT or SIGTERM, once the bundles under
way have ended.
"""

import argparse
import asyncio
import json
import signal
from pathlib import Path

import grpc
import uvloop
from accord.exchange.v1 import delivery_service_pb2_grpc

from examples.receiver.checks import Announced
from examples.receiver.delivery import Delivery
from examples.receiver.inbox import Inbox
from services.chassis.keys import load_signer
from services.formats.trust import parse_trust

MAX_MESSAGE = 1 << 20
GRACE_S = 10.0


async def receive(flags: argparse.Namespace) -> None:
    """Serves until asked to stop."""
    trust = parse_trust(flags.trust.read_bytes())
    delivery = Delivery(flags.service, trust, load_signer(flags.signing_key), Inbox(flags.inbox), _report)
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=64,
    )
    delivery_service_pb2_grpc.add_DeliveryServiceServicer_to_server(delivery, server)
    pair = (flags.key.read_bytes(), flags.cert.read_bytes())
    credentials = grpc.ssl_server_credentials([pair], flags.ca.read_bytes(), require_client_auth=True)
    port = server.add_secure_port(flags.listen, credentials)
    await server.start()
    _print(listening=port)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await server.stop(GRACE_S)


def _report(bundle: Announced, is_new: bool) -> None:
    documents = len(bundle.manifest.documents)
    _print(kept=bundle.manifest.exchange, new=is_new, sender=bundle.manifest.sender, documents=documents)


def _print(**members: object) -> None:
    print(json.dumps(members), flush=True)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.receiver", description="Receives bundles into a folder.")
    parser.add_argument("--service", required=True, help="my name in the register, services/…")
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port of my registered endpoint (default: any)")
    parser.add_argument("--cert", type=Path, required=True, help="my leaf certificate, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its private key, PEM")
    parser.add_argument("--ca", type=Path, required=True, help="the trust domain's root, PEM")
    parser.add_argument("--signing-key", type=Path, required=True, help="my registered signing key, PEM")
    parser.add_argument("--trust", type=Path, required=True, help="the platform's TRUST file")
    parser.add_argument("--inbox", type=Path, required=True, help="the folder that bundles appear in")
    return parser.parse_args()


def main() -> None:
    """Reads the flags and serves."""
    uvloop.run(receive(_flags()))


if __name__ == "__main__":
    main()
