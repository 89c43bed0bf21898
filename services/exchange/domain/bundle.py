"""Whether a bundle is what its manifest declares: time window, limits, and each document against its own header.

Pure. Guarantees that a document which passes names one valid INS and has the type and authors declared, and that its class
follows from its type alone. Leaves to others: the bytes (`spool`), whose INS it is and every right (the ledger).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.errors import AccordError, Reason
from services.exchange.domain.cda import CdaHeader
from services.exchange.domain.patient import patient_ins
from services.formats.manifest import DeclaredDocument, Manifest
from services.nomenclature.documents import document_class
from services.nomenclature.ins import Ins
from services.nomenclature.oids import PS_IDNAT, STRUCT_IDNAT
from services.nomenclature.professions import ps_idnat_is_valid, struct_idnat_is_valid

LEEWAY_MS = 30_000
"""How far the sender's clock may be from ours."""

_LABEL = re.compile(r"[A-Z_]{1,40}")
_AUTHOR_CHECKS = {PS_IDNAT: ps_idnat_is_valid, STRUCT_IDNAT: struct_idnat_is_valid}


@dataclass(frozen=True, slots=True)
class Limits:
    """The most bytes that one bundle, and one document, may have."""

    bundle: int
    document: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What a platform asks of documents: whether test identities pass, whether national identifiers are checked."""

    allow_test_ins: bool
    check_author_identifiers: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """A document that is as declared: whose it is, its class (JDV_J57) and type, its confidentiality (JDV_J58, TRE_A07)."""

    ins: Ins
    document_class: str
    document_type: str
    labels: tuple[str, ...] = ()


def check_window(manifest: Manifest, now_ms: int) -> None:
    """The manifest is neither from the future nor over, within LEEWAY_MS. Raises: AccordError MANIFEST_EXPIRED."""
    if now_ms < manifest.issued_s * 1000 - LEEWAY_MS:
        raise AccordError(Reason.MANIFEST_EXPIRED, "the manifest is from the future")
    if now_ms >= manifest.expires_s * 1000 + LEEWAY_MS:
        raise AccordError(Reason.MANIFEST_EXPIRED, "the manifest has expired")


def check_limits(documents: Iterable[DeclaredDocument], limits: Limits) -> None:
    """The declared sizes are within the limits. Raises: AccordError BUNDLE_TOO_LARGE."""
    sizes = [document.size for document in documents]
    if max(sizes) > limits.document:
        raise AccordError(Reason.BUNDLE_TOO_LARGE, f"a document has more than {limits.document} bytes")
    if sum(sizes) > limits.bundle:
        raise AccordError(Reason.BUNDLE_TOO_LARGE, f"the bundle has more than {limits.bundle} bytes")


def check_document(declared: DeclaredDocument, header: CdaHeader, rules: Rules) -> Checked:
    """The document whose header this is, if it is as declared.

    Raises: AccordError, in this order: INS_MISSING, PATIENT_AMBIGUOUS, INS_INVALID, INS_TEST_REFUSED;
    DOCUMENT_TYPE_MISMATCH; DOCUMENT_TYPE_UNKNOWN; AUTHOR_MISMATCH; AUTHOR_INVALID; DOCUMENT_MALFORMED.
    """
    ins = patient_ins(header, allow_test=rules.allow_test_ins)
    if (declared.type.code, declared.type.system) != (header.type.code, header.type.system):
        raise AccordError(Reason.DOCUMENT_TYPE_MISMATCH)
    found = document_class(header.type.code, header.type.system)
    if found is None:
        raise AccordError(Reason.DOCUMENT_TYPE_UNKNOWN)
    authors = {(author.root, author.extension) for author in header.authors}
    if set(declared.authors) != authors:
        raise AccordError(Reason.AUTHOR_MISMATCH)
    if rules.check_author_identifiers and not all(_author_is_valid(root, value) for root, value in authors):
        raise AccordError(Reason.AUTHOR_INVALID)
    return Checked(ins, found, header.type.code, _labels(header.confidentiality))


def categories(documents: Iterable[Checked]) -> tuple[str, ...]:
    """The data categories that move, each once, in order: `type:CODE`, for a right may stop short of a whole class."""
    return tuple(sorted({f"type:{document.document_type}" for document in documents}))


def labels(documents: Iterable[Checked]) -> tuple[str, ...]:
    """The confidentiality codes of what moves, each once, in order."""
    return tuple(sorted({label for document in documents for label in document.labels}))


def _labels(codes: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_LABEL.fullmatch, codes)):
        raise AccordError(Reason.DOCUMENT_MALFORMED, "a confidentiality code has a wrong form")
    return codes


def _author_is_valid(root: str, extension: str) -> bool:
    check = _AUTHOR_CHECKS.get(root)
    return check is None or check(extension)
