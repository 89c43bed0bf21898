"""The acknowledgement: the recipient's signed word that it keeps a bundle (a JWS, RFC 7515)."""

from dataclasses import dataclass
from typing import Any

from services.formats import jws
from services.formats.canonical import HEX_32, Members, dumps
from services.formats.jwk import KeyOf, Signer
from services.formats.rights import SERVICE_NAME

ACKNOWLEDGEMENT = "accord-acknowledgement+jws"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The recipient's word that it keeps the bundle: the exchange, the broker manifest's hash, each document's SHA-256."""

    recipient: str
    audience: str
    issued_s: int
    exchange: str
    manifest_sha256: str
    documents: tuple[str, ...]

    def sign(self, signer: Signer) -> str:
        """The acknowledgement's JWS."""
        claims: dict[str, Any] = {
            "iss": self.recipient,
            "aud": self.audience,
            "iat": self.issued_s,
            "exchange": self.exchange,
            "manifest_sha256": self.manifest_sha256,
            "documents": list(self.documents),
        }
        return jws.sign(signer, ACKNOWLEDGEMENT, dumps(claims))


def open_acknowledgement(token: str, key_of: KeyOf) -> Acknowledgement:
    """The acknowledgement that the recipient's key signed. Raises: FormatError."""
    members = Members(jws.verify(token, ACKNOWLEDGEMENT, key_of).claims, "acknowledgement")
    acknowledgement = Acknowledgement(
        recipient=members.text("iss", SERVICE_NAME),
        audience=members.text("aud"),
        issued_s=members.integer("iat"),
        exchange=members.text("exchange", HEX_32),
        manifest_sha256=members.text("manifest_sha256", HEX_32),
        documents=members.texts("documents", HEX_32),
    )
    members.done()
    return acknowledgement
