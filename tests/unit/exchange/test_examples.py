"""The project's own documents: their README is true, and every identifier in them is well formed."""

import base64
import re
from pathlib import Path

import pytest

from services.exchange.domain.cda import CdaHeader, CdaReader
from services.exchange.domain.patient import patient_ins
from services.nomenclature.documents import document_class
from services.nomenclature.oids import INS_NIR_TEST, PS_IDNAT, STRUCT_IDNAT, is_oid
from services.nomenclature.professions import ps_idnat_is_valid, struct_idnat_is_valid

FOLDER = Path(__file__).parents[3] / "examples" / "documents"
FILES = sorted(FOLDER.glob("*.xml"))
ROW = re.compile(r"\| `(\S+)` \| (\S+) .*? \| (\d\d) \| (\d{15}) \| (\d) .*? \|")


def read(file: Path) -> CdaHeader:
    reader = CdaReader()
    reader.feed(file.read_bytes())
    return reader.close()


def identifiers(file: Path, root: str) -> list[str]:
    return re.findall(rf'root="{re.escape(root)}" extension="([^"]*)"', file.read_text("utf-8"))


def test_the_readme_describes_each_document() -> None:
    rows = {name: rest for name, *rest in ROW.findall((FOLDER / "README.md").read_text("utf-8"))}
    assert sorted(rows) == [file.name for file in FILES]
    for file in FILES:
        header = read(file)
        code, cls, matricule, authors = rows[file.name]
        assert header.type.code == code
        assert document_class(header.type.code, header.type.system) == cls
        assert patient_ins(header, allow_test=True).matricule == matricule
        assert len(header.authors) == int(authors)


def test_every_document_has_an_identifier_of_its_own() -> None:
    ids = [read(file).unique_id for file in FILES]
    assert len(set(ids)) == len(ids) == 6
    assert all(is_oid(identifier.root) for identifier in ids)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_identifier_passes_its_check(file: Path) -> None:
    assert all(map(ps_idnat_is_valid, identifiers(file, PS_IDNAT)))
    assert all(map(struct_idnat_is_valid, identifiers(file, STRUCT_IDNAT)))
    assert len(set(identifiers(file, INS_NIR_TEST))) == 1


def test_the_prescription_carries_a_pdf() -> None:
    text = re.search(r'representation="B64">(.*?)</text>', (FOLDER / "prescription.xml").read_text("utf-8"), re.DOTALL)
    assert text is not None
    assert base64.b64decode(text[1]).startswith(b"%PDF-1.4")
