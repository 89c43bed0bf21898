"""The four tokens of an exchange: each reads back, keeps its limits, and never opens as another."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.formats import jws
from services.formats.acknowledgement import ACKNOWLEDGEMENT, Acknowledgement, open_acknowledgement
from services.formats.canonical import FormatError, dumps
from services.formats.entry import Pin
from services.formats.jwk import KeyOf
from services.formats.lease import TYP as LEASE
from services.formats.lease import open_lease, sign_lease
from services.formats.manifest import (
    BROKER_MANIFEST,
    MANIFEST,
    MAX_DOCUMENTS,
    MAX_MANIFEST_LIFE_S,
    BrokerManifest,
    Coded,
    DeclaredDocument,
    Manifest,
    claimed_sender,
    open_broker_manifest,
    open_manifest,
)
from services.formats.permit import PERMIT, PERMIT_LIFE_S, Permit, open_permit
from services.formats.rights import Purpose
from tests.support.evidence import DOMAIN, NOW_MS, RECIPIENT, SENDER, document, signer

KEY = signer("token")
NOW_S = NOW_MS // 1000
DOCUMENTS = (document(), document("two"))
MANIFEST_VALUE = Manifest(SENDER, DOMAIN, "A" * 22, NOW_S, NOW_S + 600, RECIPIENT, Purpose.CARE, "0" * 32, DOCUMENTS)
BROKER_VALUE = BrokerManifest(DOMAIN, RECIPIENT, NOW_S, "e" * 64, "f" * 64, SENDER, Purpose.CARE, DOCUMENTS)
ACKNOWLEDGEMENT_VALUE = Acknowledgement(RECIPIENT, DOMAIN, NOW_S, "e" * 64, "f" * 64, ("1" * 64, "2" * 64))
PERMIT_VALUE = Permit(
    issuer=DOMAIN,
    recipient=RECIPIENT,
    subject="5" * 64,
    issued_s=NOW_S,
    expires_s=NOW_S + PERMIT_LIFE_S,
    exchange="e" * 64,
    origin="accord.example/ledger/1/0",
    index=12,
    leaf="1" * 64,
    sender=SENDER,
    purpose=Purpose.CARE,
    thumbprint="t" * 43,
)
Open = Callable[[str, KeyOf], Any]
TOKENS: dict[str, tuple[Any, Open]] = {
    MANIFEST: (MANIFEST_VALUE, open_manifest),
    BROKER_MANIFEST: (BROKER_VALUE, open_broker_manifest),
    PERMIT: (PERMIT_VALUE, open_permit),
    ACKNOWLEDGEMENT: (ACKNOWLEDGEMENT_VALUE, open_acknowledgement),
}
OPENERS: dict[str, Open] = {typ: opener for typ, (_, opener) in TOKENS.items()}
OPENERS[LEASE] = lambda token, key_of: open_lease(token, DOMAIN, key_of)
SIGNED = {typ: value.sign(KEY) for typ, (value, _) in TOKENS.items()}
SIGNED[LEASE] = sign_lease(KEY, DOMAIN, Pin(1, "a" * 64), 1, NOW_MS)
LIMITS: dict[str, list[tuple[str, Any]]] = {
    MANIFEST: [
        ("iss", "lumen"),
        ("aud", [DOMAIN]),
        ("aud", None),
        ("jti", "A" * 21),
        ("jti", "A" * 23),
        ("jti", "A" * 21 + "B"),  # its last character sets bits beyond the 128
        ("jti", "A" * 21 + "+"),
        ("iat", str(NOW_S)),
        ("iat", -1),
        ("exp", None),
        ("exp", str(NOW_S + 600)),
        ("exp", NOW_S),
        ("exp", NOW_S - 1),
        ("exp", NOW_S + MAX_MANIFEST_LIFE_S + 1),
        ("recipient", "services/"),
        ("purpose", "RESEARCH"),
        ("purpose", "care"),
        ("patient", "0" * 31),
        ("patient", "279035121518989"),
        ("patient", "A" * 32),
        ("documents", []),
        ("documents", [document().to_json()] * (MAX_DOCUMENTS + 1)),
        ("documents", None),
        ("nbf", NOW_S),
    ],
    BROKER_MANIFEST: [
        ("iss", 1),
        ("aud", "carnet"),
        ("iat", -1),
        ("exchange", "E" * 64),
        ("permit_sha256", ""),
        ("sender", "lumen"),
        ("purpose", None),
        ("documents", []),
        ("documents", [document().to_json()] * (MAX_DOCUMENTS + 1)),
        ("exp", NOW_S),
    ],
    PERMIT: [
        ("iss", None),
        ("aud", [RECIPIENT]),
        ("aud", "carnet"),
        ("sub", "0" * 32),
        ("iat", -1),
        ("exp", NOW_S),
        ("exp", NOW_S + PERMIT_LIFE_S + 1),
        ("exp", None),
        ("jti", "1" * 63),
        ("exchange", ""),
        ("origin", 1),
        ("index", -1),
        ("index", "12"),
        ("sender", "lumen"),
        ("purpose", "ANY"),
        ("cnf", {}),
        ("cnf", {"x5t#S256": "t" * 42}),
        ("cnf", {"x5t#S256": "t" * 43, "jwk": {}}),
        ("cnf", "t" * 43),
        ("nbf", NOW_S),
    ],
    ACKNOWLEDGEMENT: [
        ("iss", "carnet"),
        ("aud", None),
        ("iat", None),
        ("exchange", "e" * 63),
        ("manifest_sha256", "F" * 64),
        ("documents", ["1" * 63]),
        ("documents", "1" * 64),
        ("documents", [1]),
        ("exp", NOW_S),
    ],
}
DOCUMENT_LIMITS: list[tuple[str, Any]] = [
    ("format", "cda-r1"),
    ("format", None),
    ("type", "57833-6"),
    ("type", {"code": "57833-6"}),
    ("type", {"code": "", "system": "2.16"}),
    ("type", {"code": "a" * 41, "system": "2.16"}),
    ("type", {"code": "a b", "system": "2.16"}),
    ("type", {"code": "a", "system": "LOINC"}),
    ("type", {"code": "a", "system": "3.1"}),
    ("type", {"code": "a", "system": "2.016"}),
    ("type", {"code": "a", "system": "2.16", "name": "x"}),
    ("authors", {}),
    ("authors", [{"extension": "x"}]),
    ("authors", [{"root": "x", "extension": "x"}]),
    ("authors", [{"root": "1.2", "extension": 1}]),
    ("authors", [{"root": "1.2", "name": "x"}]),
    ("size", -1),
    ("size", 1.5),
    ("sha256", "a" * 63),
    ("title", "x"),
]


def key_of(kid: str) -> Any:
    return KEY.verify_key if kid == KEY.verify_key.kid else None


def with_claims(typ: str, **changes: Any) -> str:
    claims = jws.peek(SIGNED[typ], typ)[0] | changes
    return jws.sign(KEY, typ, dumps({name: value for name, value in claims.items() if value is not None}))


@pytest.mark.parametrize("typ", TOKENS)
def test_a_token_reads_back(typ: str) -> None:
    value, opener = TOKENS[typ]
    assert opener(SIGNED[typ], key_of) == value


@pytest.mark.parametrize("typ", SIGNED)
@pytest.mark.parametrize("other", SIGNED)
def test_a_token_never_opens_as_another(typ: str, other: str) -> None:
    if typ == other:
        OPENERS[other](SIGNED[typ], key_of)
        return
    with pytest.raises(FormatError, match="typ"):
        OPENERS[other](SIGNED[typ], key_of)
    with pytest.raises(FormatError):  # nor do its claims under the other's typ
        OPENERS[other](jws.sign(KEY, other, dumps(jws.peek(SIGNED[typ], typ)[0])), key_of)


@pytest.mark.parametrize("typ", TOKENS)
def test_a_token_by_an_unknown_key_is_refused(typ: str) -> None:
    value, opener = TOKENS[typ]
    with pytest.raises(FormatError, match="unknown key"):
        opener(value.sign(signer("another")), key_of)


@pytest.mark.parametrize(("typ", "name", "value"), [(typ, *limit) for typ, all_ in LIMITS.items() for limit in all_])
def test_a_claim_beyond_its_limits_is_refused(typ: str, name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        OPENERS[typ](with_claims(typ, **{name: value}), key_of)


@pytest.mark.parametrize("typ", TOKENS)
def test_no_claim_may_be_missing(typ: str) -> None:
    for name in jws.peek(SIGNED[typ], typ)[0]:
        if (typ, name) != (ACKNOWLEDGEMENT, "documents"):
            with pytest.raises(FormatError):
                OPENERS[typ](with_claims(typ, **{name: None}), key_of)


@pytest.mark.parametrize(("name", "value"), DOCUMENT_LIMITS)
@pytest.mark.parametrize("typ", [MANIFEST, BROKER_MANIFEST])
def test_a_document_beyond_its_limits_is_refused(typ: str, name: str, value: Any) -> None:
    changed = document().to_json() | {name: value}
    with pytest.raises(FormatError):
        OPENERS[typ](with_claims(typ, documents=[changed]), key_of)


@pytest.mark.parametrize("count", [1, MAX_DOCUMENTS])
def test_a_manifest_may_have_1_to_64_documents(count: int) -> None:
    many = replace(MANIFEST_VALUE, documents=(document(),) * count)
    assert open_manifest(many.sign(KEY), key_of) == many


@pytest.mark.parametrize("life", [1, MAX_MANIFEST_LIFE_S])
def test_a_manifest_may_live_for_up_to_an_hour(life: int) -> None:
    lasting = replace(MANIFEST_VALUE, expires_s=NOW_S + life)
    assert open_manifest(lasting.sign(KEY), key_of) == lasting


@pytest.mark.parametrize("life", [1, PERMIT_LIFE_S])
def test_a_permit_may_live_for_up_to_five_seconds(life: int) -> None:
    lasting = replace(PERMIT_VALUE, expires_s=NOW_S + life)
    assert open_permit(lasting.sign(KEY), key_of) == lasting


@given(
    st.lists(
        st.builds(
            DeclaredDocument,
            st.builds(Coded, st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True), st.just("2.16.840.1.113883.6.1")),
            st.lists(st.tuples(st.just("1.2.250.1.71.4.2.1"), st.text(max_size=30)), max_size=3).map(tuple),
            st.integers(0, 2**53 - 1),
            st.binary(min_size=32, max_size=32).map(bytes.hex),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    st.sampled_from(Purpose),
)
def test_whatever_documents_are_declared_read_back(documents: tuple[DeclaredDocument, ...], purpose: Purpose) -> None:
    manifest = replace(MANIFEST_VALUE, documents=documents, purpose=purpose)
    broker = replace(BROKER_VALUE, documents=documents, purpose=purpose)
    assert open_manifest(manifest.sign(KEY), key_of) == manifest
    assert open_broker_manifest(broker.sign(KEY), key_of) == broker


def test_a_manifest_says_who_it_claims_to_be_from_before_it_is_verified() -> None:
    assert claimed_sender(replace(MANIFEST_VALUE).sign(signer("another"))) == SENDER


@pytest.mark.parametrize("value", [None, 1, "lumen", ["services/lumen"], "services/lumen\n"])
def test_a_claimed_sender_is_a_service_s_name(value: Any) -> None:
    with pytest.raises(FormatError):
        claimed_sender(with_claims(MANIFEST, iss=value))


def test_half_a_character_in_an_author_is_refused_for_nobody_could_sign_it_again() -> None:
    raw = dumps(jws.peek(SIGNED[MANIFEST], MANIFEST)[0]).replace(b'"899700218896"', b'"\\ud800"')
    with pytest.raises(FormatError):
        open_manifest(jws.sign(KEY, MANIFEST, raw), key_of)
