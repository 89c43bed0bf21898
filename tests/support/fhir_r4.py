"""What FHIR R4 (4.0.1) and the French profile of traces ask of a Bundle, by somebody else's models and by the rules.

`fhir.resources` knows every element, its type and its cardinality; it leaves bindings, invariants and empty values, which
are here: each rule under its name in the specification. R4B's Bundle, Consent and AuditEvent are those of R4.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B.bundle import Bundle

TDE = "https://interop.esante.gouv.fr/ig/fhir/tde/StructureDefinition/tde-auditevent"
_REQUIRED = {
    ("Bundle", "type"): {"collection"},
    ("Consent", "status"): {"draft", "proposed", "active", "rejected", "inactive", "entered-in-error"},
    ("AuditEvent", "action"): {"C", "R", "U", "D", "E"},
    ("AuditEvent", "outcome"): {"0", "4", "8", "12"},
}
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_URI = re.compile(r"(https?|urn|ni):\S+")


def resources(data: bytes) -> list[Any]:
    """The Bundle's resources. Raises: AssertionError, ValueError for what is no such Bundle."""
    bundle = json.loads(data)
    Bundle.model_validate(bundle)
    for node in _nodes(bundle):
        _check_node(node)
    _check_bindings(bundle)
    assert "total" not in bundle, "bdl-1"
    entries = bundle.get("entry", [])
    urls = [entry["fullUrl"] for entry in entries]
    assert len(set(urls)) == len(urls), "bdl-7"
    found = [entry["resource"] for entry in entries]
    for url, resource in zip(urls, found, strict=True):
        assert url.endswith(f"/{resource['resourceType']}/{resource['id']}"), "references.html#regex"
        assert _ID.fullmatch(resource["id"])
        _check_bindings(resource)
        {"Consent": _check_consent, "AuditEvent": _check_audit_event}[resource["resourceType"]](resource)
    return found


def _nodes(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(item)


def _check_node(node: Any) -> None:
    assert node not in ("", [], {}), "json.html: no value is empty"
    if not isinstance(node, dict):
        return
    if "system" in node:
        assert _URI.fullmatch(node["system"]), "a system is an absolute URI"
    if {"start", "end"} <= set(node):
        assert node["start"] <= node["end"], "per-1"
    if "url" in node:
        assert ("extension" in node) != any(name.startswith("value") for name in node), "ext-1"
    if "reference" in node and isinstance(node["reference"], str):
        raise AssertionError("nothing is referred to by a URL: it would have to resolve")


def _check_bindings(resource: Any) -> None:
    for (type_, name), allowed in _REQUIRED.items():
        if resource["resourceType"] == type_ and name in resource:
            assert resource[name] in allowed, f"{type_}.{name}"


def _check_consent(consent: Any) -> None:
    assert consent.get("policy") or consent.get("policyRule"), "ppc-1"
    assert consent["patient"], "ppc-2"
    provision = consent["provision"]
    assert provision["type"] in {"permit", "deny"}
    nested = provision.get("provision", [])
    assert all(item["type"] != provision["type"] for item in nested), "a nested provision is an exception"


def _check_audit_event(event: Any) -> None:
    assert event["meta"]["profile"] == [TDE]
    assert len(event.get("subtype", [])) <= 1
    assert event["period"]["start"]
    assert 1 <= len(event["agent"]) <= 2
    assert all(agent["who"] for agent in event["agent"])
    assert all(("name" in entity) + ("query" in entity) < 2 for entity in event.get("entity", ())), "sev-1"
