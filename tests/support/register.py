"""Organisations and services for tests: valid messages, and the changes that make them invalid."""

import hashlib
from typing import Any

from accord.registry.v1 import registry_pb2 as pb
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from google.protobuf.timestamp_pb2 import Timestamp

from services.formats.canonical import dumps
from services.formats.jwk import LocalSigner
from services.formats.lease import Convention, ServiceRecord, Status
from services.formats.rights import Direction, Purpose, Scope
from services.registry.convert import requests
from services.registry.domain.service import Application, Organization

TRUST_DOMAIN = "mes.example"
REGISTRAR = f"spiffe://{TRUST_DOMAIN}/registrar"
NOTICE = "Le service lit vos comptes rendus pour préparer votre bilan de prévention."
START_S, END_S = 1_735_689_600, 1_893_456_000  # 2025-01-01, 2030-01-01


def signer() -> LocalSigner:
    """A new Ed25519 key."""
    return LocalSigner(ed25519.Ed25519PrivateKey.generate())


def p256_signer() -> LocalSigner:
    """A new P-256 key."""
    return LocalSigner(ec.generate_private_key(ec.SECP256R1()))


def jwk(key: LocalSigner) -> str:
    """The public half as a JWK."""
    return dumps(key.verify_key.jwk).decode()


def siren(number: int) -> str:
    """The SIREN of a number below 100 million: eight digits and their Luhn key."""
    digits = f"{10_000_000 + number:08d}"
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-1::-2])
    return digits + str(-(doubled + sum(map(int, digits[-2::-2]))) % 10)


def organization_message(number: int = 1, **fields: Any) -> pb.Organization:
    """A valid organisation."""
    values: dict[str, Any] = {
        "name": f"organizations/org-{number}",
        "siren": siren(number),
        "oid": f"1.2.250.1.999.{number}",
        "display_name": f"Éditeur nº {number}",
    }
    return pb.Organization(**(values | fields))


def convention_message(**fields: Any) -> pb.Convention:
    """A valid convention."""
    values: dict[str, Any] = {
        "categories": ["class:10", "class:11"],
        "directions": [pb.DIRECTION_READ, pb.DIRECTION_DEPOSIT],
        "purposes": [pb.PURPOSE_PREVENTION],
        "start_time": Timestamp(seconds=START_S),
        "end_time": Timestamp(seconds=END_S),
        "notice": notice_message(NOTICE),
        "ins_in_documents": True,
    }
    return pb.Convention(**(values | fields))


def notice_message(text: str) -> pb.InformationNotice:
    """An information notice with this text and its hash."""
    return pb.InformationNotice(version="2026-01", text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def service_message(number: int = 1, *keys: LocalSigner, **fields: Any) -> pb.Service:
    """A valid service of the organisation of the same number, with a new key unless some are given."""
    values: dict[str, Any] = {
        "name": f"services/service-{number}",
        "organization": f"organizations/org-{number}",
        "display_name": f"Service nº {number}",
        "oid": f"1.2.250.1.999.{number}.1",
        "convention": convention_message(),
        "signing_keys": [pb.SigningKey(jwk=jwk(key)) for key in keys or (signer(),)],
        "endpoint": f"service-{number}.example.org:8443",
    }
    return pb.Service(**(values | fields))


def organization(number: int = 1) -> Organization:
    """The domain value of a valid organisation."""
    return requests.organization(organization_message(number))


def application(number: int = 1, *keys: LocalSigner, **fields: Any) -> Application:
    """The domain value of a valid service."""
    return requests.application(service_message(number, *keys, **fields), allow_local=False)


def record(service_id: str, status: Status = Status.REFERENCED_WITH_EXCHANGE, **fields: Any) -> ServiceRecord:
    """A service's record in a snapshot."""
    scope = Scope(frozenset({"class:10"}), frozenset(Direction), frozenset({Purpose.PREVENTION}))
    values: dict[str, Any] = {
        "name": f"services/{service_id}",
        "organization": "organizations/org-1",
        "oid": "1.2.250.1.999.1.1",
        "status": status,
        "spiffe_id": f"spiffe://{TRUST_DOMAIN}/service/{service_id}",
        "endpoint": "",
        "convention": Convention(scope, START_S * 1000, END_S * 1000, "0" * 64, ins_in_documents=False),
        "keys": (),
    }
    return ServiceRecord(**(values | fields))
