"""`accord call`: one RPC from the command line, JSON in and out."""

import asyncio
import json
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from accord.consent.v1 import consent_service_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.chassis.keys import load_signer
from services.chassis.status import accord_error
from services.chassis.tls import TlsFiles
from services.ctl import keys
from services.ctl.options import PORTS, STACK, Folder, Role, errors, leaf
from services.ctl.portal import PortalHand
from services.errors import MEANINGS, AccordError, Reason

SERVICES = {
    "registry": {"v1.registry_service": "RegistryService", "v1.catalog_service": "CatalogService"}
    | {"v1.lease_service": "LeaseService"},
    "consent": {"v1.consent_service": "ConsentService", "v1.consent_reader_service": "ConsentReaderService"}
    | {"v1.decision_service": "DecisionService", "v1.audit_service": "AuditService"}
    | {"v1.consent_request_service": "ConsentRequestService", "v1.platform_service": "PlatformService"},
    "exchange": {"v1.exchange_service": "ExchangeService"},
}


def call(
    method: Annotated[
        str, typer.Argument(help="Its full name, or its end: DecisionService/Check.", show_default=False)
    ],
    data: Annotated[str, typer.Option("-d", "--data", help="The request as JSON; @FILE reads it from a file.")] = "{}",
    role: Role = "portal",
    folder: Folder = STACK,
    target: Annotated[str | None, typer.Option(help="host:port; default: the stack that accord up started.")] = None,
    trust_domain: Annotated[str, typer.Option(help="The trust domain.")] = "accord.example",
    timeout: Annotated[float, typer.Option(help="Seconds to wait.")] = 15.0,
    asserts: Annotated[
        bool,
        typer.Option(
            "--assert", help="Sign a grant or an amendment, as a portal must: FOLDER/keys/portal/assertion.pem."
        ),
    ] = False,
) -> None:
    """Calls one RPC over mTLS and prints the answer as JSON. A streamed request is a JSON array.

    Examples:

    accord call CatalogService/ListServices -d '{}' --as registrar

    accord call AuditService/GetCheckpoints --as auditor

    accord call ConsentService/GrantConsent -d @grant.json --as portal --assert
    """
    server, descriptor = find_method(method)
    requests = _requests(descriptor, data)
    if asserts:
        signer = load_signer(folder / "keys" / keys.PORTAL)
        assert_requests(requests, PortalHand(signer, trust_domain, lambda: int(time.time())))
    address = target or f"127.0.0.1:{PORTS[server]}"
    try:
        expected = Identity(trust_domain, f"/{server}")
        answer = asyncio.run(_call(address, leaf(folder, role), expected, descriptor, requests, timeout))
    except AccordError as error:
        explain(error)
        raise typer.Exit(1) from None
    print(json_format.MessageToJson(answer, preserving_proto_field_name=True))


def assert_requests(requests: list[Message], hand: PortalHand) -> None:
    """Fills in the assertion of each grant and amendment; an amendment's consent names its service for that."""
    for request in requests:
        if isinstance(request, consent_service_pb2.GrantConsentRequest):
            jti = request.request or request.request_id
            request.assertion = hand.grant(request.consent, request.profile, jti)
        elif isinstance(request, consent_service_pb2.AmendConsentRequest):
            request.assertion = hand.amend(request.consent, request.consent.service, request.request_id)


def find_method(name: str) -> tuple[str, MethodDescriptor]:
    """(server, method) of a full method name or its end. Raises: typer.BadParameter with all that there are."""
    known = {f"{service.full_name}/{method.name}": (server, method) for server, service, method in _methods()}
    found = [full for full in known if full == name.lstrip("/") or full.endswith("." + name)]
    if len(found) != 1:
        listing = "\n  ".join(sorted(known))
        raise typer.BadParameter(f"not the name of one method. There are:\n  {listing}", param_hint="METHOD")
    return known[found[0]]


def _methods() -> Iterable[tuple[str, ServiceDescriptor, MethodDescriptor]]:
    for server, modules in SERVICES.items():
        for module, name in modules.items():
            import_module(f"accord.{server}.{module}_pb2")
            service = Default().FindServiceByName(f"accord.{server}.v1.{name}")
            for method in service.methods:
                yield server, service, method


def _requests(descriptor: MethodDescriptor, data: str) -> list[Message]:
    kind = GetMessageClass(descriptor.input_type)
    try:
        text = Path(data[1:]).read_text(encoding="utf-8") if data.startswith("@") else data
        value = json.loads(text)
        items = value if isinstance(value, list) else [value]
        return [json_format.ParseDict(item, kind()) for item in items]
    except (OSError, ValueError, json_format.ParseError) as error:
        raise typer.BadParameter(str(error), param_hint="--data") from None


async def _call(
    target: str,
    files: TlsFiles,
    expected: Identity,
    method: MethodDescriptor,
    requests: list[Message],
    timeout_s: float,
) -> Message:
    path = f"/{method.containing_service.full_name}/{method.name}"
    answer = GetMessageClass(method.output_type)
    codec: dict[str, Any] = {
        "request_serializer": lambda message: message.SerializeToString(),
        "response_deserializer": answer.FromString,
    }
    async with open_channel(target, files, expected) as channel:
        try:
            if method.client_streaming:
                return await channel.stream_unary(path, **codec)(iter(requests), timeout=timeout_s)  # type: ignore[no-any-return]
            return await channel.unary_unary(path, **codec)(requests[0], timeout=timeout_s)  # type: ignore[no-any-return]
        except grpc.aio.AioRpcError as error:
            raise accord_error(error, Reason.INTERNAL, trusted=True) from error


def explain(error: AccordError) -> None:
    """Prints an error with its violations and what to do."""
    meaning = MEANINGS[error.reason]
    said = meaning.english if error.violations else error.detail
    errors.print(f"[red]{error.reason.value}[/] ({error.kind.value}): {said}", highlight=False)
    for violation in error.violations:
        errors.print(f"  {violation.field}: {violation.description}", highlight=False)
    errors.print(f"  {meaning.remedy}", highlight=False)
