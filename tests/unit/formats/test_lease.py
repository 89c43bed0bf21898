"""The lease and the snapshot it names: nothing forged, reordered, left out or of another domain."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.formats import jws
from services.formats.canonical import FormatError, dumps, loads
from services.formats.entry import Pin
from services.formats.jwk import LocalSigner
from services.formats.lease import (
    MAX_AGE_S,
    MAX_RECORD,
    TYP,
    Convention,
    Lease,
    ServiceRecord,
    Status,
    open_lease,
    parse_record,
    parse_snapshot,
    sign_lease,
    snapshot_hash,
)
from services.formats.rights import Direction, Purpose, Scope
from services.tlog.tree import EMPTY_ROOT, leaf_hash, node_hash
from tests.support.evidence import DAY_MS, DOMAIN, NOW_MS, signer

KEY = signer("lease")
PIN = Pin(7, "a" * 64)
SCOPE = Scope(frozenset({"class:10", "class:42"}), frozenset(Direction), frozenset({Purpose.CARE}))


def record(name: str = "lumen", **changes: Any) -> ServiceRecord:
    good = ServiceRecord(
        name=f"services/{name}",
        organization="organizations/editions",
        oid="1.2.250.1.999",
        status=Status.REFERENCED_WITH_EXCHANGE,
        spiffe_id=f"spiffe://{DOMAIN}/service/{name}",
        endpoint="localhost:8443",
        convention=Convention(SCOPE, NOW_MS, NOW_MS + DAY_MS, "b" * 64, ins_in_documents=False),
        keys=(signer(name).verify_key, LocalSigner(ec.derive_private_key(9, ec.SECP256R1())).verify_key),
    )
    return replace(good, **changes)


def lease_of(records: list[bytes]) -> Lease:
    return Lease(Pin(1, snapshot_hash(records)), len(records), NOW_MS // 1000, 30, "")


def snapshot(*names: str) -> list[bytes]:
    return [record(name).to_bytes() for name in names]


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("endpoint", ["", "carnet.example:443"])
def test_a_record_reads_back_from_its_bytes(status: Status, endpoint: str) -> None:
    whole = record(status=status, endpoint=endpoint)
    assert parse_record(whole.to_bytes()) == whole


def test_a_record_finds_its_keys_by_thumbprint_only() -> None:
    found = record()
    assert [found.key(key.kid) for key in found.keys] == list(found.keys)
    assert found.key(signer("other").verify_key.kid) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "lumen"),
        ("organization", "services/lumen"),
        ("status", "REFERENCED"),
        ("oid", 1),
        ("spiffe_id", None),
        ("spiffe_id", f"spiffe://{DOMAIN}/service/other"),
        ("spiffe_id", f"spiffe://{DOMAIN}/service/lumen/x"),
        ("spiffe_id", "spiffe:///service/lumen"),
        ("spiffe_id", f"https://{DOMAIN}/service/lumen"),
        ("endpoint", "https://carnet.example"),
        ("endpoint", "carnet.example"),
        ("endpoint", "unix:/run/x"),
        ("endpoint", "Carnet:1"),
        ("keys", [{}]),
        ("keys", [record().keys[0].jwk | {"d": "AA"}]),
        ("keys", {}),
        ("convention", {}),
        ("convention", loads(record().to_bytes())["convention"] | {"more": 1}),
        ("convention", loads(record().to_bytes())["convention"] | {"ins_in_documents": 1}),
        ("convention", loads(record().to_bytes())["convention"] | {"notice_sha256": ""}),
        ("convention", loads(record().to_bytes())["convention"] | {"start": "now"}),
        ("convention", loads(record().to_bytes())["convention"] | {"purposes": ["RESEARCH"]}),
        ("more", 1),
    ],
)
def test_a_record_of_another_form_is_refused(name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        parse_record(dumps(loads(record().to_bytes()) | {name: value}))


def test_a_record_has_one_spelling_and_a_limit() -> None:
    with pytest.raises(FormatError, match="canonical"):
        parse_record(record().to_bytes() + b" ")
    with pytest.raises(FormatError, match="longer"):
        parse_record(record(oid="1" * MAX_RECORD).to_bytes())


def test_a_convention_is_in_force_from_its_start_until_before_its_end() -> None:
    convention = record().convention
    instants = (NOW_MS - 1, NOW_MS, NOW_MS + DAY_MS - 1, NOW_MS + DAY_MS)
    assert [convention.in_force(at) for at in instants] == [False, True, True, False]


def test_the_hash_of_a_snapshot_is_the_rfc_9162_root_of_its_records() -> None:
    one, two, three = (leaf_hash(item) for item in (b"1", b"2", b"3"))
    assert snapshot_hash([]) == EMPTY_ROOT.hex()
    assert snapshot_hash([b"1", b"2", b"3"]) == node_hash(node_hash(one, two), three).hex()


def test_a_snapshot_reads_back_by_name() -> None:
    raw = snapshot("alpha", "beta", "gamma")
    services = parse_snapshot(lease_of(raw), raw)
    assert list(services) == ["services/alpha", "services/beta", "services/gamma"]
    assert parse_snapshot(lease_of([]), []) == {}


def test_records_that_the_lease_does_not_name_are_refused() -> None:
    raw = snapshot("alpha", "beta")
    lease = lease_of(raw)
    forged = record("beta", status=Status.SUSPENDED).to_bytes()
    for other in ([], raw[:1], raw[::-1], [*raw, raw[1]], [raw[0], forged], [raw[0], raw[0]]):
        with pytest.raises(FormatError, match="not the lease's snapshot"):
            parse_snapshot(lease, other)
    with pytest.raises(FormatError, match="not the lease's snapshot"):
        parse_snapshot(replace(lease, size=3), raw)


def test_a_snapshot_out_of_order_or_with_a_name_twice_is_refused_even_when_signed() -> None:
    for raw in (snapshot("beta", "alpha"), snapshot("alpha", "alpha")):
        with pytest.raises(FormatError, match="order"):
            parse_snapshot(lease_of(raw), raw)


def open_(token: str, domain: str = DOMAIN) -> Lease:
    return open_lease(token, domain, {KEY.verify_key.kid: KEY.verify_key}.get)


def test_a_lease_reads_back() -> None:
    token = sign_lease(KEY, DOMAIN, PIN, 12, NOW_MS + 999)
    assert open_(token) == Lease(PIN, 12, NOW_MS // 1000, MAX_AGE_S, token)


def test_a_lease_of_another_domain_or_key_or_typ_is_refused() -> None:
    with pytest.raises(FormatError, match="trust domain"):
        open_(sign_lease(KEY, "other.example", PIN, 12, NOW_MS))
    with pytest.raises(FormatError, match="unknown key"):
        open_(sign_lease(signer("other"), DOMAIN, PIN, 12, NOW_MS))
    claims = jws.peek(sign_lease(KEY, DOMAIN, PIN, 12, NOW_MS), TYP)[0]
    with pytest.raises(FormatError, match="typ"):
        open_(jws.sign(KEY, "accord-permit+jws", dumps(claims)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence", -1),
        ("sequence", "7"),
        ("snapshot", "A" * 64),
        ("size", -1),
        ("iat", None),
        ("max_age", 0),
        ("max_age", MAX_AGE_S + 1),
        ("max_age", "30"),
        ("iss", ""),
        ("exp", 1),
    ],
)
def test_a_lease_of_another_form_is_refused(name: str, value: Any) -> None:
    claims = jws.peek(sign_lease(KEY, DOMAIN, PIN, 12, NOW_MS), TYP)[0]
    with pytest.raises(FormatError):
        open_(jws.sign(KEY, TYP, dumps(claims | {name: value})))
    with pytest.raises(FormatError):
        open_(jws.sign(KEY, TYP, dumps({other: claims[other] for other in claims if other != name} | {"exp": 1})))
