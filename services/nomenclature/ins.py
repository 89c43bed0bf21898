"""The INS, the national health identity: an OID that says its kind, and a matricule of 13 characters and a key.

Guarantees: an `Ins` made by `parse_ins` has a known root and a matricule whose key is right, and its `repr` never shows
the matricule. Leaves to others: whether the identity is qualified, and whose it is.
"""

import re
from dataclasses import dataclass, field

from services.errors import AccordError, Reason
from services.nomenclature.oids import INS_NIA, INS_NIR, INS_NIR_DEMO, INS_NIR_TEST

TEST_ROOTS = frozenset({INS_NIR_TEST, INS_NIR_DEMO})
ROOTS = TEST_ROOTS | {INS_NIR, INS_NIA}

# The sixth and seventh characters are the department of birth, 2A or 2B in Corsica. No number begins with 0: without
# that, fifteen zeros but for the key would pass.
_MATRICULE = re.compile(r"(?P<number>[1-9][0-9]{4}(?:[0-9]{2}|2[AB])[0-9]{6})(?P<key>[0-9]{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Ins:
    """One patient's INS: the root OID, and the 15 characters of the matricule with its key."""

    root: str
    matricule: str = field(repr=False)


def is_ins_root(root: str) -> bool:
    """Whether `root` is one of the four OIDs of an INS: NIR, NIA, NIR-TEST, NIR-DEMO."""
    return root in ROOTS


def key_is_valid(matricule: str) -> bool:
    """Whether `matricule` is 13 characters followed by their key, 97 − (n mod 97), 2A counting as 19 and 2B as 18."""
    match = _MATRICULE.fullmatch(matricule)
    if match is None:
        return False
    number = int(match["number"].replace("2A", "19").replace("2B", "18"))
    return int(match["key"]) == 97 - number % 97


def parse_ins(root: str, matricule: str, *, allow_test: bool) -> Ins:
    """The INS that `root` and `matricule` write; `allow_test` admits the test and demonstration roots.

    Raises: AccordError INS_TEST_REFUSED for a test or demonstration root where none is allowed, INS_INVALID for another
    root, a wrong form or a wrong key.
    """
    if root not in ROOTS:
        raise AccordError(Reason.INS_INVALID, "the identifier's root is not that of an INS")
    if root in TEST_ROOTS and not allow_test:
        raise AccordError(Reason.INS_TEST_REFUSED)
    if not key_is_valid(matricule):
        raise AccordError(Reason.INS_INVALID)
    return Ins(root, matricule)
