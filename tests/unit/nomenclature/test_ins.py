"""The INS: which matricules are right, which roots are accepted where, and what is never shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import AccordError, Reason
from services.nomenclature.ins import Ins, is_ins_root, key_is_valid, parse_ins
from services.nomenclature.oids import INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST, PS_IDNAT

VALID = ("279035121518989", "146026322000196", "124018852493334", "277076322082910")
PUBLISHED_BUT_WRONG = ("123456789012345", "221042545611404", "222127505611201", "224027511583555")


@pytest.mark.parametrize("matricule", VALID)
def test_a_right_key_is_accepted(matricule: str) -> None:
    assert key_is_valid(matricule)
    assert parse_ins(INS_NIR, matricule, allow_test=False) == Ins(INS_NIR, matricule)


@pytest.mark.parametrize("matricule", PUBLISHED_BUT_WRONG)
def test_a_wrong_key_is_refused_though_published(matricule: str) -> None:
    with pytest.raises(AccordError) as refused:
        parse_ins(INS_NIR, matricule, allow_test=True)
    assert refused.value.reason is Reason.INS_INVALID


@pytest.mark.parametrize(("number", "key"), [("185052A004123", "56"), ("185052B004123", "83")])
def test_corsica_counts_2a_as_19_and_2b_as_18(number: str, key: str) -> None:
    assert [k for k in range(100) if key_is_valid(f"{number}{k:02d}")] == [int(key)]


@pytest.mark.parametrize(
    "matricule",
    [
        "",
        "2790351215189",
        "27903512151898",
        "2790351215189890",
        " 79035121518989",
        "279035121518989\n",
        "2790351215189 89",
        "185052a00412356",
        "18505A200412356",
        "1850520A0412356",
        "٢79035121518989",
        "000000000000097",
    ],
)
def test_another_form_is_refused(matricule: str) -> None:
    assert not key_is_valid(matricule)
    with pytest.raises(AccordError) as refused:
        parse_ins(INS_NIR, matricule, allow_test=True)
    assert refused.value.reason is Reason.INS_INVALID


@given(st.integers(10**12, 10**13 - 1), st.integers(0, 99))
def test_exactly_one_key_fits_a_number(number: int, key: int) -> None:
    assert key_is_valid(f"{number}{key:02d}") == (1 <= key <= 97 and (number + key) % 97 == 0)


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert not key_is_valid(text) or len(text) == 15


@pytest.mark.parametrize("root", [INS_NIR_TEST, INS_NIR_DEMO])
def test_a_test_root_passes_only_where_allowed(root: str) -> None:
    assert parse_ins(root, VALID[0], allow_test=True).root == root
    with pytest.raises(AccordError) as refused:
        parse_ins(root, VALID[0], allow_test=False)
    assert refused.value.reason is Reason.INS_TEST_REFUSED


@pytest.mark.parametrize("root", [INS_NIR, INS_NIA])
def test_a_real_root_passes_everywhere(root: str) -> None:
    assert parse_ins(root, VALID[0], allow_test=False) == parse_ins(root, VALID[0], allow_test=True)


@pytest.mark.parametrize("root", ["", "1.2.250.1.213.1.4.7", "1.2.250.1.213.1.4.13", f"urn:oid:{INS_NIR}", PS_IDNAT])
def test_another_root_is_no_ins(root: str) -> None:
    assert not is_ins_root(root)
    with pytest.raises(AccordError) as refused:
        parse_ins(root, VALID[0], allow_test=True)
    assert refused.value.reason is Reason.INS_INVALID


def test_neither_repr_nor_error_shows_the_matricule() -> None:
    ins = parse_ins(INS_NIR, VALID[0], allow_test=False)
    assert VALID[0] not in repr(ins) + str(ins) + f"{[ins]}"
    with pytest.raises(AccordError) as refused:
        parse_ins(INS_NIR, "123456789012345", allow_test=False)
    assert "123456789012345" not in str(refused.value) + refused.value.detail
