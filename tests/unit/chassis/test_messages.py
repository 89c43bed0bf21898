"""Exact messages: what is let through, and what is not exactly its type."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.messages import MAX_REORDERED_BYTES, strict
from services.errors import AccordError, Reason
from tests.support.echo import Ping

DECODE = strict(Ping.FromString)
PINGS = st.recursive(
    st.builds(
        lambda text, numbers, labels: Ping(text=text, numbers=numbers, labels=labels),
        st.text(max_size=8),
        st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
        st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    ),
    lambda inner: st.builds(lambda one, left: Ping(inner=one, left=left), inner, st.text(max_size=3)),
    max_leaves=4,
)
TEXT, INNER, NUMBERS, LEFT, RIGHT = b"\x0a\x01x", b"\x12\x00", b"\x1a\x01\x05", b"\x22\x00", b"\x2a\x00"


def _refused(raw: bytes) -> bool:
    with pytest.raises(AccordError) as caught:
        DECODE(raw)
    return caught.value.reason is Reason.MESSAGE_MALFORMED


@given(PINGS)
def test_what_a_library_encodes_is_let_through(ping: Any) -> None:
    assert DECODE(ping.SerializeToString()) == ping


@given(PINGS)
def test_an_unknown_field_at_any_depth_is_refused(ping: Any) -> None:
    inner = ping.SerializeToString() + b"\xf8\x07\x01"
    assert _refused(inner)
    if len(inner) < 128:
        assert _refused(b"\x12" + bytes([len(inner)]) + inner)


@given(st.permutations([TEXT, INNER, NUMBERS, LEFT, b"\x32\x00", b"\x32\x06\x0a\x01k\x12\x01v"]))
def test_the_order_of_fields_is_free(fields: list[bytes]) -> None:
    whole = b"\x32\x04\x0a\x00\x12\x00"  # a map entry as libraries write it, with both its fields
    raw = b"".join(field if field != b"\x32\x00" else whole for field in fields)
    assert DECODE(raw) == Ping.FromString(raw)


def test_the_order_of_fields_is_free_within_a_submessage_too() -> None:
    assert DECODE(b"\x12\x06" + NUMBERS + TEXT).inner.text == "x"


@pytest.mark.parametrize("raw", [
    TEXT + TEXT, INNER + INNER, LEFT + RIGHT, LEFT + LEFT, b"\x12\x06" + TEXT + TEXT, NUMBERS + NUMBERS,
    b"\x18\x05", b"\x32\x00", b"\x0a\x81\x00x", b"\x8a\x00\x01x", b"\x0a\x00", b"\x0b\x0c",
    TEXT[:-1], b"\x0a\x01\xff", b"\xff",
])  # fmt: skip
def test_a_field_twice_or_in_an_unusual_encoding_is_refused(raw: bytes) -> None:
    assert _refused(raw)


def test_an_overwritten_field_is_seen_even_when_the_sizes_agree() -> None:
    map_entry_without_value = b"\x32\x02\x0a\x00"  # written back with its value: two bytes more
    hidden = LEFT + RIGHT + map_entry_without_value
    assert len(Ping.FromString(hidden).SerializeToString()) == len(hidden)
    assert _refused(hidden)


def test_a_large_message_out_of_order_is_refused_without_a_walk() -> None:
    large = Ping(text="x" * MAX_REORDERED_BYTES).SerializeToString()
    assert DECODE(large + NUMBERS).numbers == [5]
    assert _refused(NUMBERS + large)


def test_random_bytes_are_a_message_or_malformed_and_nothing_else() -> None:
    source = random.Random(8)
    for _ in range(20_000):
        raw = source.randbytes(source.randrange(12))
        try:
            assert DECODE(raw) == Ping.FromString(raw)
        except AccordError as error:
            assert error.reason is Reason.MESSAGE_MALFORMED  # noqa: PT017 (most inputs are refused, not all)


def test_a_deserializer_that_makes_no_message_is_left_alone() -> None:
    assert strict(bytes)(b"\xff") == b"\xff"
