"""Types and classes: the table as published, and what is unknown to it."""

from datetime import date

import pytest

from services.nomenclature.documents import CLASSES, EDITIONS, TYPE_LABELS, document_class, edition_on, type_label
from services.nomenclature.oids import LOINC, PS_IDNAT, TRE_A04_DOCUMENT_TYPES

PER_CLASS = {"10": 35, "11": 20, "31": 4, "42": 14, "43": 2, "44": 6, "45": 1, "52": 7, "60": 1, "90": 4, "95": 8}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("75492-9", "10"),
        ("11502-2", "10"),
        ("BIL_AUTO", "10"),
        ("60591-5", "11"),
        ("SYNTH", "11"),
        ("DOCPAT08", "11"),
        ("18748-4", "31"),
        ("57833-6", "42"),
        ("60593-1", "43"),
        ("83869-8", "44"),
        ("80565-5", "45"),
        ("CERT_DECL", "52"),
        ("REMB", "60"),
        ("74465-6", "90"),
        ("ATTEST-RESID", "95"),
    ],
)
def test_a_type_has_its_class_under_either_code_system(code: str, expected: str) -> None:
    assert document_class(code, LOINC) == document_class(code, TRE_A04_DOCUMENT_TYPES) == expected


def test_the_first_edition_holds_every_type_once() -> None:
    counts = dict.fromkeys(CLASSES, 0)
    for cls in EDITIONS[0].class_of.values():
        counts[cls] += 1
    assert counts == PER_CLASS


@pytest.mark.parametrize("code", ["", "00000-0", "synth", " SYNTH", "10"])
def test_an_unknown_type_has_no_class(code: str) -> None:
    assert document_class(code, LOINC) is None
    assert type_label(code) is None


@pytest.mark.parametrize("system", ["", "2.16.840.1.113883.6.96", f"urn:oid:{LOINC}", PS_IDNAT])
def test_a_type_of_another_code_system_has_no_class(system: str) -> None:
    assert document_class("60591-5", system) is None


def test_editions_follow_each_other_and_cover_every_day() -> None:
    days = [edition.effective for edition in EDITIONS]
    assert days == sorted(set(days))
    assert all(edition_on(edition.effective) is edition for edition in EDITIONS)
    assert edition_on(date.min) is EDITIONS[0]
    assert edition_on(date.max) is EDITIONS[-1]
    assert document_class("60591-5", LOINC, on=date(2026, 1, 1)) == "11"


def test_a_type_without_a_label_of_its_own_bears_that_of_its_class() -> None:
    assert type_label("83869-8") == "Plan personnalisé de prévention"
    assert type_label("60593-1") == "Dispensation"
    assert TYPE_LABELS.keys() <= EDITIONS[-1].class_of.keys()


def test_no_table_can_be_changed() -> None:
    for table in (CLASSES, TYPE_LABELS, EDITIONS[0].class_of):
        with pytest.raises(TypeError):
            table["10"] = "x"  # type: ignore[index]
