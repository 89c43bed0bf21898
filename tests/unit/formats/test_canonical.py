"""Strict JSON: one spelling of each value in, and RFC 8785 out."""

import re
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from services.formats.canonical import MAX_INTEGER, FormatError, Members, dumps, loads, loads_canonical
from services.formats.rights import Purpose

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner),
    max_leaves=12,
)
REFUSED = {
    "a member that occurs twice": b'{"a":1,"a":1}',
    "a nested member that occurs twice": b'{"a":{"b":1,"b":2}}',
    "a member that occurs twice under two spellings": b'{"a":1,"\\u0061":2}',
    "a float": b'{"a":1.0}',
    "an exponent": b'{"a":1e3}',
    "minus zero": b'{"a":-0}',
    "not a number": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "2^53": b"9007199254740992",
    "-2^53": b"-9007199254740992",
    "an integer that takes long to read": b"1" * 100_000,
    "a name that is not ASCII": '{"é":1}'.encode(),
    "a name that is not ASCII, escaped": b'{"\\u00e9":1}',
    "a leading zero": b"01",
    "a trailing comma": b"[1,]",
    "a comment": b"[1]//",
    "a control character in a string": b'"\x01"',
    "two values": b"1 2",
    "nothing": b"",
    "half a surrogate pair": b'{"a":"\\ud800"}',
    "the two halves in the wrong order": b'["\\udc00\\ud800"]',
    "UTF-8 that is none": b'"\xff"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "a byte order mark": b"\xef\xbb\xbf1",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32-be"),
    "a bomb of arrays": b"[" * 100_000,
    "a closed bomb of arrays": b"[" * 100_000 + b"]" * 100_000,
    "a bomb of objects": b'{"a":' * 100_000,
}
NOT_CANONICAL = {
    "white space": b'{"a": 1}',
    "a final newline": b'{"a":1}\n',
    "members out of order": b'{"b":1,"a":2}',
    "an escape that is not needed": b'{"a":"\\u0062"}',
    "an escaped solidus": b'{"a":"\\/"}',
    "an escape in capitals": b'{"a":"\\u001F"}',
    "an escape with a shorter form": b'{"a":"\\u000a"}',
    "a pair of escapes for one character": b'{"a":"\\ud83d\\ude00"}',
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_json_leaves_open_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        loads(data)
    with pytest.raises(FormatError):
        loads_canonical(data, 1 << 20)


@pytest.mark.parametrize("data", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_a_second_spelling_of_a_value_is_read_strictly_but_never_canonically(data: bytes) -> None:
    loads(data)
    with pytest.raises(FormatError, match="canonical"):
        loads_canonical(data, 1000)


def test_whatever_its_depth_json_is_read_or_refused() -> None:
    """Around the interpreter's own limit above all, where reading may succeed and writing fail."""
    refused = 0
    for depth in range(900, 1050):
        for data in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            try:
                loads_canonical(data, 1 << 20)
            except FormatError:
                refused += 1
    assert refused > 0


@given(VALUES)
def test_every_value_has_one_canonical_form_that_reads_back(value: object) -> None:
    data = dumps(value)
    assert loads_canonical(data, len(data)) == value
    with pytest.raises(FormatError, match="longer"):
        loads_canonical(data, len(data) - 1)


@given(VALUES | st.dictionaries(st.text(), VALUES, max_size=3))
def test_the_canonical_form_is_the_one_of_the_reference_implementation(value: Any) -> None:
    assert dumps(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", ['\x00\x1f\x7f\x80\u2028\u2029/\\"\b\f\n\r\t', "é\U0001f600", Purpose.CARE, 10**15, [], {}, ""]
)
def test_so_it_is_where_encoders_differ(value: Any) -> None:
    assert dumps({"a": value}) == rfc8785.dumps({"a": value})


@pytest.mark.parametrize("value", [2**53, "\ud800", object(), float("nan"), {1: 2}, b"x"])
def test_what_has_no_canonical_form_is_not_written(value: object) -> None:
    with pytest.raises(ValueError):
        dumps([value])


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_reading_never_fails_in_another_way(data: bytes | str) -> None:
    try:
        loads(data)
    except FormatError:
        return


def test_the_largest_integers_are_read() -> None:
    assert loads(b"[9007199254740991,-9007199254740991,0]") == [MAX_INTEGER, -MAX_INTEGER, 0]


def test_an_error_never_quotes_what_was_read() -> None:
    with pytest.raises(FormatError) as caught:
        loads(b'{"a":"279035121518989')
    assert "2790" not in str(caught.value)


def test_members_refuse_what_was_not_asked_for() -> None:
    members = Members({"a": "x", "b": 1}, "thing")
    assert members.text("a") == "x"
    with pytest.raises(FormatError, match="unknown member"):
        members.done()
    assert members.integer("b") == 1
    members.done()


@pytest.mark.parametrize("value", [1, None, True, ["x"], {"x": 1}])
def test_a_text_member_is_a_string(value: object) -> None:
    with pytest.raises(FormatError):
        Members({"a": value}, "thing").text("a")


@pytest.mark.parametrize("value", [True, False, "1", None, -1, [1]])
def test_an_integer_member_is_a_non_negative_integer_and_no_boolean(value: object) -> None:
    with pytest.raises(FormatError):
        Members({"a": value}, "thing").integer("a")


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_a_boolean_member_is_a_boolean(value: object) -> None:
    with pytest.raises(FormatError):
        Members({"a": value}, "thing").boolean("a")


@pytest.mark.parametrize("value", ["x", {"0": "x"}, None, 1])
def test_an_array_member_is_an_array(value: object) -> None:
    with pytest.raises(FormatError):
        Members({"a": value}, "thing").texts("a")


def test_absent_members_are_missing_unless_they_have_a_default() -> None:
    members = Members({}, "thing")
    assert (members.text("a", default=""), members.integer("b", default=0), members.texts("c")) == ("", 0, ())
    for read in (members.text, members.integer, members.boolean, members.object, members.value):
        with pytest.raises(FormatError, match="missing"):
            read("d")


def test_a_pattern_must_match_the_whole_of_a_text() -> None:
    pattern = re.compile("[a-z]+")
    for value in ("ab1", "ab\n", " ab", ""):
        with pytest.raises(FormatError, match="wrong form"):
            Members({"a": value}, "thing").text("a", pattern)
        with pytest.raises(FormatError, match="wrong form"):
            Members({"a": ["ab", value]}, "thing").texts("a", pattern)


def test_only_an_object_has_members() -> None:
    others: tuple[object, ...] = ([], "x", 1, None)
    for value in others:
        with pytest.raises(FormatError, match="not an object"):
            Members(value, "thing")
        with pytest.raises(FormatError, match="not an object"):
            Members({"a": value}, "thing").object("a")
