"""Runs the sender: `python -m examples.sender --help`.

Reads one JSON object a line: {"documents": [path…], "patient": …, "recipient": "services/…", "purpose": …}.
Prints one for each: {"outcome", "reason", "exchange", "detail", "evidence_file", "documents": [{path, type, class, size}]}.
`outcome` is DELIVERED, REFUSED (the bundle may not go), FAILED (try later) or DISPUTED.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import uvloop

from examples.sender.bundles import Sender
from examples.sender.declaration import Declaration, declare
from services.chassis.keys import load_signer
from services.errors import AccordError, Kind, Reason
from services.formats.rights import Purpose

_LATER = frozenset({Kind.UNAVAILABLE, Kind.ABORTED, Kind.EXHAUSTED, Kind.INTERNAL})


async def run(flags: argparse.Namespace) -> None:
    """Sends every line's bundle, one after the other."""
    flags.evidence.mkdir(parents=True, exist_ok=True)
    credentials = grpc.ssl_channel_credentials(flags.ca.read_bytes(), flags.key.read_bytes(), flags.cert.read_bytes())
    options = [
        ("grpc.ssl_target_name_override", f"exchange.{flags.trust_domain}"),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
    ]
    async with grpc.aio.secure_channel(flags.broker, credentials, options) as channel:
        sender = Sender(flags.service, load_signer(flags.signing_key), flags.trust_domain, channel)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip():
                print(json.dumps(await _send(sender, line, flags.evidence)), flush=True)


async def _send(sender: Sender, line: str, evidence: Path) -> dict[str, Any]:
    try:
        request = json.loads(line)
        declared = tuple([await asyncio.to_thread(declare, Path(path)) for path in request["documents"]])
        purpose = Purpose(request["purpose"])
        bundle = sender.sign(declared, request["patient"], request["recipient"], purpose)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _line("FAILED", Reason.FIELD_INVALID, "", f"the line cannot be sent: {type(error).__name__}", ())
    try:
        response = await sender.send(bundle)
    except AccordError as error:
        return _line(_outcome(error), error.reason, bundle.exchange, error.detail, declared)
    path = evidence / f"{bundle.exchange}.json"
    await asyncio.to_thread(path.write_bytes, response.evidence)
    return _line("DELIVERED", None, bundle.exchange, "", declared, str(path))


def _outcome(error: AccordError) -> str:
    if error.kind is Kind.DATA_LOSS:
        return "DISPUTED"
    return "FAILED" if error.kind in _LATER else "REFUSED"


def _line(
    outcome: str,
    reason: Reason | None,
    exchange: str,
    detail: str,
    declared: tuple[Declaration, ...],
    evidence_file: str | None = None,
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "reason": reason.value if reason else None,
        "exchange": exchange,
        "detail": detail,
        "evidence_file": evidence_file,
        "documents": [item.to_json() for item in declared],
    }


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.sender", description="Sends bundles, a JSON line each.")
    parser.add_argument("--service", required=True, help="my name in the register, services/…")
    parser.add_argument("--broker", required=True, help="host:port of the exchange broker")
    parser.add_argument("--trust-domain", required=True, help="the platform's trust domain")
    parser.add_argument("--cert", type=Path, required=True, help="my leaf certificate, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its private key, PEM")
    parser.add_argument("--ca", type=Path, required=True, help="the trust domain's root, PEM")
    parser.add_argument("--signing-key", type=Path, required=True, help="my registered signing key, PEM")
    parser.add_argument(
        "--evidence", type=Path, default=Path("evidence"), help="folder for evidence (default: evidence)"
    )
    return parser.parse_args()


def main() -> None:
    """Reads the flags and sends."""
    uvloop.run(run(_flags()))


if __name__ == "__main__":
    main()
