"""Bundles: what holds whatever is in them."""

from services.consent.fhir.bundle import bundle
from services.consent.fhir.codings import Site
from services.formats.canonical import dumps, loads
from services.formats.times import text_of
from tests.support.ledgers import NOW_MS

SITE = Site("accord.example")
PATIENT = {"resourceType": "Patient", "id": "p1"}


def test_the_same_state_is_the_same_bytes() -> None:
    assert bundle(SITE, [PATIENT], NOW_MS) == bundle(SITE, iter([dict(reversed(PATIENT.items()))]), NOW_MS)


def test_a_bundle_is_canonical_json_of_its_instant() -> None:
    data = bundle(SITE, [PATIENT], NOW_MS)
    assert dumps(loads(data)) == data
    assert loads(data) == {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": text_of(NOW_MS),
        "entry": [{"fullUrl": "https://accord.example/fhir/Patient/p1", "resource": PATIENT}],
    }


def test_an_empty_bundle_has_neither_entries_nor_a_total() -> None:
    """bdl-1: only a search or a history has a total; FHIR's JSON has no empty array."""
    assert set(loads(bundle(SITE, [], NOW_MS))) == {"resourceType", "type", "timestamp"}
