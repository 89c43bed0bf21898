"""Instants as integers of milliseconds since 1970 (UTC), and their one text form: RFC 3339 with three decimals and Z."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from services.formats.canonical import FormatError

TEXT = re.compile(r"\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):\d{2}:\d{2}\.\d{3}Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@lru_cache(maxsize=4096)
def text_of(instant_ms: int) -> str:
    """2026-11-23T14:15:28.123Z for the instant, in milliseconds since 1970. Raises: OverflowError beyond year 9999."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    # Not strftime: its %Y writes the years before 1000 with fewer than four digits.
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def instant_of(text: str) -> int:
    """Milliseconds since 1970 for the text form. Raises: FormatError."""
    if not TEXT.fullmatch(text):
        raise FormatError("not an RFC 3339 instant with milliseconds in UTC")
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
    except ValueError:
        raise FormatError("no such instant") from None
