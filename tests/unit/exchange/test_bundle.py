"""Whether a bundle is as its manifest declares: window, limits, header against declaration."""

from dataclasses import replace
from typing import Any

import pytest

from services.errors import AccordError, Reason
from services.exchange.domain.bundle import (
    LEEWAY_MS,
    Checked,
    Limits,
    Rules,
    categories,
    check_document,
    check_limits,
    check_window,
    labels,
)
from services.exchange.domain.cda import CdaHeader, Identifier
from services.exchange.domain.cda import Coded as Type
from services.formats.manifest import Coded, DeclaredDocument, Manifest
from services.formats.rights import Purpose
from services.nomenclature.ins import Ins

LOINC = "2.16.840.1.113883.6.1"
NIR, NIR_TEST = "1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10"
PS_IDNAT, STRUCT_IDNAT = "1.2.250.1.71.4.2.1", "1.2.250.1.71.4.2.2"
INS = Identifier(NIR, "279035121518989")
DOCTOR = Identifier(PS_IDNAT, "899700218896")
HEADER = CdaHeader(
    unique_id=Identifier("2.25.1", ""),
    type=Type("75492-9", LOINC),
    patient_ids=(INS, Identifier("2.25.2", "local")),
    authors=(DOCTOR,),
    confidentiality=("N",),
    wrapped=False,
)
DECLARED = DeclaredDocument(Coded("75492-9", LOINC), ((PS_IDNAT, "899700218896"),), 10, "0" * 64)
STRICT = Rules(allow_test_ins=False, check_author_identifiers=True)
MANIFEST = Manifest(
    "services/lumen", "mes.example", "j", 1000, 1300, "services/carnet", Purpose.CARE, "a" * 32, (DECLARED,)
)


def test_a_document_as_declared_has_its_ins_and_the_class_of_its_type() -> None:
    assert check_document(DECLARED, HEADER, STRICT) == Checked(Ins(NIR, "279035121518989"), "10", "75492-9", ("N",))


def authors(*identifiers: Identifier) -> dict[str, Any]:
    """A header with these authors, declared truly."""
    return {"header": {"authors": identifiers}, "declared": tuple((one.root, one.extension) for one in identifiers)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"patient_ids": ()}, Reason.INS_MISSING),
        ({"patient_ids": (INS, Identifier(NIR, "146026322000196"))}, Reason.PATIENT_AMBIGUOUS),
        ({"patient_ids": (Identifier(NIR, "123456789012345"),)}, Reason.INS_INVALID),
        ({"patient_ids": (Identifier(NIR_TEST, "279035121518989"),)}, Reason.INS_TEST_REFUSED),
        ({"type": Type("60591-5", LOINC)}, Reason.DOCUMENT_TYPE_MISMATCH),
        ({"type": Type("75492-9", "1.2.250.1.213.1.1.4.12")}, Reason.DOCUMENT_TYPE_MISMATCH),
        ({"authors": ()}, Reason.AUTHOR_MISMATCH),
        ({"authors": (DOCTOR, Identifier("2.25.3", ""))}, Reason.AUTHOR_MISMATCH),
        ({"authors": (Identifier(PS_IDNAT, "899700218897"),)}, Reason.AUTHOR_MISMATCH),
    ],
)
def test_threat_24_a_header_that_is_not_as_declared_is_refused(changes: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(AccordError) as caught:
        check_document(DECLARED, replace(HEADER, **changes), STRICT)
    assert caught.value.reason is reason


def test_a_type_without_a_class_is_refused_even_when_truly_declared() -> None:
    unknown = replace(DECLARED, type=Coded("00000-0", LOINC))
    with pytest.raises(AccordError) as caught:
        check_document(unknown, replace(HEADER, type=Type("00000-0", LOINC)), STRICT)
    assert caught.value.reason is Reason.DOCUMENT_TYPE_UNKNOWN


def test_authors_are_compared_as_sets() -> None:
    other = Identifier("2.25.3", "")
    declared = replace(DECLARED, authors=(("2.25.3", ""), (PS_IDNAT, DOCTOR.extension), ("2.25.3", "")))
    assert check_document(declared, replace(HEADER, authors=(DOCTOR, other)), STRICT).document_class == "10"


@pytest.mark.parametrize("author", [Identifier(PS_IDNAT, "899700218897"), Identifier(STRUCT_IDNAT, "1750100126")])
def test_a_national_identifier_with_a_wrong_key_is_refused_where_the_platform_checks_them(author: Identifier) -> None:
    declared, header = replace(DECLARED, authors=((author.root, author.extension),)), replace(HEADER, authors=(author,))
    with pytest.raises(AccordError) as caught:
        check_document(declared, header, STRICT)
    assert caught.value.reason is Reason.AUTHOR_INVALID
    lenient = replace(STRICT, check_author_identifiers=False)
    assert check_document(declared, header, lenient).document_class == "10"


def test_a_test_identity_passes_where_the_platform_allows_it() -> None:
    header = replace(HEADER, patient_ids=(Identifier(NIR_TEST, "279035121518989"),))
    assert check_document(DECLARED, header, replace(STRICT, allow_test_ins=True)).ins.root == NIR_TEST


@pytest.mark.parametrize(
    ("now_ms", "passes"),
    [
        (1_000_000 - LEEWAY_MS - 1, False),
        (1_000_000 - LEEWAY_MS, True),
        (1_300_000 + LEEWAY_MS - 1, True),
        (1_300_000 + LEEWAY_MS, False),
    ],
)
def test_a_manifest_holds_from_its_issue_to_its_end_give_or_take_the_leeway(now_ms: int, passes: bool) -> None:
    if passes:
        check_window(MANIFEST, now_ms)
        return
    with pytest.raises(AccordError) as caught:
        check_window(MANIFEST, now_ms)
    assert caught.value.reason is Reason.MANIFEST_EXPIRED


@pytest.mark.parametrize(("sizes", "passes"), [([10, 10], True), ([11], False), ([10, 10, 1], False), ([0], True)])
def test_declared_sizes_stay_within_the_limits(sizes: list[int], passes: bool) -> None:
    documents = [replace(DECLARED, size=size) for size in sizes]
    if passes:
        check_limits(documents, Limits(bundle=20, document=10))
        return
    with pytest.raises(AccordError) as caught:
        check_limits(documents, Limits(bundle=20, document=10))
    assert caught.value.reason is Reason.BUNDLE_TOO_LARGE


def test_categories_are_the_types_that_move_and_labels_theirs_each_once_in_order() -> None:
    documents = (("42", "PRESC-BIO", ("N",)), ("10", "11488-4", ("R", "N")), ("42", "PRESC-BIO", ()))
    checked = [Checked(Ins(NIR, ""), *document) for document in documents]
    assert categories(checked) == ("type:11488-4", "type:PRESC-BIO")
    assert labels(checked) == ("N", "R")


def test_a_confidentiality_code_of_a_wrong_form_is_refused() -> None:
    with pytest.raises(AccordError) as caught:
        check_document(DECLARED, replace(HEADER, confidentiality=("N", "n\nx")), STRICT)
    assert caught.value.reason is Reason.DOCUMENT_MALFORMED
