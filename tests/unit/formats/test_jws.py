"""JWS: what RFC 8725 warns of never gets as far as a key."""

import base64
import hmac
import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from services.formats import jws
from services.formats.canonical import FormatError
from services.formats.jwk import LocalSigner, VerifyKey, b64url
from services.formats.jws import MAX_TOKEN, peek, sign, verify

TYP = "accord-test+jws"
EDDSA = LocalSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
ES256 = LocalSigner(ec.derive_private_key(7, ec.SECP256R1()))
SIGNERS = {"EdDSA": EDDSA, "ES256": ES256}
PAYLOAD = b'{"a":1}'
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def key_of(kid: str) -> VerifyKey | None:
    return {signer.verify_key.kid: signer.verify_key for signer in SIGNERS.values()}.get(kid)


def token(header: Any, payload: bytes = PAYLOAD, signer: LocalSigner = EDDSA) -> str:
    """A token over any header, with a good signature by the signer's own algorithm."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    signed = f"{b64url(raw)}.{b64url(payload)}"
    return f"{signed}.{b64url(raw_signature(signer, signed.encode()))}"


def raw_signature(signer: LocalSigner, data: bytes) -> bytes:
    private = signer.private
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign(data)
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def header(alg: str = "EdDSA", **more: Any) -> dict[str, Any]:
    return {"alg": alg, "kid": EDDSA.verify_key.kid, "typ": TYP} | more


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_what_a_known_key_signed_is_read(signer: LocalSigner) -> None:
    signed = verify(sign(signer, TYP, PAYLOAD), TYP, key_of)
    assert (signed.claims, signed.kid) == ({"a": 1}, signer.verify_key.kid)


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_a_token_by_hand_is_read_like_a_library_s(signer: LocalSigner) -> None:
    good = header(signer.verify_key.alg, kid=signer.verify_key.kid)
    assert verify(token(good, signer=signer), TYP, key_of).claims == {"a": 1}


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS256", "RS256", "ES384", "ES256K", "eddsa", "Ed25519"])
def test_no_other_algorithm_is_accepted(alg: str) -> None:
    with pytest.raises(FormatError):
        verify(token(header(alg)), TYP, key_of)


def test_an_unsigned_token_is_refused() -> None:
    unsigned = token(header("none")).rpartition(".")[0] + "."
    with pytest.raises(FormatError):
        verify(unsigned, TYP, key_of)
    with pytest.raises(FormatError):
        verify(token(header()).rpartition(".")[0] + ".", TYP, key_of)


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    public = EDDSA.private.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        json.dumps(EDDSA.verify_key.jwk).encode(),
    ):
        signed = token(header("HS256")).rpartition(".")[0]
        forged = f"{signed}.{b64url(hmac.digest(secret, signed.encode(), sha256))}"
        with pytest.raises(FormatError):
            verify(forged, TYP, key_of)


def test_a_key_verifies_its_own_algorithm_only() -> None:
    """EdDSA under the kid of a P-256 key, and the reverse."""
    for alg, named, signer in (("EdDSA", ES256, EDDSA), ("ES256", EDDSA, ES256), ("ES256", EDDSA, EDDSA)):
        with pytest.raises(FormatError, match="unknown key"):
            verify(token(header(alg, kid=named.verify_key.kid), signer=signer), TYP, key_of)


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"b64": True},
        {"jku": "https://attacker.example/keys"},
        {"jwk": EDDSA.verify_key.jwk},
        {"x5u": "https://attacker.example/cert"},
        {"x5c": ["AA"]},
        {"x5t#S256": "A" * 43},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
    ids=lambda extra: next(iter(extra)),
)
def test_any_other_header_is_refused_before_a_key_is_looked_up(extra: dict[str, Any]) -> None:
    asked: list[str] = []

    def ask(kid: str) -> VerifyKey | None:
        asked.append(kid)
        return key_of(kid)

    with pytest.raises(FormatError, match="unknown member"):
        verify(token(header() | extra), TYP, ask)
    assert asked == []


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
@pytest.mark.parametrize("value", [None, 1, ["EdDSA"], {"a": 1}])
def test_a_header_without_its_three_strings_is_refused(name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        verify(token(header() | {name: value}), TYP, key_of)
    with pytest.raises(FormatError):
        verify(token({other: text for other, text in header().items() if other != name}), TYP, key_of)


def test_a_header_member_that_occurs_twice_is_refused() -> None:
    raw = json.dumps(header()).encode()
    with pytest.raises(FormatError, match="twice"):
        verify(token(raw[:-1] + b',"alg":"EdDSA"}'), TYP, key_of)


@pytest.mark.parametrize("typ", ["", "JWT", "jwt", TYP.upper(), TYP + " ", "application/" + TYP])
def test_a_token_of_another_typ_is_refused(typ: str) -> None:
    with pytest.raises(FormatError, match="typ"):
        verify(sign(EDDSA, typ, PAYLOAD) if typ else token(header(typ=typ)), TYP, key_of)


@pytest.mark.parametrize("kid", ["", "../../etc/passwd", "' OR 1=1 --", "https://x/", "A" * 43, "\x00"])
def test_a_kid_is_only_ever_looked_up(kid: str) -> None:
    with pytest.raises(FormatError, match="unknown key"):
        verify(token(header(kid=kid)), TYP, key_of)


def test_a_signature_by_another_key_is_refused() -> None:
    other = LocalSigner(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(FormatError, match="does not verify"):
        verify(token(header(), signer=other), TYP, key_of)


@pytest.mark.parametrize("payload", [b"", b"1", b'"x"', b"[]", b"null", b'{"a":1,"a":2}', b'{"a":1.5}', b"\xff", b"{"])
def test_a_payload_that_is_no_strict_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(FormatError):
        verify(token(header(), payload), TYP, key_of)


def test_a_payload_in_another_encoding_is_refused() -> None:
    with pytest.raises(FormatError):
        verify(token(header(), '{"a":1}'.encode("utf-16")), TYP, key_of)


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS.keys())
def test_padding_and_every_other_last_character_are_refused(signer: LocalSigner) -> None:
    parts = sign(signer, TYP, PAYLOAD).split(".")
    for position, part in enumerate(parts):
        others = [part[:-1] + last for last in ALPHABET if last != part[-1]] + [part + "=", part + "==", part + "A"]
        for other in others:
            changed = [*parts[:position], other, *parts[position + 1 :]]
            with pytest.raises(FormatError):
                verify(".".join(changed), TYP, key_of)


def test_the_same_signature_bytes_in_another_spelling_are_refused() -> None:
    """The last character of 64 bytes carries two bits that mean nothing: four spellings decode to one signature."""
    signed, _, signature = sign(EDDSA, TYP, PAYLOAD).rpartition(".")
    same = [
        signature[:-1] + last
        for last in ALPHABET
        if base64.urlsafe_b64decode(signature[:-1] + last + "==") == base64.urlsafe_b64decode(signature + "==")
    ]
    assert len(same) == 16
    accepted = [item for item in same if _verifies(f"{signed}.{item}")]
    assert accepted == [signature]


def _verifies(text: str) -> bool:
    try:
        verify(text, TYP, key_of)
    except FormatError:
        return False
    return True


@pytest.mark.parametrize("text", ["", ".", "..", "...", "a.b", "a.b.c.d", "é.é.é", " ", "{}", "\x00.\x00.\x00"])
def test_what_is_no_compact_jws_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        verify(text, TYP, key_of)


def test_white_space_around_a_token_is_refused() -> None:
    good = sign(EDDSA, TYP, PAYLOAD)
    for text in (good + "\n", " " + good, good.replace(".", ". ")):
        with pytest.raises(FormatError):
            verify(text, TYP, key_of)


def test_a_token_may_have_the_limit_s_length_and_no_more() -> None:
    start = len(sign(EDDSA, TYP, b'{"a":""}'))
    for fill in range((MAX_TOKEN - start) * 3 // 4 - 4, (MAX_TOKEN - start) * 3 // 4 + 8):
        text = sign(EDDSA, TYP, b'{"a":"' + b"x" * fill + b'"}')
        if len(text) <= MAX_TOKEN:
            verify(text, TYP, key_of)
        else:
            with pytest.raises(FormatError, match="too long"):
                verify(text, TYP, key_of)
    assert len(text) > MAX_TOKEN


def test_peeking_checks_the_form_and_no_signature() -> None:
    signed = sign(EDDSA, TYP, PAYLOAD).rpartition(".")[0]
    assert peek(f"{signed}.AAAA", TYP) == ({"a": 1}, EDDSA.verify_key.kid, "EdDSA")


def test_an_es256_signature_in_der_or_of_another_length_is_refused() -> None:
    good = header("ES256", kid=ES256.verify_key.kid)
    signed, _, signature = token(good, signer=ES256).rpartition(".")
    private = ES256.private
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    der = private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    for other in (b64url(der), signature[:-3], "AAAA" + signature, b64url(bytes(64)), ""):
        with pytest.raises(FormatError):
            verify(f"{signed}.{other}", TYP, key_of)


@given(st.text(max_size=200) | st.lists(st.binary(max_size=40).map(b64url), min_size=3, max_size=3).map(".".join))
def test_reading_never_fails_in_another_way(text: str) -> None:
    assert not _verifies(text)


def test_signing_signs_exactly_the_payload_given() -> None:
    payload = b'{ "spaced" : "\xc3\xa9" }'
    _, part, _ = sign(EDDSA, TYP, payload).split(".")
    assert base64.urlsafe_b64decode(part + "==") == payload
    assert jws.verify(sign(EDDSA, TYP, payload), TYP, key_of).claims == {"spaced": "é"}
