"""Keys: the RFC's own vectors, and nothing that is not exactly a sound public key of two kinds."""

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from services.formats.canonical import FormatError, dumps
from services.formats.edwards import is_sound
from services.formats.jwk import LocalSigner, VerifyKey, b64url, unb64url
from services.formats.jws import sign, verify

# RFC 8037 appendix A.1 to A.4: a key, its thumbprint (A.3), and a JWS by it.
RFC_8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_8037_D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC_8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC_8037_JWS_PAYLOAD = b"Example of Ed25519 signing"
RFC_8037_JWS = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
OKP = {"kty": "OKP", "crv": "Ed25519", "x": RFC_8037_X}
# RFC 7515 appendix A.3.1.
EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC_7638 = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
    "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvR"
    "L5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
}
RFC_7638_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
ORDER_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
SMALL_ORDER = {
    "order 1": "01" + "00" * 31,
    "order 1, sign set": "01" + "00" * 30 + "80",
    "order 2": "ec" + "ff" * 30 + "7f",
    "order 4": "00" * 32,
    "order 4, sign set": "00" * 31 + "80",
    "order 8": ORDER_8,
    "order 8, sign set": ORDER_8[:-2] + "85",
    "order 8, other": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "order 8, other, sign set": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
}
NO_POINT = {
    "off the curve": "02" + "00" * 31,
    "p, which is 0 in another spelling": "ed" + "ff" * 30 + "7f",
    "p + 1": "ee" + "ff" * 30 + "7f",
    "p + 3": "f0" + "ff" * 30 + "7f",
    "2^255 - 1": "ff" * 31 + "7f",
}
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def thumbprint_of(jwk: dict[str, str]) -> str:
    """RFC 7638 §3: the hash of the required members alone, in order of name."""
    return b64url(hashlib.sha256(dumps(jwk)).digest())


def test_the_rfc_8037_key_has_the_rfc_thumbprint() -> None:
    key = VerifyKey.read(OKP)
    assert (key.alg, key.kid, key.jwk) == ("EdDSA", RFC_8037_THUMBPRINT, OKP)


def test_the_rfc_8037_private_key_makes_the_rfc_signature() -> None:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(unb64url(RFC_8037_D))
    header, payload, signature = RFC_8037_JWS.split(".")
    assert unb64url(payload) == RFC_8037_JWS_PAYLOAD
    assert b64url(private.sign(f"{header}.{payload}".encode())) == signature
    assert LocalSigner(private).verify_key.jwk == OKP


def test_the_thumbprint_is_the_one_of_rfc_7638() -> None:
    """Its example (§3.1) is an RSA key, which is never accepted here: what hashes our keys gives its thumbprint."""
    assert thumbprint_of(RFC_7638) == RFC_7638_THUMBPRINT
    assert VerifyKey.read(EC).kid == thumbprint_of(EC)
    with pytest.raises(FormatError):
        VerifyKey.read(RFC_7638)


@pytest.mark.parametrize("jwk", [OKP, EC], ids=["Ed25519", "P-256"])
@pytest.mark.parametrize(
    "extra", [{"d": RFC_8037_D}, {"kid": "x"}, {"alg": "EdDSA"}, {"use": "sig"}, {"x5u": "https://x"}, {"k": "AA"}]
)
def test_a_jwk_with_any_other_member_is_refused_a_private_one_above_all(
    jwk: dict[str, str], extra: dict[str, str]
) -> None:
    with pytest.raises(FormatError, match="unknown member"):
        VerifyKey.read(jwk | extra)


@pytest.mark.parametrize("jwk", [OKP, EC], ids=["Ed25519", "P-256"])
def test_a_jwk_without_one_of_its_members_is_refused(jwk: dict[str, str]) -> None:
    for name in jwk:
        with pytest.raises(FormatError):
            VerifyKey.read({other: value for other, value in jwk.items() if other != name})


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "oct", "k": "AA"},
        {"crv": "X25519"},
        {"crv": "Ed448"},
        {"kty": "EC"},
        {"x": RFC_8037_X + "="},
        {"x": RFC_8037_X[:-1]},
        {"x": RFC_8037_X[:-1] + "p"},  # the same 32 bytes: the last character's two low bits mean nothing
        {"x": RFC_8037_X.replace("_", "/")},
        {"x": 1},
        {"x": None},
    ],
)
def test_a_jwk_that_is_not_one_spelling_of_an_accepted_key_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        VerifyKey.read(OKP | changes)


