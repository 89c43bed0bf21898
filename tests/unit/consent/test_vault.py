"""The vault: what is sealed opens in its own place under its own key, and nowhere else."""

import os
from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.keys import derive
from services.consent.vault import Vault, subject_of
from services.nomenclature.ins import Ins
from tests.support.ledgers import ins

VAULT = Vault(lambda label: derive(b"m" * 32, label), os.urandom)
OTHER = Vault(lambda label: derive(b"n" * 32, label), os.urandom)
KEY, SALT = b"k" * 32, b"s" * 32


def test_a_data_key_comes_back_for_its_owner_and_year_only() -> None:
    key = VAULT.new_key()
    wrapped = VAULT.wrap(key, 1, 2, 2026)
    assert VAULT.unwrap(wrapped, 1, 2, 2026) == key
    for place in ((0, 2, 2026), (1, 3, 2026), (1, 2, 2027), (12, 2, 2026), (1, 22, 2026)):
        with pytest.raises(InvalidTag):
            VAULT.unwrap(wrapped, *place)
    with pytest.raises(InvalidTag):
        OTHER.unwrap(wrapped, 1, 2, 2026)


def test_new_keys_are_never_the_same() -> None:
    assert len({VAULT.new_key() for _ in range(50)}) == 50


@given(st.binary(max_size=80))
def test_an_opening_comes_back_in_its_own_place_only(body: bytes) -> None:
    sealed = VAULT.seal_opening(KEY, SALT, body, "log|7")
    assert VAULT.open_opening(KEY, sealed, "log|7") == (SALT, body)
    for key, place in ((KEY, "log|8"), (KEY, "log|77"), (KEY, "other|7"), (b"K" * 32, "log|7")):
        with pytest.raises(InvalidTag):
            VAULT.open_opening(key, sealed, place)


def test_an_identity_comes_back_under_its_patient_s_key_only() -> None:
    sealed = VAULT.seal_ins(KEY, ins(1))
    assert VAULT.open_ins(KEY, sealed) == ins(1)
    with pytest.raises(InvalidTag):
        VAULT.open_ins(b"K" * 32, sealed)


@pytest.mark.parametrize("seal", [lambda: VAULT.seal_ins(KEY, ins(1)), lambda: VAULT.wrap(KEY, 0, 1, 2026)])
def test_what_is_sealed_twice_looks_different_and_never_shows_what_it_holds(seal: Callable[[], bytes]) -> None:
    one, other = seal(), seal()
    assert one != other
    assert ins(1).matricule.encode() not in one
    assert KEY not in one


def test_every_changed_byte_of_what_is_sealed_is_noticed() -> None:
    sealed = VAULT.seal_opening(KEY, SALT, b"body", "log|7")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        with pytest.raises(InvalidTag):
            VAULT.open_opening(KEY, bytes(changed), "log|7")
    with pytest.raises(InvalidTag):
        VAULT.open_opening(KEY, sealed[:-1], "log|7")


def test_an_identity_is_found_by_a_keyed_hash_of_all_of_it() -> None:
    hashed = VAULT.ins_hash(ins(1))
    same = Ins(ins(1).root, ins(1).matricule)
    assert VAULT.ins_hash(same) == hashed
    assert VAULT.is_ins(hashed, same)
    others = (ins(2), Ins("1.2.250.1.213.1.4.8", ins(1).matricule), Ins(ins(1).root + "1", ins(1).matricule[1:]))
    for other in others:
        assert not VAULT.is_ins(hashed, other)
    assert OTHER.ins_hash(same) != hashed


def test_a_subject_is_the_same_within_patient_and_audience_and_never_across() -> None:
    subjects = {subject_of(key, audience) for key in (KEY, b"K" * 32) for audience in ("services/a", "services/b")}
    assert len(subjects) == 4
    assert all(len(item) == 64 for item in subjects)
    assert subject_of(KEY, "services/a") == subject_of(KEY, "services/a")
