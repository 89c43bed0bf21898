"""The permit: the ledger's short-lived leave to send one exchange to one recipient (a JWS, RFC 7515)."""

import re
from dataclasses import dataclass
from typing import Any

from services.formats import jws
from services.formats.canonical import HEX_32, FormatError, Members, dumps
from services.formats.jwk import KeyOf, Signer
from services.formats.manifest import read_purpose
from services.formats.rights import SERVICE_NAME, Purpose

PERMIT = "accord-permit+jws"
PERMIT_LIFE_S = 5
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Permit:
    """The ledger's permit to send one exchange to one recipient, through the broker's own certificate (RFC 8705).

    `subject` = SHA-256(salt ‖ the recipient's pseudonym for the patient); `leaf` is the authorisation's leaf hash.
    """

    issuer: str
    recipient: str
    subject: str
    issued_s: int
    expires_s: int
    exchange: str
    origin: str
    index: int
    leaf: str
    sender: str
    purpose: Purpose
    thumbprint: str

    def sign(self, signer: Signer) -> str:
        """The permit's JWS; its jti is the leaf hash, which no other authorisation has."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.recipient,
            "sub": self.subject,
            "iat": self.issued_s,
            "exp": self.expires_s,
            "jti": self.leaf,
            "exchange": self.exchange,
            "origin": self.origin,
            "index": self.index,
            "sender": self.sender,
            "purpose": self.purpose.value,
            "cnf": {"x5t#S256": self.thumbprint},
        }
        return jws.sign(signer, PERMIT, dumps(claims))


def open_permit(token: str, key_of: KeyOf) -> Permit:
    """The permit that the ledger's key signed. Raises: FormatError."""
    members = Members(jws.verify(token, PERMIT, key_of).claims, "permit")
    confirmation = members.object("cnf")
    permit = Permit(
        issuer=members.text("iss"),
        recipient=members.text("aud", SERVICE_NAME),
        subject=members.text("sub", HEX_32),
        issued_s=members.integer("iat"),
        expires_s=members.integer("exp"),
        exchange=members.text("exchange", HEX_32),
        origin=members.text("origin"),
        index=members.integer("index"),
        leaf=members.text("jti", HEX_32),
        sender=members.text("sender", SERVICE_NAME),
        purpose=read_purpose(members),
        thumbprint=confirmation.text("x5t#S256", _THUMBPRINT),
    )
    confirmation.done()
    members.done()
    if not permit.issued_s < permit.expires_s <= permit.issued_s + PERMIT_LIFE_S:
        raise FormatError("permit.exp is out of range")
    return permit
