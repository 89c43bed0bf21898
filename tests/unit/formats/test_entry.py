"""Ledger entries: what is written reads back, and no other bytes are an entry."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import Reason
from services.formats.canonical import MAX_INTEGER, FormatError, dumps, loads
from services.formats.entry import (
    MAX_ENTRY,
    Entry,
    EntryType,
    Outcome,
    OutcomeResult,
    Pin,
    commitment,
    parse_entry,
    sha256_hex,
)

HEX = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.from_regex(r"services/[a-z0-9][a-z0-9-]{1,38}[a-z0-9]", fullmatch=True)
INSTANTS = st.integers(-62_135_596_800_000, 253_402_300_799_999)
COUNTS = st.integers(0, MAX_INTEGER)
REVISIONS = st.builds(
    lambda id_, number: f"consents/{id_.hex()}/revisions/{number}",
    st.binary(min_size=16, max_size=16),
    st.integers(1, 999_999_999),
)
OUTCOMES = st.builds(
    Outcome, COUNTS, st.sampled_from(OutcomeResult), COUNTS, st.none() | INSTANTS, st.none() | INSTANTS
)
ENTRIES = st.builds(
    Entry,
    type=st.sampled_from(EntryType),
    time_ms=INSTANTS,
    shard=COUNTS,
    registry=st.builds(Pin, COUNTS, HEX),
    commit=HEX,
    actor=st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True),
    subject=st.just("") | HEX,
    service=st.just("") | NAMES,
    counterparty=st.just("") | NAMES,
    resources=st.lists(REVISIONS, max_size=3).map(tuple),
    basis=st.sampled_from(["", "consent"]),
    reason=st.none() | st.sampled_from(Reason),
    until_ms=st.none() | INSTANTS,
    exchange=st.just("") | HEX,
    attempt=COUNTS,
    outcome=st.none() | OUTCOMES,
)
FULL = Entry(
    type=EntryType.EXCHANGE_OUTCOME,
    time_ms=1_795_443_328_123,
    shard=3,
    registry=Pin(7, "a" * 64),
    commit="b" * 64,
    actor="broker",
    subject="c" * 64,
    service="services/lumen",
    counterparty="services/carnet",
    resources=(f"consents/{'d' * 32}/revisions/1", f"consents/{'e' * 32}/revisions/2"),
    basis="consent",
    reason=Reason.CONSENT_REVOKED,
    until_ms=1_795_443_333_000,
    exchange="f" * 64,
    attempt=2,
    outcome=Outcome(5, OutcomeResult.DELIVERED, 1234, 1_795_443_328_200, 1_795_443_328_300),
)
EMPTY: dict[str, Any] = {
    "subject": "",
    "service": "",
    "counterparty": "",
    "resources": [],
    "basis": "",
    "reason": "",
    "until": "",
    "exchange": "",
    "attempt": 0,
}
WRONG: list[tuple[str, Any]] = [
    ("v", 0),
    ("v", 2),
    ("v", "1"),
    ("v", True),
    ("type", "exchange.unknown"),
    ("type", ""),
    ("time", "2026-11-23T14:15:28Z"),
    ("time", "999-11-23T14:15:28.000Z"),
    ("time", 1),
    ("shard", -1),
    ("shard", "0"),
    ("commit", "A" * 64),
    ("commit", "a" * 63),
    ("commit", ""),
    ("actor", ""),
    ("actor", "Holder"),
    ("actor", "a" * 41),
    ("subject", "279035121518989"),
    ("service", "lumen"),
    ("counterparty", "services/"),
    ("resources", ["consents/1/revisions/1"]),
    ("resources", [f"consents/{'d' * 32}/revisions/0"]),
    ("resources", [f"consents/{'d' * 32}/revisions/01"]),
    ("resources", [f"consents/{'d' * 32}"]),
    ("resources", "consents"),
    ("basis", "Consent"),
    ("reason", "BECAUSE"),
    ("until", "soon"),
    ("exchange", "f" * 65),
    ("attempt", -1),
    ("outcome", ""),
    ("outcome", {}),
    ("registry", {"sequence": 1}),
    ("registry", {"sequence": 1, "hash": "a"}),
    ("registry", {"sequence": 1, "hash": "a" * 64, "more": 1}),
    ("registry", [1]),
]
WRONG_OUTCOME: list[tuple[str, Any]] = [
    ("authorization", -1),
    ("result", "SENT"),
    ("bytes", -1),
    ("bytes", "1"),
    ("first", ""),
    ("last", "x"),
    ("more", 1),
]


def members(entry: Entry = FULL) -> dict[str, Any]:
    value: dict[str, Any] = loads(entry.to_bytes())
    return value


@given(ENTRIES)
def test_an_entry_reads_back_from_its_bytes(entry: Entry) -> None:
    assert parse_entry(entry.to_bytes()) == entry


def test_the_bytes_of_an_entry_are_these() -> None:
    """Whoever verifies a log in ten years has only these bytes: they never change within version 1."""
    a, b, c, d, e, f = (letter * 64 for letter in "abcdef")
    assert FULL.to_bytes().decode() == (
        f'{{"actor":"broker","attempt":2,"basis":"consent","commit":"{b}","counterparty":"services/carnet",'
        f'"exchange":"{f}","outcome":{{"authorization":5,"bytes":1234,"first":"2026-11-23T14:15:28.200Z",'
        f'"last":"2026-11-23T14:15:28.300Z","result":"DELIVERED"}},"reason":"CONSENT_REVOKED",'
        f'"registry":{{"hash":"{a}","sequence":7}},"resources":["consents/{d[:32]}/revisions/1",'
        f'"consents/{e[:32]}/revisions/2"],"service":"services/lumen","shard":3,"subject":"{c}",'
        '"time":"2026-11-23T14:15:28.123Z","type":"exchange.outcome","until":"2026-11-23T14:15:33.000Z","v":1}'
    )
    assert Entry(EntryType.REGISTRY_OBSERVED, 0, 0, Pin(0, "0" * 64), "1" * 64, "ledger").to_bytes() == (
        b'{"actor":"ledger","commit":"' + b"1" * 64 + b'","registry":{"hash":"' + b"0" * 64 + b'","sequence":0},'
        b'"shard":0,"time":"1970-01-01T00:00:00.000Z","type":"registry.observed","v":1}'
    )


def test_an_unknown_member_is_refused() -> None:
    for value in (members() | {"more": 1}, members() | {"subject_name": "x"}):
        with pytest.raises(FormatError, match="unknown member"):
            parse_entry(dumps(value))


@pytest.mark.parametrize(("name", "value"), EMPTY.items())
def test_an_empty_member_is_refused_for_it_would_be_a_second_spelling(name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        parse_entry(dumps(members() | {name: value}))


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_member_of_another_form_is_refused(name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        parse_entry(dumps(members() | {name: value}))


@pytest.mark.parametrize(("name", "value"), WRONG_OUTCOME)
def test_an_outcome_of_another_form_is_refused(name: str, value: Any) -> None:
    with pytest.raises(FormatError):
        parse_entry(dumps(members() | {"outcome": members()["outcome"] | {name: value}}))


@pytest.mark.parametrize("name", ["v", "type", "time", "shard", "registry", "commit", "actor"])
def test_an_entry_without_one_of_its_constant_members_is_refused(name: str) -> None:
    with pytest.raises(FormatError, match="missing"):
        parse_entry(dumps({other: value for other, value in members().items() if other != name}))


def test_bytes_that_are_not_their_own_canonical_form_are_refused() -> None:
    data = FULL.to_bytes()
    for other in (data + b"\n", b" " + data, data.replace(b":", b": ", 1), data.replace(b"broker", b"br\\u006fker")):
        with pytest.raises(FormatError, match="canonical"):
            parse_entry(other)


def test_an_entry_has_at_most_65535_bytes() -> None:
    one = len(f',"consents/{"d" * 32}/revisions/1"')
    fits = (MAX_ENTRY - len(replace(FULL, resources=FULL.resources[:1]).to_bytes())) // one
    largest = replace(FULL, resources=FULL.resources[:1] * (fits + 1))
    assert MAX_ENTRY - one < len(largest.to_bytes()) <= MAX_ENTRY
    assert parse_entry(largest.to_bytes()) == largest
    with pytest.raises(FormatError, match="longer"):
        parse_entry(replace(FULL, resources=FULL.resources[:1] * (fits + 2)).to_bytes())


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"null", b'"x"', b"{}", b"\xff"])
def test_other_values_are_no_entry(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_entry(data)


@given(st.integers(0, len(FULL.to_bytes()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_another_entry(position: int, mask: int) -> None:
    data = bytearray(FULL.to_bytes())
    data[position] ^= mask
    try:
        assert parse_entry(bytes(data)) != FULL
    except FormatError:
        return


def test_a_commitment_is_the_hash_of_salt_and_body() -> None:
    assert commitment(b"s" * 32, b"body") == sha256(b"s" * 32 + b"body").hexdigest()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_salt_of_another_length_is_refused_for_it_could_swallow_the_body_s_beginning(size: int) -> None:
    with pytest.raises(FormatError):
        commitment(b"s" * size, b"body")


def test_text_is_hashed_as_utf_8() -> None:
    assert sha256_hex("é") == sha256_hex("é".encode()) == sha256("é".encode()).hexdigest()
