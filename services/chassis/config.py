"""Settings: one TOML file into one frozen dataclass, or every problem of the file at once.

Guarantees that an unknown, missing or mistyped value stops the start, and that a relative path means the file's own
folder. Leaves ranges and meanings to the dataclass (`__post_init__` may raise ValueError).
"""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class ConfigError(Exception):
    """What the operator wrote is wrong; the message lists every problem, one a line."""

    @classmethod
    def of(cls, path: Path, problems: list[str]) -> "ConfigError":
        """The error that lists the problems of one file."""
        return cls("\n".join([f"{path}:", *(f"  - {problem}" for problem in problems)]))


def load_settings(cls: type[T], path: Path) -> T:
    """Read a TOML file into the dataclass `cls`.

    Fields: nested dataclasses, `str`, `int`, `float`, `bool`, `Path`, `tuple[str, ...]`, and `X | None`.
    Raises: ConfigError.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError.of(path, [f"unreadable: {error}"]) from error
    reader = _Reader(path.parent.resolve())
    settings = reader.dataclass(cls, table, "")
    if reader.problems:
        raise ConfigError.of(path, reader.problems)
    return cast(T, settings)


class _Reader:
    """Turns TOML values into typed ones and remembers what was wrong; what it returns counts only without problems."""

    def __init__(self, folder: Path) -> None:
        self.problems: list[str] = []
        self._folder = folder

    def dataclass(self, cls: type[Any], table: object, prefix: str) -> object:
        if not isinstance(table, Mapping):
            return self._wrong(prefix.rstrip("."), "a table")
        known, hints = {field.name: field for field in fields(cls)}, get_type_hints(cls)
        self.problems += [f"{prefix}{name}: unknown" for name in table if name not in known]
        before = len(self.problems)
        values = {
            name: self.value(hints[name], table[name], prefix + name)
            for name, field in known.items()
            if name in table or self._needed(field, prefix)
        }
        return self._built(cls, values, prefix) if len(self.problems) == before else None

    def value(self, kind: Any, value: Any, name: str) -> object:
        if get_origin(kind) in (UnionType, Union):
            kind = next(option for option in get_args(kind) if option is not NoneType)
        if is_dataclass(kind):
            return self.dataclass(cast(type[Any], kind), value, f"{name}.")
        if get_origin(kind) is tuple:
            return self._strings(value, name)
        if kind is Path:
            return self._folder / value if isinstance(value, str) and value else self._wrong(name, "a path")
        if kind is float:
            return float(value) if type(value) in (int, float) else self._wrong(name, "a number")
        return value if type(value) is kind else self._wrong(name, _NAMES[kind])

    def _strings(self, value: object, name: str) -> object:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        return self._wrong(name, "a list of strings")

    def _needed(self, field: "Field[Any]", prefix: str) -> bool:
        if field.default is MISSING and field.default_factory is MISSING:
            self.problems.append(f"{prefix}{field.name}: missing")
        return False

    def _built(self, cls: type[Any], values: dict[str, object], prefix: str) -> object:
        try:
            return cls(**values)
        except ValueError as error:
            self.problems.append(f"{prefix.rstrip('.') or 'settings'}: {error}")
            return None

    def _wrong(self, name: str, expected: str) -> object:
        self.problems.append(f"{name}: must be {expected}")
        return None


_NAMES: dict[type, str] = {str: "a string", int: "an integer", bool: "true or false"}
