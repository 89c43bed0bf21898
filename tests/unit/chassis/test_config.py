"""Settings from TOML: every type, and every problem of a file at once."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from services.chassis.config import ConfigError, load_settings


@dataclass(frozen=True, slots=True)
class Inner:
    key: Path
    depth: int = 3


@dataclass(frozen=True, slots=True)
class Settings:
    name: str
    ratio: float
    on: bool
    inner: Inner
    hosts: tuple[str, ...] = ()
    limit: int | None = None
    more: Inner | None = None

    def __post_init__(self) -> None:
        if self.ratio < 0:
            raise ValueError("ratio must not be negative")


GOOD = 'name = "n"\nratio = 1\non = true\nhosts = ["a", "b"]\nlimit = 5\n[inner]\nkey = "k.pem"\n'


def _load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(Settings, path)


def test_every_type_is_read_and_a_relative_path_means_the_files_folder(tmp_path: Path) -> None:
    wanted = Settings("n", 1.0, True, Inner(tmp_path.resolve() / "k.pem"), ("a", "b"), 5)
    assert _load(tmp_path, GOOD) == wanted
    assert isinstance(_load(tmp_path, GOOD).ratio, float)


def test_an_absolute_path_stays_and_an_optional_table_is_read(tmp_path: Path) -> None:
    settings = _load(tmp_path, GOOD + '[more]\nkey = "/etc/k"\ndepth = 1\n')
    assert settings.more == Inner(Path("/etc/k"), 1)


@pytest.mark.parametrize(("old", "new", "problem"), [
    ('name = "n"', "", "name: missing"), ('name = "n"', "name = 1", "name: must be a string"),
    ("ratio = 1", "ratio = true", "ratio: must be a number"), ("ratio = 1", 'ratio = "1"', "ratio: must be a number"),
    ("on = true", "on = 1", "on: must be true or false"), ("limit = 5", "limit = true", "limit: must be an integer"),
    ("limit = 5", "limit = 5.0", "limit: must be an integer"), ('["a", "b"]', '"a"', "hosts: must be a list of strings"),
    ('["a", "b"]', '["a", 1]', "hosts: must be a list of strings"), ('"k.pem"', '""', "inner.key: must be a path"),
    ('key = "k.pem"', "", "inner.key: missing"), ('key = "k.pem"', 'key = "k"\nx = 1', "inner.x: unknown"),
    ("[inner]", "[outer]", "outer: unknown"), ("[inner]", "[outer]", "inner: missing"),
    ('[inner]\nkey = "k.pem"', "inner = 1", "inner: must be a table"), ("ratio = 1", "ratio = -1", "settings: ratio"),
    ("limit = 5", "limit = 5\nlimit = 6", "unreadable"), ("limit = 5", "limit =", "unreadable"),
])  # fmt: skip
def test_a_wrong_value_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, GOOD.replace(old, new))
    assert problem in str(caught.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, 'name = 1\nodd = 2\n[inner]\ndepth = "x"\n')
    problems = str(caught.value).splitlines()[1:]
    assert {problem.split(":")[0].strip(" -") for problem in problems} == {
        "odd", "name", "ratio", "on", "inner.key", "inner.depth",
    }  # fmt: skip


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unreadable"):
        load_settings(Settings, tmp_path / "none.toml")
