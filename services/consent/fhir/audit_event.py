"""Accesses as FHIR R4 AuditEvents of the French profile (CI-SIS, Traçabilité des événements: tde-auditevent).

Guarantees what the profile asks: `period.start`, one subtype, at most two agents, each with its `who`. Codes are those of
IHE BALP: an exchange that was authorised is a disclosure (DICOM Export), one that was not is a decision of authorisation.
BALP's own profiles are not claimed: they ask for network addresses, and for more agents than the French one allows. An id
says only what the resource says, so that it tells nothing of what its reader does not see.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from services.consent.domain.accesses import Access
from services.consent.fhir.codings import Json, Site, coding, concept, purposes
from services.errors import MEANINGS
from services.formats.canonical import dumps
from services.formats.entry import OutcomeResult, sha256_hex
from services.formats.rights import Direction
from services.formats.times import text_of

PROFILE = "https://interop.esante.gouv.fr/ig/fhir/tde/StructureDefinition/tde-auditevent"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_EXPORT, _DECISION = coding(_DICOM, "110106", "Export"), coding(_DICOM, "110113", "Security Alert")
_DISCLOSE = coding("http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", "disclose")
_AUTHORIZATION = coding("https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType", "AuthZ-Consent")
_SOURCE, _DESTINATION = ("110153", "Source Role ID"), ("110152", "Destination Role ID")
_ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ENTITY_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_RESOURCES = "http://hl7.org/fhir/resource-types"
_REFUSED = "8"
_OUTCOMES = {
    OutcomeResult.DELIVERED: ("0", "Remis et acquitté."),
    OutcomeResult.PARTIAL: ("4", "Remis et acquitté en partie."),
    OutcomeResult.FAILED: ("8", "Rien n'a été remis."),
    OutcomeResult.DISPUTED: ("8", "L'acquittement du destinataire ne correspond pas à l'envoi."),
    OutcomeResult.UNKNOWN: ("", "On ignore si le destinataire a conservé les données."),
}
"""Code (audit-event-outcome) and words. What is not known has no code: none of the four says so."""


def audit_events(site: Site, profile: str, accesses: Iterable[Access]) -> Iterator[Json]:
    """The events of a profile's accesses, in their order; accesses that say the same have different ids."""
    seen: Counter[str] = Counter()
    for access in accesses:
        said = _said(profile, access)
        seen[said] += 1
        yield _audit_event(site, profile, access, sha256_hex(f"{said}|{seen[said]}")[:32])


def _said(profile: str, access: Access) -> str:
    # Not how it ended and not what was asked: the first comes later, the second may be erased, and the id stays.
    reason = access.reason.value if access.reason else ""
    parts = (profile, text_of(access.time_ms), access.service, access.counterparty, access.exchange, reason)
    return dumps([*parts, *access.resources]).decode()


def _audit_event(site: Site, profile: str, access: Access, id_: str) -> Json:
    at = text_of(access.time_ms)
    event: Json = {
        "resourceType": "AuditEvent",
        "id": id_,
        "meta": {"profile": [PROFILE]},
        "type": _EXPORT if access.authorized else _DECISION,
        "subtype": [_DISCLOSE if access.authorized else _AUTHORIZATION],
        "action": "R" if access.authorized else "E",
        "period": {"start": at},
        "recorded": at,
    }
    event |= _outcome(access)
    if access.asked is not None:
        event["purposeOfEvent"] = [{"coding": purposes(site, [access.asked.purpose])}]
    event["agent"] = _agents(site, access)
    event["source"] = {"observer": _ledger(site)}
    event["entity"] = _entities(site, profile, access)
    return event


def _outcome(access: Access) -> Json:
    if not access.authorized:
        told = {"outcomeDesc": MEANINGS[access.reason].french} if access.reason else {}
        return {"outcome": _REFUSED} | told
    if access.result is None:
        return {"outcomeDesc": "L'issue n'est pas encore connue."}
    code, words = _OUTCOMES[access.result]
    return ({"outcome": code} if code else {}) | {"outcomeDesc": words}


def _agents(site: Site, access: Access) -> list[Json]:
    """Whom data left and whom it was for; the ledger stands for the record, and where a refusal names nobody."""
    service = {"who": site.service(access.service), "requestor": True}
    other = site.service(access.counterparty) if access.counterparty else _ledger(site)
    reads = access.asked is not None and access.asked.direction is Direction.READ
    roles = (_DESTINATION, _SOURCE) if reads else (_SOURCE, _DESTINATION)
    agents = [{"type": concept(_DICOM, *roles[0])} | service]
    agents += [{"type": concept(_DICOM, *roles[1]), "who": other, "requestor": False}]
    return agents[::-1] if reads else agents


def _ledger(site: Site) -> Json:
    return site.reference("Device", "ledger", site.trust_domain, "Accord, registre des consentements")


def _entities(site: Site, profile: str, access: Access) -> list[Json]:
    patient = {"what": site.patient(profile), "type": coding(_ENTITY_TYPE, "1", "Person")}
    exchange: Json = {
        "what": {"identifier": {"system": site.uri("sid/exchange"), "value": access.exchange}},
        "type": coding(_ENTITY_TYPE, "2", "System Object"),
        "role": coding(_ENTITY_ROLE, "3", "Report"),
    }
    if access.asked is not None:
        exchange["detail"] = [{"type": "category", "valueString": name} for name in sorted(access.asked.categories)]
    consents = [
        {"what": site.reference("Consent", "consent-revision", name), "type": coding(_RESOURCES, "Consent", "Consent")}
        for name in access.resources
    ]
    return [patient | {"role": coding(_ENTITY_ROLE, "1", "Patient")}, exchange, *consents]
