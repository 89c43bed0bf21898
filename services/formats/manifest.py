"""The sender's manifest and the broker's countersignature of it.

Each is a JWS of its own typ (RFC 7515), so that neither can stand for the other. The exchange's id is the SHA-256 of the
sender's manifest token, whose random `jti` makes it unguessable and unique.
"""

import re
from dataclasses import dataclass
from typing import Any

from services.formats import jws
from services.formats.canonical import HEX_32, FormatError, Members, dumps
from services.formats.jwk import KeyOf, Signer, unb64url
from services.formats.rights import SERVICE_NAME, Purpose

MANIFEST = "accord-manifest+jws"
BROKER_MANIFEST = "accord-broker-manifest+jws"
CDA_R2 = "cda-r2"
MAX_DOCUMENTS = 64
MAX_MANIFEST_LIFE_S = 3600
PATIENT = re.compile(r"[0-9a-f]{32}")
_JTI = re.compile(r"[A-Za-z0-9_-]{22}")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,38})){1,30}")


@dataclass(frozen=True, slots=True)
class Coded:
    """A code and the OID of its system."""

    code: str
    system: str

    def to_json(self) -> dict[str, str]:
        """Both members."""
        return {"code": self.code, "system": self.system}


@dataclass(frozen=True, slots=True)
class DeclaredDocument:
    """What the sender declares of a document; `authors` are (root OID, extension) pairs; `sha256` hexadecimal."""

    type: Coded
    authors: tuple[tuple[str, str], ...]
    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """All members, with the one format of today."""
        authors = [{"root": root, "extension": extension} for root, extension in self.authors]
        return {
            "format": CDA_R2,
            "type": self.type.to_json(),
            "authors": authors,
            "size": self.size,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class Manifest:
    """The sender's manifest; `patient` is the sender's pseudonym for the patient, instants in seconds since 1970."""

    sender: str
    audience: str
    jti: str
    issued_s: int
    expires_s: int
    recipient: str
    purpose: Purpose
    patient: str
    documents: tuple[DeclaredDocument, ...]

    def sign(self, signer: Signer) -> str:
        """The manifest's JWS."""
        claims: dict[str, Any] = {
            "iss": self.sender,
            "aud": self.audience,
            "jti": self.jti,
            "iat": self.issued_s,
            "exp": self.expires_s,
            "recipient": self.recipient,
            "purpose": self.purpose.value,
            "patient": self.patient,
            "documents": [document.to_json() for document in self.documents],
        }
        return jws.sign(signer, MANIFEST, dumps(claims))


def claimed_sender(token: str) -> str:
    """The service that a manifest nobody has verified yet says it is from. Raises: FormatError."""
    return Members({"iss": jws.peek(token, MANIFEST)[0].get("iss")}, "manifest").text("iss", SERVICE_NAME)


def open_manifest(token: str, key_of: KeyOf) -> Manifest:
    """The manifest that the sender's key signed. Raises: FormatError."""
    members = Members(jws.verify(token, MANIFEST, key_of).claims, "manifest")
    manifest = Manifest(
        sender=members.text("iss", SERVICE_NAME),
        audience=members.text("aud"),
        jti=members.text("jti", _JTI),
        issued_s=members.integer("iat"),
        expires_s=members.integer("exp"),
        recipient=members.text("recipient", SERVICE_NAME),
        purpose=read_purpose(members),
        patient=members.text("patient", PATIENT),
        documents=_read_documents(members),
    )
    members.done()
    unb64url(manifest.jti)
    if not manifest.issued_s < manifest.expires_s <= manifest.issued_s + MAX_MANIFEST_LIFE_S:
        raise FormatError("manifest.exp is not within an hour after iat")
    return manifest


def _read_documents(members: Members) -> tuple[DeclaredDocument, ...]:
    documents = members.items("documents", _read_document)
    if not 1 <= len(documents) <= MAX_DOCUMENTS:
        raise FormatError(f"documents has not 1 to {MAX_DOCUMENTS} items")
    return documents


def _read_document(value: Any, what: str) -> DeclaredDocument:
    members = Members(value, what)
    if members.text("format") != CDA_R2:
        raise FormatError(f"{what}.format is unknown")
    document = DeclaredDocument(
        _read_coded(members.object("type")),
        members.items("authors", _read_author),
        members.integer("size"),
        members.text("sha256", HEX_32),
    )
    members.done()
    return document


def _read_coded(members: Members) -> Coded:
    coded = Coded(members.text("code", _CODE), members.text("system", _OID))
    members.done()
    return coded


def _read_author(value: Any, what: str) -> tuple[str, str]:
    members = Members(value, what)
    author = (members.text("root", _OID), members.text("extension", default=""))
    members.done()
    return author


def read_purpose(members: Members) -> Purpose:
    """The purpose of a token. Raises: FormatError."""
    try:
        return Purpose(members.text("purpose"))
    except ValueError:
        raise FormatError("an unknown purpose") from None


@dataclass(frozen=True, slots=True)
class BrokerManifest:
    """The broker's countersignature: what it checked and sends, for the recipient; names the permit by its hash."""

    issuer: str
    recipient: str
    issued_s: int
    exchange: str
    permit_sha256: str
    sender: str
    purpose: Purpose
    documents: tuple[DeclaredDocument, ...]

    def sign(self, signer: Signer) -> str:
        """The broker manifest's JWS."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.recipient,
            "iat": self.issued_s,
            "exchange": self.exchange,
            "permit_sha256": self.permit_sha256,
            "sender": self.sender,
            "purpose": self.purpose.value,
            "documents": [document.to_json() for document in self.documents],
        }
        return jws.sign(signer, BROKER_MANIFEST, dumps(claims))


def open_broker_manifest(token: str, key_of: KeyOf) -> BrokerManifest:
    """The manifest that the broker's key signed. Raises: FormatError."""
    members = Members(jws.verify(token, BROKER_MANIFEST, key_of).claims, "broker manifest")
    manifest = BrokerManifest(
        issuer=members.text("iss"),
        recipient=members.text("aud", SERVICE_NAME),
        issued_s=members.integer("iat"),
        exchange=members.text("exchange", HEX_32),
        permit_sha256=members.text("permit_sha256", HEX_32),
        sender=members.text("sender", SERVICE_NAME),
        purpose=read_purpose(members),
        documents=_read_documents(members),
    )
    members.done()
    return manifest
