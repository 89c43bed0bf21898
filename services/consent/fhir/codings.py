"""The codes and identifiers of both kinds of resource: each in the code system that defines it, with French labels.

What no published code system defines (the purposes of R1111-39, the names of this ledger) stands under the trust domain: an
absolute URI that names, and that nothing needs to resolve.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from services.formats.rights import Purpose
from services.nomenclature.documents import CLASSES, TYPE_LABELS
from services.nomenclature.oids import TRE_A04_DOCUMENT_TYPES

Json = dict[str, Any]
LOINC = "http://loinc.org"
DOCUMENT_CLASSES = "https://mos.esante.gouv.fr/NOS/TRE_A03-ClasseDocument/FHIR/TRE-A03-ClasseDocument"
"""What JDV_J57 takes its codes from."""
DOCUMENT_TYPES = f"urn:oid:{TRE_A04_DOCUMENT_TYPES}"
VISIBILITIES = "https://mos.esante.gouv.fr/NOS/TRE_A07-StatusVisibiliteDocument/FHIR/TRE-A07-StatusVisibiliteDocument"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_LOINC_CODE = re.compile(r"[0-9]{1,6}-[0-9]")
_PURPOSES = {
    Purpose.PREVENTION: "Prévention",
    Purpose.DIAGNOSIS: "Diagnostic",
    Purpose.CARE: "Soins",
    Purpose.SOCIAL_FOLLOW_UP: "Suivi social et médico-social",
}


@dataclass(frozen=True, slots=True)
class Site:
    """A ledger's trust domain, and the URIs under it."""

    trust_domain: str

    def uri(self, path: str) -> str:
        """The absolute URI of one of its own things."""
        return f"https://{self.trust_domain}/fhir/{path}"

    def reference(self, type_: str, kind: str, name: str, display: str = "") -> Json:
        """A logical reference: what the thing is, and its name here."""
        reference = {"type": type_, "identifier": {"system": self.uri(f"sid/{kind}"), "value": name}}
        return reference | ({"display": display} if display else {})

    def patient(self, profile: str) -> Json:
        """The patient, by the profile's name."""
        return self.reference("Patient", "profile", profile)

    def service(self, name: str) -> Json:
        """A referenced service: a solution, thus a device."""
        return self.reference("Device", "service", name, name)


def concept(system: str, code: str, display: str = "") -> Json:
    """A CodeableConcept of one code."""
    return {"coding": [coding(system, code, display)]}


def coding(system: str, code: str, display: str = "") -> Json:
    """A Coding."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def category(name: str) -> Json:
    """A data category: class of documents, type of document or measure."""
    kind, _, code = name.partition(":")
    if kind == "class":
        return concept(DOCUMENT_CLASSES, code, CLASSES.get(code, ""))
    system = LOINC if _LOINC_CODE.fullmatch(code) else DOCUMENT_TYPES
    # LOINC's own names are not ours to translate: a French label of a type stands beside the code.
    label = {"text": TYPE_LABELS[code]} if kind == "type" and code in TYPE_LABELS else {}
    return concept(system, code) | label


def label(code: str) -> Json:
    """A confidentiality code (JDV_J58)."""
    return coding(CONFIDENTIALITY if len(code) == 1 else VISIBILITIES, code)


def purposes(site: Site, some: Iterable[Purpose]) -> list[Json]:
    """The purposes, in the closed list's own code system; care also as HL7's treatment, the only one that means the same."""
    found = []
    for purpose in sorted(some):
        found.append(coding(site.uri("CodeSystem/purpose"), purpose.value, _PURPOSES[purpose]))
        if purpose is Purpose.CARE:
            found.append(coding(ACT_REASON, "TREAT", "treatment"))
    return found
