"""The access policy: what it admits, and every way in which its file can be wrong."""

from pathlib import Path

import pytest

from services.chassis.access import AccessPolicy
from services.chassis.config import ConfigError
from services.chassis.identity import Identity

METHODS = ["a.v1.S/Read", "a.v1.S/Write"]
GOOD = """
version: 1
roles:
  portal: [/portal]
  service: ["/service/*"]
  anyone: ["/*", "/service/*"]
servers:
  main:
    a.v1.S/Read: [portal, anyone]
    a.v1.S/Write: [portal]
  other:
    b.v1.T/Read: [service]
"""


def _load(tmp_path: Path, text: str) -> AccessPolicy:
    path = tmp_path / "access.yaml"
    path.write_text(text, encoding="utf-8")
    return AccessPolicy.load(path, "main", METHODS)


@pytest.mark.parametrize(("path", "roles"), [
    ("/portal", {"portal", "anyone"}), ("/service/lumen", {"service", "anyone"}), ("/service", {"anyone"}),
    ("/service/a/b", set()), ("/services/a", set()), ("/portal/a", set()), ("/x/service/a", set()),
])  # fmt: skip
def test_a_role_is_earned_by_whole_segments(tmp_path: Path, path: str, roles: set[str]) -> None:
    assert _load(tmp_path, GOOD).roles_of(Identity("td", path)) == roles


def test_a_method_admits_its_roles_and_no_other(tmp_path: Path) -> None:
    policy = _load(tmp_path, GOOD)
    assert policy.allows("a.v1.S/Read", frozenset({"anyone"}))
    assert not policy.allows("a.v1.S/Write", frozenset({"anyone", "service"}))
    assert not policy.allows("a.v1.S/Write", frozenset())


def test_an_unknown_method_admits_nobody(tmp_path: Path) -> None:
    policy = _load(tmp_path, GOOD)
    for method in ("a.v1.S/Nothing", "b.v1.T/Read", "/a.v1.S/Read", ""):
        assert not policy.allows(method, frozenset({"portal", "service", "anyone"}))


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("version: 1", "version: 2", "version: must be 1"),
    ("version: 1", "version: true", "version: must be 1"),
    ("version: 1", "", "version: must be 1"),
    ("version: 1", "version: 1\ntrust_domain: td", "trust_domain: unknown key"),
    ("    a.v1.S/Write: [portal]\n", "", "servers.main.a.v1.S/Write: served but not listed"),
    ("    a.v1.S/Write: [portal]", "    a.v1.S/Write: [portal]\n    a.v1.S/Old: [portal]", "S/Old: listed but not served"),
    ("a.v1.S/Write: [portal]", "a.v1.S/Write: []", "servers.main.a.v1.S/Write: no role"),
    ("a.v1.S/Write: [portal]", "a.v1.S/Write: [portall]", "unknown role portall"),
    ("b.v1.T/Read: [service]", "b.v1.T/Read: [portal]", "roles.service: never used"),
    ("b.v1.T/Read: [service]", "b.v1.T/Read: [nobody]", "servers.other.b.v1.T/Read: unknown role nobody"),
    ("portal: [/portal]", "portal: []", "roles.portal: no path pattern"),
    ("portal: [/portal]", "portal: ['*']", "'*' is no path pattern"),
    ("portal: [/portal]", "portal: ['/*/a']", "'/*/a' is no path pattern"),
    ("portal: [/portal]", "portal: ['/a*']", "'/a*' is no path pattern"),
    ("portal: [/portal]", "portal: ['/portal/']", "'/portal/' is no path pattern"),
    ("portal: [/portal]", "portal: ['/a/../portal']", "is no path pattern"),
    ("portal: [/portal]", "portal: ['/Portal']", "is no path pattern"),
    ("portal: [/portal]", "portal: /portal", "roles: must map"),
    ("  other:", "  main:", "given twice"),
    ("  portal: [/portal]", "  portal: [/portal]\n  portal: ['/*']", "given twice"),
    ("  main:", "  renamed:", "servers.main: missing"),
    ("servers:", "servers: [", "unreadable"),
    (GOOD, "[]", "must be a mapping"),
    (GOOD, "", "must be a mapping"),
    (GOOD, "version: 1", "roles: must map"),
    (GOOD, "version: 1\nroles: {}\nservers: {main: [x]}", "servers: must map"),
])  # fmt: skip
def test_a_wrong_file_stops_the_start(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=r"access\.yaml") as caught:
        _load(tmp_path, GOOD.replace(old, new))
    assert problem in str(caught.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("version: 1", "version: 9")
        .replace("S/Write: [portal]", "S/Write: [nobody]")
        .replace("/Read: [p", "/R: [p")
    )
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    told = str(caught.value)
    assert all(part in told for part in ("version", "unknown role nobody", "S/R: listed but", "S/Read: served but"))


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unreadable"):
        AccessPolicy.load(tmp_path / "none.yaml", "main", METHODS)
