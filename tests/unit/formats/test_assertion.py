"""The grant assertion: it reads back, says each thing in one way, and opens as nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from services.formats import jws
from services.formats.acknowledgement import open_acknowledgement
from services.formats.assertion import ASSERTION, Act, GrantAssertion, open_assertion
from services.formats.canonical import FormatError, dumps
from services.formats.manifest import open_manifest
from services.formats.permit import open_permit
from services.formats.rights import Direction, Purpose, Scope
from tests.support.evidence import DOMAIN, NOW_MS, SENDER, signer

KEY = signer("portal")
CONSENT = "consents/" + "c" * 32
GRANT = GrantAssertion(
    issuer=DOMAIN,
    jti="request-1",
    issued_s=NOW_MS // 1000,
    act=Act.GRANT,
    service=SENDER,
    scope=Scope(frozenset({"class:10", "type:11502-2"}), frozenset(Direction), frozenset({Purpose.CARE})),
    end_ms=NOW_MS + 1,
    notice_sha256="a" * 64,
    role="representative",
    authentication="eidas2",
    person="parent-1",
    profile="profiles/" + "b" * 32,
    start_ms=NOW_MS,
    limits={"quota": {"limit": 1, "period": 0}},
)
AMENDED = replace(GRANT, act=Act.AMEND, profile="", consent=CONSENT, start_ms=None, limits={}, role="holder", person="")
RESUMED = replace(AMENDED, act=Act.RESUME, jti=f"{CONSENT}/revisions/3")
TOKEN = GRANT.sign(KEY)
CLAIMS = jws.peek(TOKEN, ASSERTION)[0]
OPTIONAL = {"start", "limits"}


def key_of(kid: str) -> Any:
    return KEY.verify_key if kid == KEY.verify_key.kid else None


def with_claims(**changes: Any) -> str:
    claims = {name: value for name, value in (CLAIMS | changes).items() if value is not None}
    return jws.sign(KEY, ASSERTION, dumps(claims))


@pytest.mark.parametrize(
    "value", [GRANT, AMENDED, RESUMED, replace(GRANT, jti="consentRequests/" + "d" * 32), replace(GRANT, issued_s=0)]
)
def test_an_assertion_reads_back(value: GrantAssertion) -> None:
    assert open_assertion(value.sign(KEY), key_of) == value


def test_what_does_not_apply_is_absent() -> None:
    assert set(CLAIMS) - set(AMENDED.to_json()) == {"profile", "start", "limits"}
    assert AMENDED.to_json()["actor"] == {"role": "holder", "authentication": "eidas2"}


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_no_claim_may_be_missing_that_every_assertion_has(name: str) -> None:
    if name in OPTIONAL:
        open_assertion(with_claims(**{name: None}), key_of)
        return
    with pytest.raises(FormatError):
        open_assertion(with_claims(**{name: None}), key_of)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", 1),
        ("aud", "registry"),
        ("aud", ["ledger"]),
        ("jti", "short"),
        ("jti", "x" * 65),
        ("jti", "request:0-0123456789abcdef"),  # the ledger's own: no caller may send it
        ("jti", CONSENT),
        ("jti", f"{CONSENT}/revisions/0"),
        ("iat", str(NOW_MS)),
        ("iat", -1),
        ("act", "revoke"),
        ("act", 1),
        ("act", "amend"),
        ("service", "lumen"),
        ("profile", "profiles/x"),
        ("profile", ""),
        ("consent", CONSENT),
        ("scope", {}),
        ("scope", {"categories": ["class:10"], "directions": ["READ"], "purposes": ["CARE"], "label": "x"}),
        ("scope", {"categories": ["class:10", "class:10"], "directions": ["READ"], "purposes": ["CARE"]}),
        ("scope", {"categories": ["class:10"], "directions": ["READ", "DEPOSIT"], "purposes": ["CARE"]}),
        ("scope", {"categories": ["class:10"], "directions": ["read"], "purposes": ["CARE"]}),
        ("start", ""),
        ("start", "2026-11-23"),
        ("end", ""),
        ("end", NOW_MS),
        ("limits", {}),
        ("limits", []),
        ("limits", ""),
        ("notice_sha256", "A" * 64),
        ("actor", {"role": "platform", "authentication": "eidas2"}),
        ("actor", {"role": "holder"}),
        ("actor", {"role": "holder", "authentication": "EIDAS"}),
        ("actor", {"role": "holder", "authentication": "eidas2", "person": ""}),
        ("actor", {"role": "holder", "authentication": "eidas2", "person": "a b"}),
        ("actor", {"role": "holder", "authentication": "eidas2", "name": "x"}),
        ("actor", "holder"),
        ("exp", NOW_MS // 1000),
    ],
)
def test_a_claim_beyond_its_limits_is_refused(name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        open_assertion(with_claims(**{name: value}), key_of)


def test_an_assertion_by_an_unknown_key_is_refused() -> None:
    with pytest.raises(FormatError, match="unknown key"):
        open_assertion(GRANT.sign(signer("another")), key_of)


@pytest.mark.parametrize("opener", [open_permit, open_manifest, open_acknowledgement])
def test_an_assertion_never_opens_as_another_token(opener: Any) -> None:
    with pytest.raises(FormatError, match="typ"):
        opener(TOKEN, key_of)
