"""Signing keys: Ed25519 (EdDSA) and P-256 (ES256), as JWK (RFC 7517) named by their thumbprint (RFC 7638)."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from services.formats.canonical import FormatError, Members, dumps
from services.formats.edwards import is_sound

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
_COORDINATE = re.compile(r"[A-Za-z0-9_-]{43}")


def b64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64url(text: str) -> bytes:
    """The bytes of unpadded base64url; refuses any other spelling of them. Raises: FormatError."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise FormatError("not base64url") from None
    if b64url(data) != text:
        raise FormatError("not canonical base64url")
    return data


@dataclass(frozen=True)
class VerifyKey:
    """A public signing key; `alg` is the only algorithm it verifies (RFC 8725 §3.1)."""

    public: PublicKey
    alg: str

    @staticmethod
    def of(public: PublicKey) -> "VerifyKey":
        """The key with its algorithm. Raises: FormatError for any other kind of key."""
        if isinstance(public, ed25519.Ed25519PublicKey):
            if not is_sound(public.public_bytes_raw()):
                raise FormatError("not a point of edwards25519, or one of small order")
            return VerifyKey(public, "EdDSA")
        if isinstance(public, ec.EllipticCurvePublicKey) and isinstance(public.curve, ec.SECP256R1):
            return VerifyKey(public, "ES256")
        raise FormatError("neither an Ed25519 nor a P-256 key")

    @staticmethod
    def read(value: Any) -> "VerifyKey":
        """Reads a JWK of exactly the public members of RFC 8037 or RFC 7518 §6.2. Raises: FormatError."""
        members = Members(value, "jwk")
        kty, curve = members.text("kty"), members.text("crv")
        names = {("OKP", "Ed25519"): ("x",), ("EC", "P-256"): ("x", "y")}.get((kty, curve))
        if names is None:
            raise FormatError("jwk is neither OKP Ed25519 nor EC P-256")
        for name in names:
            unb64url(members.text(name, _COORDINATE))
        members.done()
        return VerifyKey.of(_load(kty, value))

    @cached_property
    def jwk(self) -> dict[str, str]:
        """The JWK's required public members."""
        if isinstance(self.public, ed25519.Ed25519PublicKey):
            exported = OKPAlgorithm.to_jwk(self.public, as_dict=True)
        else:
            exported = ECAlgorithm.to_jwk(self.public, as_dict=True)
        return {name: exported[name] for name in ("crv", "kty", "x", "y") if name in exported}

    @cached_property
    def kid(self) -> str:
        """RFC 7638 SHA-256 thumbprint."""
        return b64url(hashlib.sha256(dumps(self.jwk)).digest())


def _load(kty: str, value: dict[str, str]) -> PublicKey:
    try:
        key = OKPAlgorithm.from_jwk(value) if kty == "OKP" else ECAlgorithm.from_jwk(value)
    except Exception:  # PyJWT lets errors of several libraries through; all mean that this is not a key
        raise FormatError("jwk is not a valid key") from None
    if not isinstance(key, (ed25519.Ed25519PublicKey, ec.EllipticCurvePublicKey)):
        raise FormatError("jwk is not a public key")
    return key


KeyOf = Callable[[str], VerifyKey | None]
"""Finds a key by its thumbprint: where the caller looks is what it trusts."""


class Signer(Protocol):
    """A private key that signs JWS; where it lives is its own affair."""

    @property
    def verify_key(self) -> VerifyKey:
        """The public half."""

    @property
    def private(self) -> PrivateKey:
        """What PyJWT signs with."""


@dataclass(frozen=True)
class LocalSigner:
    """A private key held in this process."""

    private: PrivateKey = field(repr=False)

    @cached_property
    def verify_key(self) -> VerifyKey:
        """The public half."""
        return VerifyKey.of(self.private.public_key())
