"""Who may call what: the access policy, one YAML file for all servers, denying by default.

Guarantees that a server starts only when the file names exactly the RPCs it serves, each with roles that exist, and that
a role is earned by the SPIFFE ID's path alone, matched whole segment by whole segment. Leaves the trust domain to
`identity`, and what a caller may see within an RPC to the service.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from services.chassis.config import ConfigError
from services.chassis.identity import Identity

VERSION = 1
_KEYS = frozenset({"version", "roles", "servers"})
_PATTERN = re.compile(r"(/[a-z0-9._-]+)*/([a-z0-9._-]+|\*)")
_WORD = re.compile(r"[a-z][a-z0-9_-]*")


class AccessPolicy:
    """The roles of identities and the roles that each RPC of one server admits. Look-ups are dictionary reads."""

    def __init__(self, roles: Mapping[str, Collection[str]], methods: Mapping[str, Collection[str]]) -> None:
        self._exact: dict[str, set[str]] = {}
        self._children: dict[str, set[str]] = {}
        self._admitted = {method: frozenset(names) for method, names in methods.items()}
        for role, patterns in roles.items():
            for pattern in patterns:
                parent, _, last = pattern.rpartition("/")
                table, key = (self._children, parent) if last == "*" else (self._exact, pattern)
                table.setdefault(key, set()).add(role)

    @classmethod
    def load(cls, path: Path, server: str, methods: Collection[str]) -> "AccessPolicy":
        """Read the policy of `server`, which serves `methods` (`accord.consent.v1.DecisionService/Check`).

        Raises: ConfigError with every problem at once, if any part of the file is wrong or does not match `methods`.
        """
        document = _read(path)
        problems = list(_problems(document, server, methods))
        if problems:
            raise ConfigError.of(path, problems)
        return cls(document["roles"], document["servers"][server])

    def roles_of(self, identity: Identity) -> frozenset[str]:
        """Every role whose patterns the identity's path matches; none for a path that nobody named."""
        parent = identity.path.rpartition("/")[0]
        return frozenset(self._exact.get(identity.path, ())) | frozenset(self._children.get(parent, ()))

    def allows(self, method: str, roles: frozenset[str]) -> bool:
        """Whether one of the roles may call the method. An unknown method is denied."""
        admitted = self._admitted.get(method)
        return admitted is not None and not admitted.isdisjoint(roles)


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice, which YAML 1.2 §3.2.1.1 forbids and the stock loader lets win."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[object, object]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506 (derives from SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError.of(path, [f"unreadable: {error}"]) from error
    if not isinstance(document, dict):
        raise ConfigError.of(path, ["must be a mapping"])
    return document


def _problems(document: Mapping[str, Any], server: str, methods: Collection[str]) -> Iterator[str]:
    yield from (f"{key}: unknown key" for key in document if key not in _KEYS)
    version = document.get("version")
    if type(version) is not int or version != VERSION:
        yield f"version: must be {VERSION}"
    roles, servers = document.get("roles"), document.get("servers")
    if not _is_lists_by_name(roles):
        yield "roles: must map each role to a list of path patterns"
    elif not isinstance(servers, dict) or not all(_is_lists_by_name(section) for section in servers.values()):
        yield "servers: must map each server to a mapping of its RPCs to lists of roles"
    else:
        yield from _role_problems(roles, servers)
        yield from _method_problems(servers, server, methods)


def _role_problems(roles: dict[str, list[str]], servers: dict[str, dict[str, list[str]]]) -> Iterator[str]:
    used = {role for section in servers.values() for names in section.values() for role in names}
    for role, patterns in roles.items():
        if not _WORD.fullmatch(role):
            yield f"roles.{role}: not a name"
        if not patterns:
            yield f"roles.{role}: no path pattern"
        if role not in used:
            yield f"roles.{role}: never used"
        yield from (f"roles.{role}: {p!r} is no path pattern" for p in patterns if not _is_pattern(p))
    for name, section in servers.items():
        for method, names in section.items():
            if not names:
                yield f"servers.{name}.{method}: no role"
            yield from (f"servers.{name}.{method}: unknown role {role}" for role in names if role not in roles)


def _method_problems(servers: dict[str, dict[str, list[str]]], server: str, methods: Collection[str]) -> Iterator[str]:
    if server not in servers:
        yield f"servers.{server}: missing"
        return
    named = servers[server]
    yield from (f"servers.{server}.{method}: served but not listed" for method in methods if method not in named)
    yield from (f"servers.{server}.{method}: listed but not served" for method in named if method not in methods)


def _is_pattern(pattern: str) -> bool:
    return _PATTERN.fullmatch(pattern) is not None and not {".", ".."} & set(pattern.split("/"))


def _is_lists_by_name(value: object) -> TypeGuard[dict[str, list[str]]]:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(items, list) and all(isinstance(item, str) for item in items)
        for name, items in value.items()
    )
