"""Each value has one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.canonical import MAX_INTEGER, decode_base64, decode_decimal, decode_hash, encode_base64


@given(st.binary(max_size=80))
def test_bytes_survive_base64(data: bytes) -> None:
    assert decode_base64(encode_base64(data)) == data


@given(st.text(alphabet="AQgw+/=_- \n", max_size=9))
def test_base64_that_decodes_at_all_encodes_back_to_the_same_text(text: str) -> None:
    try:
        data = decode_base64(text)
    except ValueError:
        return
    assert encode_base64(data) == text


@pytest.mark.parametrize(
    "text", ["QQ", "QQ=", "QR==", "QQ==\n", " QQ==", "Q Q=", "QQ==QQ==", "QUJ=", "-_-_", "====", "A", "é", "QQ==="]
)
def test_base64_in_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode_base64(text)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_hash_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        decode_hash(encode_base64(bytes(length)))


@given(st.integers(0, MAX_INTEGER))
def test_a_number_is_read_in_its_shortest_form(number: int) -> None:
    assert decode_decimal(str(number)) == number


def test_the_largest_number_is_that_of_63_bits() -> None:
    assert decode_decimal("9223372036854775807") == MAX_INTEGER


@pytest.mark.parametrize(
    "text",
    ["", "00", "01", "+1", "-1", "-0", " 1", "1 ", "1\n", "1_0", "0x1", "1.0", "１", "٣", str(2**63), "9" * 9999],
)  # fmt: skip
def test_a_number_in_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="decimal"):
        decode_decimal(text)
