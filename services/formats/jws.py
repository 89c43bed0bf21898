"""Compact JWS (RFC 7515), as strict as RFC 8725 asks.

Guarantees: the protected header holds exactly `alg`, `kid` and `typ`; `typ` is the one expected; the key is looked up by
`kid` with the caller's own function and verifies its one algorithm; base64url and JSON have one spelling each. So `none`,
algorithm confusion, `crit`, `jku`, `jwk`, `x5u`, padding and duplicate members never get as far as a key.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt

from services.formats.canonical import FormatError, Members, dumps, loads
from services.formats.jwk import KeyOf, Signer, b64url, unb64url

MAX_TOKEN = 65_536
_JWS = jwt.PyJWS(algorithms=["EdDSA", "ES256"])


@dataclass(frozen=True, slots=True)
class Signed:
    """What a verified token says, and who said it."""

    claims: dict[str, Any]
    kid: str


def sign(signer: Signer, typ: str, payload: bytes) -> str:
    """A compact JWS over exactly these payload bytes."""
    key = signer.verify_key
    signing_input = f"{_header(key.alg, key.kid, typ)}.{b64url(payload)}"
    signature = _JWS.get_algorithm_by_name(key.alg).sign(signing_input.encode(), signer.private)
    return f"{signing_input}.{b64url(signature)}"


@lru_cache(maxsize=64)
def _header(alg: str, kid: str, typ: str) -> str:
    return b64url(dumps({"alg": alg, "kid": kid, "typ": typ}))


def verify(token: str, typ: str, key_of: KeyOf) -> Signed:
    """The claims of a token of type `typ` that the key named by its kid signed. Raises: FormatError."""
    claims, kid, alg = peek(token, typ)
    key = key_of(kid)
    if key is None or key.alg != alg:
        raise FormatError("signed with an unknown key")
    try:
        _JWS.decode_complete(token, key.public, algorithms=[key.alg])
    except jwt.PyJWTError:
        raise FormatError("the signature does not verify") from None
    return Signed(claims, kid)


def peek(token: str, typ: str) -> tuple[dict[str, Any], str, str]:
    """(claims, kid, alg) of a token in strict form whose signature nobody has checked yet. Raises: FormatError."""
    if len(token) > MAX_TOKEN:
        raise FormatError("the token is too long")
    parts = token.split(".")
    if len(parts) != 3:
        raise FormatError("not a compact JWS")
    header, payload, _ = (unb64url(part) for part in parts)
    members = Members(loads(header), "header")
    alg, kid, found = members.text("alg"), members.text("kid"), members.text("typ")
    members.done()
    if found != typ:
        raise FormatError(f"the token's typ is not {typ}")
    claims = loads(payload)
    if not isinstance(claims, dict):
        raise FormatError("the payload is not an object")
    return claims, kid, alg
