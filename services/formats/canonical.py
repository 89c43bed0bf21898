"""Canonical JSON (RFC 8785) in, strictly read JSON out.

Guarantees: `loads` accepts UTF-8 only, no duplicate member, no float, no integer of 2⁵³ or more, no non-ASCII key, no half
of a surrogate pair; `loads_canonical` also refuses bytes that differ from the canonical form of what they say, so bytes and
value are one.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import orjson
import rfc8785

MAX_INTEGER = 2**53 - 1
_ABSENT = object()
T = TypeVar("T")


class FormatError(ValueError):
    """Bytes that are not in the format they claim; the message never quotes them."""


def dumps(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value. Raises: ValueError for what has none."""
    # orjson writes the same bytes a hundred times as fast, except for floats, wide integers, non-ASCII names, great depth.
    if _is_plain(value):
        with suppress(orjson.JSONEncodeError):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(value)


def _is_plain(value: Any) -> bool:
    """Whether a value holds only strings, integers within RFC 8785, literals, lists, and objects with ASCII names."""
    left = [value]
    for item in left:  # which grows meanwhile, by whatever is no plain string
        kind = type(item)
        if kind is dict:
            if not _has_plain_names(item):
                return False
            left += [held for held in item.values() if type(held) is not str]
        elif kind is list:
            left += [held for held in item if type(held) is not str]
        elif kind is int:
            if not -MAX_INTEGER <= item <= MAX_INTEGER:
                return False
        elif not (item is None or kind is bool or isinstance(item, str)):
            return False
    return True


def _has_plain_names(members: dict[Any, Any]) -> bool:
    try:
        return "".join(members).isascii()
    except TypeError:
        return False


def loads(data: bytes | str) -> Any:
    """Strictly read JSON. Raises: FormatError."""
    try:
        # Decoded here, for json.loads would guess: UTF-16, UTF-32 and a byte order mark pass there (RFC 8259 §8.1).
        text = data if isinstance(data, str) else data.decode()
        value = json.loads(
            text, object_pairs_hook=_unique, parse_float=_no_float, parse_int=_small, parse_constant=_no_float
        )
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # refuses half a surrogate pair (RFC 7493 §2.1)
    except (ValueError, RecursionError) as error:
        raise FormatError(str(error) if isinstance(error, FormatError) else "not JSON") from None
    return value


def loads_canonical(data: bytes, limit: int) -> Any:
    """Strictly read JSON of at most `limit` bytes that is its own RFC 8785 form. Raises: FormatError."""
    if len(data) > limit:
        raise FormatError(f"longer than {limit} bytes")
    value = loads(data)
    try:
        canonical = dumps(value)
    except (ValueError, RecursionError):
        raise FormatError("has no canonical form") from None
    if canonical != data:
        raise FormatError("not in canonical form (RFC 8785)")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise FormatError("a member occurs twice")
    if not all(key.isascii() for key in members):
        raise FormatError("a member's name is not ASCII")
    return members


def _no_float(_: str) -> Any:
    raise FormatError("a number is not an integer")


def _small(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_INTEGER or digits == "-0":
        raise FormatError("an integer is out of range")
    return int(digits)


HEX_32 = re.compile(r"[0-9a-f]{64}")
TOKEN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")


class Members:
    """Reads a JSON object member by member, and refuses what was not asked for."""

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise FormatError(f"{what} is not an object")
        self._left: dict[str, Any] = dict(value)
        self._what = what

    def text(self, name: str, pattern: re.Pattern[str] | None = None, *, default: str | None = None) -> str:
        """A string that `pattern` matches whole; `default` when absent."""
        value = self._take(name, default)
        if not isinstance(value, str):
            raise FormatError(f"{self._what}.{name} is not a string")
        if pattern is not None and value != default and not pattern.fullmatch(value):
            raise FormatError(f"{self._what}.{name} has a wrong form")
        return value

    def integer(self, name: str, *, default: int | None = None) -> int:
        """A non-negative integer; `default` when absent."""
        value = self._take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise FormatError(f"{self._what}.{name} is not a non-negative integer")
        return value

    def boolean(self, name: str) -> bool:
        """A boolean."""
        value = self._take(name, None)
        if not isinstance(value, bool):
            raise FormatError(f"{self._what}.{name} is not a boolean")
        return value

    def texts(self, name: str, pattern: re.Pattern[str] | None = None) -> tuple[str, ...]:
        """An array of strings; empty when absent."""
        return self.items(name, lambda item, what: Members({"item": item}, what).text("item", pattern))

    def items(self, name: str, read: Callable[[Any, str], T]) -> tuple[T, ...]:
        """An array, each item read by `read(item, path)`; empty when absent."""
        value = self._left.pop(name, [])
        if not isinstance(value, list):
            raise FormatError(f"{self._what}.{name} is not an array")
        return tuple(read(item, f"{self._what}.{name}") for item in value)

    def object(self, name: str) -> "Members":
        """A nested object."""
        return Members(self._take(name, None), f"{self._what}.{name}")

    def value(self, name: str) -> Any:
        """Any JSON value, for a reader of its own."""
        return self._take(name, None)

    def has(self, name: str) -> bool:
        """Whether the member is there and was not read yet."""
        return name in self._left

    def done(self) -> None:
        """Refuses every member that was not read."""
        if self._left:
            raise FormatError(f"{self._what} has an unknown member")

    def _take(self, name: str, default: Any) -> Any:
        value = self._left.pop(name, _ABSENT)
        if value is not _ABSENT:
            return value
        if default is None:
            raise FormatError(f"{self._what}.{name} is missing")
        return default
