"""TRUST: which key speaks for what, and when; and one fingerprint for one meaning."""

from typing import Any

import pytest

from services.formats.canonical import FormatError, dumps, loads
from services.formats.entry import sha256_hex
from services.formats.trust import DISTANT_MS, DatedKey, KeyRole, Trust, parse_trust
from services.tlog.note import Verifier
from tests.support.evidence import DAY_MS, DOMAIN, NOW_MS, SmallLog, signer

KEYS = {role: signer(role.value).verify_key for role in KeyRole}
TRUST = Trust(
    DOMAIN,
    tuple(SmallLog(f"{DOMAIN}/ledger/1/{shard}").signer.verifier for shard in range(2)),
    tuple(DatedKey(role, key, NOW_MS, NOW_MS + DAY_MS) for role, key in KEYS.items()),
)


def json() -> dict[str, Any]:
    value: dict[str, Any] = loads(TRUST.to_bytes())
    return value


def test_trust_reads_back_from_its_file() -> None:
    assert parse_trust(TRUST.to_bytes()) == TRUST


def test_the_fingerprint_is_of_the_canonical_file_however_it_is_laid_out() -> None:
    import json as plain

    assert TRUST.fingerprint == sha256_hex(TRUST.to_bytes())
    laid_out = plain.dumps(json(), indent=2).encode()
    assert parse_trust(laid_out).fingerprint == TRUST.fingerprint


def test_a_key_that_is_given_no_end_has_none() -> None:
    assert DatedKey(KeyRole.LEASE, KEYS[KeyRole.LEASE], 0).until_ms == DISTANT_MS


def test_a_log_is_found_by_its_whole_origin() -> None:
    found = TRUST.log(f"{DOMAIN}/ledger/1/1")
    assert found is not None
    assert found.name == f"{DOMAIN}/ledger/1/1"
    for origin in (f"{DOMAIN}/ledger/1/2", f"{DOMAIN}/ledger/1/", f"{DOMAIN}/ledger/1/1/", ""):
        assert TRUST.log(origin) is None


@pytest.mark.parametrize("role", KeyRole)
def test_a_key_is_found_in_its_own_role_only(role: KeyRole) -> None:
    for other, key in KEYS.items():
        assert TRUST.key_of(role)(key.kid) == (key if other is role else None)


def test_a_key_is_found_from_its_beginning_until_before_its_end() -> None:
    kid = KEYS[KeyRole.PERMIT].kid
    found = {at: TRUST.key_of(KeyRole.PERMIT, at)(kid) is not None for at in (NOW_MS - 1, NOW_MS)}
    found |= {at: TRUST.key_of(KeyRole.PERMIT, at)(kid) is not None for at in (NOW_MS + DAY_MS - 1, NOW_MS + DAY_MS)}
    assert list(found.values()) == [False, True, True, False]


def test_one_key_may_be_good_twice_in_one_role() -> None:
    key = KEYS[KeyRole.PERMIT]
    twice = (DatedKey(KeyRole.PERMIT, key, 0, 10), DatedKey(KeyRole.PERMIT, key, 20, 30))
    trust = parse_trust(Trust(DOMAIN, TRUST.logs, twice).to_bytes())
    assert [trust.key_of(KeyRole.PERMIT, at)(key.kid) is not None for at in (5, 15, 25)] == [True, False, True]


def test_one_key_in_two_roles_is_refused() -> None:
    key = KEYS[KeyRole.PERMIT]
    both = (DatedKey(KeyRole.PERMIT, key, 0), DatedKey(KeyRole.BROKER, key, 0))
    with pytest.raises(FormatError, match="two roles"):
        parse_trust(Trust(DOMAIN, TRUST.logs, both).to_bytes())


def test_two_keys_for_one_origin_are_refused() -> None:
    origin = TRUST.logs[0].name
    logs = (*TRUST.logs, Verifier(origin, TRUST.logs[1].public_key))
    with pytest.raises(FormatError, match="one origin"):
        parse_trust(Trust(DOMAIN, logs, TRUST.keys).to_bytes())


def test_a_key_that_ends_before_it_begins_is_refused() -> None:
    for until in (NOW_MS, NOW_MS - 1):
        keys = (DatedKey(KeyRole.LEASE, KEYS[KeyRole.LEASE], NOW_MS, until),)
        with pytest.raises(FormatError, match="before it begins"):
            parse_trust(Trust(DOMAIN, TRUST.logs, keys).to_bytes())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "accord-trust/v2"),
        ("format", None),
        ("trust_domain", 1),
        ("logs", {}),
        ("logs", [1]),
        ("logs", ["accord.example/ledger/1/0"]),
        ("logs", [TRUST.logs[0].vkey[:-1] + "A"]),
        ("logs", [TRUST.logs[0].vkey.replace("+", "+0", 1)]),
        ("keys", {}),
        ("keys", [1]),
        ("keys", [json()["keys"][0] | {"role": "root"}]),
        ("keys", [json()["keys"][0] | {"jwk": {}}]),
        ("keys", [json()["keys"][0] | {"from": "2026"}]),
        ("keys", [json()["keys"][0] | {"until": 1}]),
        ("keys", [json()["keys"][0] | {"more": 1}]),
        ("more", 1),
    ],
)
def test_trust_of_another_form_is_refused(name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        parse_trust(dumps(json() | {name: value}))
