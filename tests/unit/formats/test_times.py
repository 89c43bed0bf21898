"""Instants have one text form, and it reads back to the millisecond."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.formats.canonical import FormatError
from services.formats.times import instant_of, text_of

FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
REFUSED = [
    "",
    "2026-11-23",
    "2026-11-23T14:15:28Z",
    "2026-11-23T14:15:28.1Z",
    "2026-11-23T14:15:28.1234Z",
    "2026-11-23T14:15:28.123",
    "2026-11-23T14:15:28.123z",
    "2026-11-23t14:15:28.123Z",
    "2026-11-23 14:15:28.123Z",
    "2026-11-23T14:15:28.123+00:00",
    "2026-11-23T14:15:28,123Z",
    "2026-11-23T14:15:28.123Z\n",
    "2026-02-29T14:15:28.123Z",
    "2026-13-01T14:15:28.123Z",
    "2026-11-23T24:00:00.000Z",
    "2026-11-23T23:59:60.000Z",
    "2026-11-23T23:60:00.000Z",
    "0000-01-01T00:00:00.000Z",
    "٢٠٢٦-11-23T14:15:28.123Z",
]


@given(st.integers(FIRST, LAST))
@example(0)
@example(FIRST)
@example(LAST)
@example(-30_610_224_000_001)  # the last millisecond of the year 999
def test_an_instant_reads_back_from_its_text(instant_ms: int) -> None:
    assert instant_of(text_of(instant_ms)) == instant_ms
    assert len(text_of(instant_ms)) == 24


def test_the_text_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert text_of(1_795_443_328_123) == "2026-11-23T14:15:28.123Z"
    assert text_of(-1) == "1969-12-31T23:59:59.999Z"


@pytest.mark.parametrize("text", REFUSED)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        instant_of(text)


def test_there_is_no_text_beyond_the_year_9999() -> None:
    with pytest.raises(OverflowError):
        text_of(LAST + 1)
