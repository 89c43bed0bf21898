"""A FHIR R4 Bundle of type collection: resources put together for somebody to take away.

Guarantees canonical JSON (RFC 8785). Without `total`, which only a search or a history has (bdl-1), and without an empty
array, which FHIR's JSON has not. Leaves to the caller that no two resources of one type have one id (bdl-7).
"""

from collections.abc import Iterable

from services.consent.fhir.codings import Json, Site
from services.formats.canonical import dumps
from services.formats.times import text_of


def bundle(site: Site, resources: Iterable[Json], now_ms: int) -> bytes:
    """The resources as they were at an instant (milliseconds), in their order."""
    entries = [
        {"fullUrl": site.uri(f"{resource['resourceType']}/{resource['id']}"), "resource": resource}
        for resource in resources
    ]
    whole: Json = {"resourceType": "Bundle", "type": "collection", "timestamp": text_of(now_ms)}
    return dumps(whole | ({"entry": entries} if entries else {}))
