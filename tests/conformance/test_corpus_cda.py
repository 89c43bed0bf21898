"""Documents published by the Agence du numérique en santé, read as they are: outside the project, beside its folder."""

from collections import Counter
from pathlib import Path

import pytest

from services.errors import AccordError
from services.exchange.domain.cda import CdaHeader, CdaReader
from services.exchange.domain.patient import patient_ins
from services.nomenclature.documents import document_class

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "cda"
FILES = sorted(CORPUS.glob("*.xml"))

pytestmark = pytest.mark.skipif(not FILES, reason="no published documents in ../shared/corpus/cda")


def read(document: bytes, chunk: int) -> CdaHeader:
    reader = CdaReader()
    for at in range(0, len(document), chunk):
        reader.feed(document[at : at + chunk])
    return reader.close()


def verdicts(*, allow_test: bool) -> Counter[str]:
    seen: Counter[str] = Counter()
    for file in FILES:
        try:
            patient_ins(read(file.read_bytes(), 65_536), allow_test=allow_test)
            seen["accepted"] += 1
        except AccordError as refused:
            seen[refused.reason.value] += 1
    return seen


def test_thirty_documents_are_there() -> None:
    assert len(FILES) == 30


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_published_document_has_a_header_and_a_class(file: Path) -> None:
    header = read(file.read_bytes(), 65_536)
    assert document_class(header.type.code, header.type.system) is not None
    assert header.authors
    assert header.confidentiality == ("N",)
    assert header.wrapped == file.stem.endswith("Auto-Presentable")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_header_is_the_same_however_the_bytes_come(file: Path) -> None:
    document = file.read_bytes()
    sizes = [7, 4096, 65_535, 65_536, 65_537, 262_144] + ([1] if len(document) < 100_000 else [])
    assert len({read(document, size) for size in sizes}) == 1


def test_a_test_platform_takes_all_but_the_four_wrong_keys() -> None:
    assert verdicts(allow_test=True) == {"accepted": 26, "INS_INVALID": 4}


def test_production_takes_only_the_two_real_ins() -> None:
    assert verdicts(allow_test=False) == {"accepted": 2, "INS_INVALID": 2, "INS_TEST_REFUSED": 26}
