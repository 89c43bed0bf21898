"""What a recipient verifies before it takes the first byte. Nothing here believes the network or the broker's word.

1 the ledger's key in TRUST signed the permit · 2 it is for me · 3 it has not ended · 4 it is used through the certificate it
names (RFC 8705) · 5 the patient's pseudonym is the one it was given for · 6 a broker key in TRUST signed the manifest, for
this permit, this exchange, this sender and this purpose.
"""

import hashlib
import hmac
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accord.exchange.v1 import delivery_service_pb2

from services.formats.canonical import FormatError
from services.formats.entry import sha256_hex
from services.formats.jwk import b64url
from services.formats.manifest import BrokerManifest, open_broker_manifest
from services.formats.permit import Permit, open_permit
from services.formats.trust import KeyRole, Trust


@dataclass(frozen=True, slots=True)
class Announced:
    """A bundle that may come: its permit, its manifest, the manifest's exact token, and the patient by our pseudonym."""

    permit: Permit
    manifest: BrokerManifest
    token: str
    patient: str


def thumbprint(auth_context: Mapping[str, Iterable[bytes]]) -> str:
    """The `x5t#S256` of the certificate at the other end of this connection: base64url of the SHA-256 of its DER."""
    (pem,) = auth_context["x509_pem_cert"]
    return b64url(hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode().strip())).digest())


def announced(header: delivery_service_pb2.DeliveryHeader, me: str, trust: Trust, peer: str, now_ms: int) -> Announced:
    """The bundle that this header announces to `me` (services/…), through a certificate of thumbprint `peer`.

    Raises: FormatError for a header that does not hold; its message names the check.
    """
    permit = open_permit(header.permit, trust.key_of(KeyRole.PERMIT, now_ms))
    _require(permit.issuer == trust.trust_domain, "the permit is of another trust domain")
    _require(permit.recipient == me, "the permit is for another recipient")
    _require(now_ms < permit.expires_s * 1000, "the permit has ended")
    _require(hmac.compare_digest(permit.thumbprint, peer), "the permit is for another certificate")
    opened = hashlib.sha256(header.patient_salt + header.patient.encode()).hexdigest()
    _require(len(header.patient_salt) == 32, "the salt is not 32 bytes")
    _require(hmac.compare_digest(permit.subject, opened), "the permit is for another patient")
    manifest = open_broker_manifest(header.manifest, trust.key_of(KeyRole.BROKER, now_ms))
    _require(manifest.issuer == trust.trust_domain, "the manifest is of another trust domain")
    _require(manifest.recipient == me, "the manifest is for another recipient")
    _require(manifest.permit_sha256 == sha256_hex(header.permit), "the manifest is of another permit")
    same = (manifest.exchange, manifest.sender, manifest.purpose) == (permit.exchange, permit.sender, permit.purpose)
    _require(same, "the manifest is of another exchange")
    return Announced(permit, manifest, header.manifest, header.patient)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FormatError(otherwise)