@pytest.mark.parametrize("value", ["x", None, [OKP], 1])
def test_a_jwk_is_an_object(value: Any) -> None:
    with pytest.raises(FormatError):
        VerifyKey.read(value)


@pytest.mark.parametrize("changes", [{"y": EC["x"]}, {"x": "A" * 43}, {"x": "A" * 43, "y": "A" * 43}, {"crv": "P-384"}])
def test_a_p_256_point_off_the_curve_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(FormatError):
        VerifyKey.read(EC | changes)


@pytest.mark.parametrize("encoded", [*SMALL_ORDER.values(), *NO_POINT.values()], ids=[*SMALL_ORDER, *NO_POINT])
def test_32_bytes_that_are_no_sound_ed25519_point_are_refused(encoded: str) -> None:
    with pytest.raises(FormatError, match=r"edwards25519|valid key"):
        VerifyKey.read(OKP | {"x": b64url(bytes.fromhex(encoded))})


def test_under_a_key_of_small_order_one_signature_would_do_for_every_message() -> None:
    """Why they are refused: the library itself accepts this, for any message."""
    identity = bytes.fromhex(SMALL_ORDER["order 1"])
    key = ed25519.Ed25519PublicKey.from_public_bytes(identity)
    for message in (b"one", b"another"):
        key.verify(identity + bytes(32), message)


@pytest.mark.parametrize("encoded", SMALL_ORDER.values(), ids=SMALL_ORDER.keys())
def test_the_points_refused_as_of_small_order_are_so_by_the_curve_s_own_law(encoded: str) -> None:
    y = int.from_bytes(bytes.fromhex(encoded), "little") & (1 << 255) - 1
    assert _is_small((_x_of(y), y))


@given(st.binary(min_size=32, max_size=32))
def test_every_key_that_a_private_key_has_is_accepted(seed: bytes) -> None:
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    assert is_sound(public.public_bytes_raw())
    assert VerifyKey.read(VerifyKey.of(public).jwk).public == public


@given(st.binary(min_size=32, max_size=32))
def test_bytes_are_sound_exactly_when_they_are_a_point_of_large_order(encoded: bytes) -> None:
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1
    x = _x_of(y)
    on_curve = (-x * x + y * y - 1 - D * x * x * y * y) % P == 0
    assert is_sound(encoded) == (y < P and on_curve and not _is_small((x, y)))


def test_other_kinds_of_keys_are_refused() -> None:
    for private in (
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        rsa.generate_private_key(65537, 1024),  # too small to be safe: refused for its kind, not its size
    ):
        with pytest.raises(FormatError, match="neither"):
            VerifyKey.of(private.public_key())  # type: ignore[arg-type]


@pytest.mark.parametrize("curve", ["Ed25519", "P-256"])
def test_a_jwk_reads_back_and_verifies_what_its_private_half_signs(curve: str) -> None:
    private = ed25519.Ed25519PrivateKey.generate() if curve == "Ed25519" else ec.generate_private_key(ec.SECP256R1())
    signer = LocalSigner(private)
    key = VerifyKey.read(signer.verify_key.jwk)
    assert key.kid == signer.verify_key.kid
    assert verify(sign(signer, "t", b"{}"), "t", {key.kid: key}.get).claims == {}


def test_a_signer_never_shows_its_private_half() -> None:
    assert "private" not in repr(LocalSigner(ed25519.Ed25519PrivateKey.generate()))


@given(st.binary(max_size=70))
def test_base64url_reads_back(data: bytes) -> None:
    assert unb64url(b64url(data)) == data


@pytest.mark.parametrize("text", ["A", "AB", "AA==", "AA=", "A+", "//", "A A", "AA\n", "é", "AAAAA", "-_-_."])
def test_any_other_spelling_of_base64url_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        unb64url(text)


def _x_of(y: int) -> int:
    """A root of (y² − 1) / (d·y² + 1), RFC 8032 §5.1.3; anything where there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    return x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P


def _is_small(point: tuple[int, int]) -> bool:
    """Whether the point's order divides 8."""
    for _ in range(3):
        point = _double(point)
    return point == (0, 1)


def _double(point: tuple[int, int]) -> tuple[int, int]:
    x, y = point
    k = D * x * x * y * y % P
    return 2 * x * y * pow(1 + k, -1, P) % P, (y * y + x * x) * pow(1 - k, -1, P) % P
