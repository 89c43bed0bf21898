"""Identifiers of professionals and structures: form, check digit, and the published examples that break it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.nomenclature.professions import (
    PROFESSIONS,
    adeli_is_valid,
    finess_is_valid,
    luhn_is_valid,
    ps_idnat_is_valid,
    rpps_is_valid,
    siren_is_valid,
    siret_is_valid,
    struct_idnat_is_valid,
)


@given(st.from_regex(r"[0-9]{1,20}", fullmatch=True))
def test_exactly_one_digit_completes_a_luhn_number(digits: str) -> None:
    assert sum(luhn_is_valid(f"{digits}{d}") for d in range(10)) == 1


@given(st.from_regex(r"[0-9]{2,20}", fullmatch=True).filter(luhn_is_valid), st.data())
def test_a_changed_digit_breaks_a_luhn_number(digits: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(digits) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != digits[at]]))
    assert not luhn_is_valid(digits[:at] + other + digits[at + 1 :])


@pytest.mark.parametrize("text", ["", "79927398710", "7992739871", "7992739871x", " 79927398713", "٧٩٩٢٧٣٩٨٧١٣"])
def test_anything_else_is_no_luhn_number(text: str) -> None:
    assert luhn_is_valid("79927398713")
    assert not luhn_is_valid(text)


def test_an_rpps_has_eleven_digits_and_a_check_digit() -> None:
    assert rpps_is_valid("99700218896")
    assert rpps_is_valid("01234567897")
    assert not rpps_is_valid("99700218897")
    assert not rpps_is_valid("9970021889")
    assert not rpps_is_valid("00000000000")


def test_published_rpps_pass_only_without_the_check_digit() -> None:
    assert not ps_idnat_is_valid("801234534765")
    assert ps_idnat_is_valid("801234534765", check_luhn=False)


@pytest.mark.parametrize("value", ["899700218896", "0759300120", "02A9300120"])
def test_a_professional_is_8_and_an_rpps_or_0_and_an_adeli(value: str) -> None:
    assert ps_idnat_is_valid(value)


@pytest.mark.parametrize(
    "value", ["", "8", "0", "99700218896", "399700218896", "8997002188966", "578435954900010/1.2", "0A59300120"]
)
def test_another_prefix_or_length_is_no_professional(value: str) -> None:
    assert not ps_idnat_is_valid(value)
    assert not ps_idnat_is_valid(value, check_luhn=False)


def test_an_adeli_has_nine_characters() -> None:
    assert adeli_is_valid("759300120")
    assert not adeli_is_valid("75930012")
    assert not adeli_is_valid("2C9300120")


@pytest.mark.parametrize("value", ["1750100125", "2356000000", "2920004173", "392000417300018"])
def test_a_structure_is_a_finess_a_siren_or_a_siret(value: str) -> None:
    assert struct_idnat_is_valid(value)


@pytest.mark.parametrize(
    "value", ["", "1", "750100125", "1750100126", "2920004174", "392000417300019", "4920004173", "2000000000"]
)
def test_a_wrong_digit_or_prefix_is_no_structure(value: str) -> None:
    assert not struct_idnat_is_valid(value)


def test_a_structure_s_form_can_be_checked_alone() -> None:
    assert struct_idnat_is_valid("1750100126", check_luhn=False)
    assert struct_idnat_is_valid("2801234567", check_luhn=False)
    assert not struct_idnat_is_valid("280123456", check_luhn=False)


def test_a_corsican_finess_is_checked_for_form() -> None:
    assert finess_is_valid("2A0000014")
    assert not finess_is_valid("2A000001")


def test_a_siret_needs_a_right_siren_and_a_right_key() -> None:
    assert siren_is_valid("920004173")
    assert siret_is_valid("92000417300018")
    assert not siret_is_valid("92000417300017")
    assert not siret_is_valid("92000417400017")


def test_la_poste_s_sites_follow_their_own_rule() -> None:
    assert siret_is_valid("35600000049837")
    assert not siret_is_valid("35600000049838")


def test_professions_are_named_by_their_code() -> None:
    assert PROFESSIONS["26"] == "Audioprothésiste"
    assert len(PROFESSIONS) == 15
