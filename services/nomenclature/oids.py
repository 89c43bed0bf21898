"""The OIDs that French health documents are made of, and the syntax of an OID.

Leaves to others: what an OID outside this list means.
"""

import re

INS_NIR = "1.2.250.1.213.1.4.8"
INS_NIA = "1.2.250.1.213.1.4.9"
INS_NIR_TEST = "1.2.250.1.213.1.4.10"
INS_NIR_DEMO = "1.2.250.1.213.1.4.11"

PS_IDNAT = "1.2.250.1.71.4.2.1"
STRUCT_IDNAT = "1.2.250.1.71.4.2.2"

LOINC = "2.16.840.1.113883.6.1"
TRE_A04_DOCUMENT_TYPES = "1.2.250.1.213.1.1.4.12"
TRE_A07_CONFIDENTIALITY = "1.2.250.1.213.1.1.4.13"
TRE_G15_PROFESSIONS = "1.2.250.1.71.1.2.7"
TRE_R248_ACCESS_MODES = "1.2.250.1.213.1.1.4.248"
HL7_CONFIDENTIALITY = "2.16.840.1.113883.5.25"

MAX_OID_LENGTH = 64
_OID = re.compile(r"(?:[01]\.(?:0|[1-9]|[12][0-9]|3[0-9])|2\.(?:0|[1-9][0-9]*))(?:\.(?:0|[1-9][0-9]*))*", re.ASCII)


def is_oid(text: str) -> bool:
    """Whether `text` is a dotted OID of at most 64 characters (X.660: first arc 0 to 2, below 0 and 1 at most 39)."""
    return len(text) <= MAX_OID_LENGTH and _OID.fullmatch(text) is not None
