"""A consent as FHIR R4 Consent: its current state, and all that it allows or refuses.

Guarantees that only what stands now is `active`: a withdrawn, ended, expired or paused consent never is, swept or not, and a
refusal is an active `deny`; and that what narrows a right is in the resource, as an element or as a modifier extension, so
that nobody reads a wider right than was given. Leaves the notice's text to the registry: its hash names it (RFC 6920).
"""

import base64
from typing import Any

from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Effect, Limits
from services.consent.domain.values import HOLDER, Consent
from services.consent.fhir.codings import LOINC, Json, Site, category, concept, label, purposes
from services.formats.rights import Direction
from services.formats.times import text_of

_SCOPE = ("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy")
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_ACTIONS = "http://terminology.hl7.org/CodeSystem/consentaction"
_OF_DIRECTION = {Direction.READ: ("access", "collect", "use"), Direction.DEPOSIT: ("disclose",)}
"""A service that reads looks at data, keeps it for its own retention and uses it; one that deposits hands on what it has."""
_ROLES = {Direction.READ: ("IRCP", "information recipient"), Direction.DEPOSIT: ("CST", "custodian")}


def consent_resource(site: Site, profile: str, name: str, consent: Consent, given_ms: int, revised_ms: int) -> Json:
    """The resource of a consent as it stands by the clock, called `name` (consents/…), of the profile of this name."""
    return {
        "resourceType": "Consent",
        "id": name.removeprefix("consents/"),
        "meta": {"versionId": str(consent.revision), "lastUpdated": text_of(revised_ms)},
        "extension": [{"url": site.uri("StructureDefinition/consent-state"), "valueCode": consent.state.value}],
        "identifier": [{"system": site.uri("sid/consent"), "value": name}],
        "status": "active" if consent.state is ConsentState.ACTIVE else "inactive",
        "scope": concept(*_SCOPE),
        "category": [concept(LOINC, "59284-0")],
        "patient": site.patient(profile),
        "dateTime": text_of(given_ms),
        "performer": [_performer(site, profile, consent)],
        "organization": [{"type": "Organization", "display": consent.service}],
        "policy": [{"uri": notice_uri(consent.notice_sha256)}],
        "provision": _provision(site, consent),
    }


def notice_uri(sha256: str) -> str:
    """The information notice that was shown, named by its SHA-256 in hexadecimal (RFC 6920 §3)."""
    return "ni:///sha-256;" + base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")


def _performer(site: Site, profile: str, consent: Consent) -> Json:
    if consent.actor.role == HOLDER:
        return site.patient(profile)
    return {"type": "RelatedPerson", "display": "Représentant légal"}


def _provision(site: Site, consent: Consent) -> Json:
    scope, limits = consent.scope, consent.limits
    directions = sorted(scope.directions)
    provision: Json = {
        "type": "permit" if limits.effect is Effect.PERMIT else "deny",
        "period": _period(consent.start_ms, _end(consent)),
        "actor": [
            {"role": concept(_PARTICIPATION, *_ROLES[item]), "reference": site.service(consent.service)}
            for item in directions
        ],
        "action": [concept(_ACTIONS, code) for item in directions for code in _OF_DIRECTION[item]],
        "purpose": purposes(site, scope.purposes),
        "code": [category(item) for item in sorted(scope.categories)],
    }
    # A refusal takes no limits: whatever it touches, it touches whole.
    return provision | (_limits(site, limits) if limits.effect is Effect.PERMIT else {})


def _end(consent: Consent) -> int:
    """Its end, or the majority at which a representative's consent stops until the holder confirms it."""
    confirm_ms = consent.limits.confirm_ms
    return consent.end_ms if confirm_ms is None else max(consent.start_ms + 1, min(consent.end_ms, confirm_ms))


def _limits(site: Site, limits: Limits) -> Json:
    members: dict[str, Any] = {
        "modifierExtension": _narrowing(site, limits),
        "dataPeriod": _period(limits.data_from_ms, limits.data_until_ms),
        "provision": _exceptions(limits),
    }
    return {name: value for name, value in members.items() if value}


def _narrowing(site: Site, limits: Limits) -> list[Json]:
    """What R4 has no element for, and nobody may ignore."""
    found: list[Json] = []
    if limits.quota is not None:
        parts = [{"url": "limit", "valuePositiveInt": limits.quota.limit}]
        parts += [{"url": "periodSeconds", "valuePositiveInt": limits.quota.period_s}] if limits.quota.period_s else []
        found.append({"url": site.uri("StructureDefinition/consent-quota"), "extension": parts})
    if limits.erase_ms is not None:
        erase = {"url": site.uri("StructureDefinition/consent-erase-by"), "valueDateTime": text_of(limits.erase_ms)}
        found.append(erase)
    return found


def _exceptions(limits: Limits) -> list[Json]:
    """Types and labels in rules of their own: within one rule, elements of two kinds would both have to match."""
    types = [category(item) for item in sorted(limits.exceptions) if item.startswith("type:")]
    labels = [label(item.removeprefix("label:")) for item in sorted(limits.exceptions) if item.startswith("label:")]
    found: list[Json] = [{"type": "deny", "code": types}] if types else []
    return found + ([{"type": "deny", "securityLabel": labels}] if labels else [])


def _period(from_ms: int | None, until_ms: int | None) -> Json:
    """A period; FHIR's end is its last instant, ours is excluded: one millisecond before."""
    start = {"start": text_of(from_ms)} if from_ms is not None else {}
    return start | ({"end": text_of(until_ms - 1)} if until_ms is not None else {})
