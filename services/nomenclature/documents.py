"""Which class a document's type belongs to (ASS_X16), and what classes and types are called in French.

Guarantees: the class is derived from the type alone, in dated editions: a change of the table is a new edition, never a
condition in code. Leaves to others: who may read or deposit a class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from services.nomenclature.oids import LOINC, TRE_A04_DOCUMENT_TYPES

# Published documents give LOINC codes under TRE_A04 and the reverse: either system names either code.
TYPE_SYSTEMS = frozenset({LOINC, TRE_A04_DOCUMENT_TYPES})

CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "10": "Compte rendu",
        "11": "Synthèse",
        "31": "Imagerie",
        "42": "Prescription",
        "43": "Dispensation",
        "44": "Plan, protocole",
        "45": "Traitement administré",
        "52": "Certificat, déclaration",
        "60": "Remboursement",
        "90": "Documents du patient",
        "95": "Gestion",
    }
)

TYPE_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "60591-5": "Synthèse médicale",
        "74465-6": "Questionnaire du patient",
        "75492-9": "Compte rendu de dépistage",
        "83869-8": "Plan personnalisé de prévention",
        "DOCPAT08": "Profil médical",
        "SYNTH": "Synthèse médicale",
    }
)


@dataclass(frozen=True, slots=True)
class Edition:
    """The table of types as applied from the day `effective` on: type code → class code."""

    effective: date
    class_of: Mapping[str, str]


def _edition(effective: date, types: Mapping[str, str]) -> Edition:
    return Edition(effective, MappingProxyType({code: cls for cls, codes in types.items() for code in codes.split()}))


# In order of `effective`. The published table carries no date of application: the first one is this gateway's own.
EDITIONS = (
    _edition(
        date(2025, 1, 1),
        {
            "10": "11488-4 11490-0 11502-2 11505-5 11506-3 11526-1 15507-7 15508-5 28653-4 29274-8 34112-3 34749-2 "
            "34794-8 34874-8 34875-5 47420-5 51969-4 59283-2 60568-3 67851-6 70004-7 75482-0 75492-9 75496-0 77436-4 "
            "78513-9 78601-2 83981-1 85208-7 93024-8 96349-6 BIL_AUTO DOCPAT03 DOCPAT05 DOCPAT06",
            "11": "18761-7 34133-9 34842-5 56445-0 57055-6 57057-2 57075-4 60591-5 68599-0 68817-6 74207-2 78489-2 "
            "80820-4 83836-7 83901-9 88348-8 89235-6 SYNTH DOCPAT01 DOCPAT08",
            "31": "18748-4 52040-3 IMG-KOS DOCPAT04",
            "42": "55115-0 57828-6 57832-8 57833-6 61357-0 75468-9 PRESC-AAT PRESC-BIO PRESC-KINE PRESC-INF PRESC-PEDI "
            "PRESC-ORTHOPHO PRESC-ORTHOPTIE DOCPAT02",
            "43": "60593-1 DISP_AUT",
            "44": "18776-5 77604-7 80771-9 80788-3 83869-8 PROT_ALD",
            "45": "80565-5",
            "52": "11369-6 87273-9 89601-9 96173-0 96874-3 CERT_DECL DOCPAT07",
            "60": "REMB",
            "90": "74465-6 EXPPAT_1 EXPPAT_2 EXPPAT_3",
            "95": "59284-0 86531-1 AUTORIS-SOINS ATTEST-RESID ATTEST-DROITS-AM ATTEST-ASS-COMPL ATTEST-HEBGT DOCPAT09",
        },
    ),
)


def edition_on(day: date) -> Edition:
    """The edition in force on `day`; the first one also covers the days before it."""
    return max((e for e in EDITIONS if e.effective <= day), key=lambda e: e.effective, default=EDITIONS[0])


def document_class(code: str, code_system: str, on: date | None = None) -> str | None:
    """The class code of the type `code`, or None when the type or its code system (an OID) is unknown.

    `on` picks the edition in force that day; without it, the latest one decides.
    """
    if code_system not in TYPE_SYSTEMS:
        return None
    edition = EDITIONS[-1] if on is None else edition_on(on)
    return edition.class_of.get(code)


def type_label(code: str) -> str | None:
    """What to call a type in French: its own label, or that of its class; None when the type is unknown."""
    return TYPE_LABELS.get(code) or CLASSES.get(EDITIONS[-1].class_of.get(code, ""))
