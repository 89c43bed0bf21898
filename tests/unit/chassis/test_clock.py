"""Instants as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.clock import SystemClock, parse_rfc3339, rfc3339

YEAR_1, YEAR_10000 = -62_135_596_800_000, 253_402_300_800_000


def test_an_instant_is_utc_with_milliseconds() -> None:
    assert rfc3339(1_795_443_328_123) == "2026-11-23T14:15:28.123Z"
    assert rfc3339(0) == "1970-01-01T00:00:00.000Z"


@given(st.integers(YEAR_1, YEAR_10000 - 1))
def test_an_instant_is_read_back_exactly(ms: int) -> None:
    assert parse_rfc3339(rfc3339(ms)) == ms


@pytest.mark.parametrize("text", [
    "2026-11-23T14:15:28Z", "2026-11-23T14:15:28.123+00:00", "2026-11-23 14:15:28.123Z", "2026-11-23T14:15:28.1234Z",
    "2026-13-23T14:15:28.123Z", "2026-02-29T14:15:28.123Z", "2026-11-23T24:15:28.123Z", "2026-11-23T14:15:60.000Z",
    "2026-11-23T14:15:28.123z", "2026-11-23T14:15:28.123Z\n", "٢٠٢٦-11-23T14:15:28.123Z", "",
])  # fmt: skip
def test_no_other_form_is_read(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


def test_the_system_clock_counts_in_its_units() -> None:
    clock = SystemClock()
    assert rfc3339(clock.wall_ms()) > "2026"
    assert clock.monotonic() <= clock.monotonic()
