"""Evidence verifies, no byte of it can be changed, and each step's rule names itself when it alone is broken."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.formats.canonical import FormatError, dumps, loads
from services.formats.evidence import MAX_EVIDENCE, parse_evidence
from services.formats.trust import Trust
from services.formats.verify import STEPS, VerificationError, verify
from tests.support.evidence import (
    RECIPIENT,
    SENDER,
    Exchange,
    document,
)

SMALL = Exchange(documents=(document(),), records=(SENDER, RECIPIENT))
TRUST = SMALL.trust
GENUINE = SMALL.evidence()
DATA = GENUINE.to_bytes()
HALVES = [(0, len(DATA) // 2), (len(DATA) // 2, len(DATA))]


def broken_step(data: bytes, trust: Trust) -> int:
    """The number of the step that does not hold; 0 when all hold."""
    try:
        verify(data, trust)
    except VerificationError as error:
        return error.number
    return 0


def neighbour(byte: int) -> int:
    """Another digit for a digit, another letter for a letter, another byte for any other."""
    text = chr(byte)
    for first, last in ("09", "az", "AZ"):
        if first <= text <= last:
            return ord(first) if text == last else byte + 1
    return byte ^ 1


def flipped(position: int) -> Callable[[int], int]:
    return lambda byte: byte ^ (1 << position % 8)


def test_genuine_evidence_verifies_step_by_step() -> None:
    heard: list[tuple[int, str]] = []
    exchange = Exchange()
    case = verify(exchange.evidence().to_bytes(), exchange.trust, lambda *step: heard.append(step))
    assert heard == [(number, title) for number, (title, _) in enumerate(STEPS, 1)]
    assert (case.manifest.sender, case.manifest.recipient, case.index) == (SENDER, RECIPIENT, 3)
    assert case.lease.pin.sequence == exchange.sequence


def test_evidence_reads_back_from_its_file() -> None:
    assert parse_evidence(DATA) == GENUINE
    assert verify(DATA, TRUST).evidence == GENUINE


def survivors(change: Callable[[int], Callable[[int], int]], start: int, end: int) -> list[int]:
    """Positions where a changed byte is not noticed."""
    found = []
    for position in range(start, end):
        changed = bytearray(DATA)
        changed[position] = change(position)(changed[position])
        if broken_step(bytes(changed), TRUST) == 0:
            found.append(position)
    return found


@pytest.mark.parametrize(("start", "end"), HALVES)
def test_every_byte_changed_to_another_of_its_kind_is_noticed(start: int, end: int) -> None:
    assert survivors(lambda _: neighbour, start, end) == []


@pytest.mark.parametrize(("start", "end"), HALVES)
def test_every_byte_with_a_bit_flipped_is_noticed(start: int, end: int) -> None:
    """Which bit differs from byte to byte, so that each of the eight is tried throughout the file."""
    assert survivors(flipped, start, end) == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_bytes_replaced_removed_added_or_repeated_are_noticed(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(DATA)))
    end = data.draw(st.integers(start, min(len(DATA), start + 200)))
    instead = data.draw(st.binary(max_size=8) | st.just(DATA[start:end] * 2) | st.just(DATA[start:end][::-1]))
    changed = DATA[:start] + instead + DATA[end:]
    assert (broken_step(changed, TRUST) == 0) == (changed == DATA)


def test_a_member_more_or_less_or_of_another_form_is_noticed() -> None:
    value: dict[str, Any] = loads(DATA)
    for name in value:
        assert broken_step(dumps({other: value[other] for other in value if other != name}), TRUST) == 1
        assert broken_step(dumps(value | {name: 1}), TRUST) == 1
    assert broken_step(dumps(value | {"note": "x"}), TRUST) == 1
    assert broken_step(dumps(value | {"format": "accord-evidence/v2"}), TRUST) == 1
    for name in ("authorization", "sender"):
        assert broken_step(dumps(value | {name: value[name] | {"note": "x"}}), TRUST) == 1
        for member in value[name]:
            if member != "hashes":
                shorter = {other: value[name][other] for other in value[name] if other != member}
                assert broken_step(dumps(value | {name: shorter}), TRUST) == 1


def test_a_file_in_another_layout_or_too_long_is_no_evidence() -> None:
    assert broken_step(DATA + b"\n", TRUST) == 1
    with pytest.raises(FormatError, match="longer"):
        parse_evidence(b" " * (MAX_EVIDENCE + 1))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_verification_fails_in_one_way_only(data: bytes) -> None:
    assert broken_step(data, TRUST) == 1
