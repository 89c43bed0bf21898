"""The CDA header: what is read of a good document, and every named bad one refused for its own reason."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import AccordError, Reason
from services.exchange.domain.cda import CdaHeader, CdaReader, Coded, Identifier
from services.exchange.domain.patient import patient_ins
from services.nomenclature.documents import document_class
from services.nomenclature.ins import Ins
from services.nomenclature.oids import INS_NIR_TEST, LOINC, PS_IDNAT
from tests.support.bad_documents import (
    AUTHOR,
    BAD_DOCUMENTS,
    BODY,
    CLOSE,
    INS,
    PATIENT,
    SECTION,
    copy,
    edit,
    put,
    wrapped,
)

EXAMPLES = Path(__file__).parents[3] / "examples" / "documents"
GOOD = (EXAMPLES / "depistage-auditif.xml").read_bytes()
TWO_AUTHORS = (EXAMPLES / "compte-rendu-biologie.xml").read_bytes()


def read(document: bytes, chunk: int = 64 * 1024) -> CdaHeader:
    reader = CdaReader()
    for at in range(0, len(document), chunk):
        reader.feed(document[at : at + chunk])
    return reader.close()


def admit(document: bytes, *, allow_test: bool, chunk: int = 64 * 1024) -> str:
    """What a broker asks of a document, in its order: the header, the patient, the class."""
    header = read(document, chunk)
    patient_ins(header, allow_test=allow_test)
    cls = document_class(header.type.code, header.type.system)
    if cls is None:
        raise AccordError(Reason.DOCUMENT_TYPE_UNKNOWN)
    return cls


def test_a_header_says_what_the_document_is_whose_and_by_whom() -> None:
    header = read(TWO_AUTHORS)
    assert header.type == Coded("11502-2", LOINC)
    assert header.unique_id.root.startswith("2.25.")
    assert header.unique_id.extension == ""
    assert header.patient_ids[0] == Identifier(INS_NIR_TEST, "279035121518989")
    assert len(header.patient_ids) == 2
    assert header.authors == (Identifier(PS_IDNAT, "899700267190"), Identifier(PS_IDNAT, "899700193404"))
    assert header.confidentiality == ("N",)
    assert not header.wrapped


@pytest.mark.parametrize("name", sorted(BAD_DOCUMENTS))
def test_a_bad_document_is_refused_for_its_reason(name: str) -> None:
    bad = BAD_DOCUMENTS[name]
    with pytest.raises(AccordError) as refused:
        admit(bad.build(GOOD), allow_test=bad.allow_test)
    assert refused.value.reason is bad.reason


@pytest.mark.parametrize("name", sorted(BAD_DOCUMENTS))
def test_a_refusal_repeats_nothing_of_the_document(name: str) -> None:
    bad = BAD_DOCUMENTS[name]
    with pytest.raises(AccordError) as refused:
        admit(bad.build(GOOD), allow_test=bad.allow_test)
    shown = refused.value.detail + str(refused.value)
    assert not any(text in shown for text in ("15509624980375", "DELANNOY", "OLLIVRY", "899700338512", "2.25."))


def read_until_refused(document: bytes) -> int:
    """How many bytes a reader takes before it refuses."""
    reader = CdaReader()
    for at in range(0, len(document), 4096):
        try:
            reader.feed(document[at : at + 4096])
        except AccordError:
            return at
    return len(document)


@pytest.mark.parametrize("name", ["attribute_10mb", "huge_comment", "huge_instruction", "endless_doctype"])
def test_a_huge_token_is_refused_long_before_its_end(name: str) -> None:
    assert read_until_refused(BAD_DOCUMENTS[name].build(GOOD)) < 2 * 1024 * 1024


@given(st.lists(st.integers(0, len(GOOD)), max_size=20))
def test_the_header_does_not_depend_on_the_chunks(cuts: list[int]) -> None:
    reader, at = CdaReader(), 0
    for cut in sorted(cuts):
        reader.feed(GOOD[at:cut])
        at = cut
    reader.feed(GOOD[at:])
    assert reader.close() == read(GOOD, 1)


@pytest.mark.parametrize(
    "name", sorted(n for n in BAD_DOCUMENTS if "10mb" not in n and "huge" not in n and n != "endless_doctype")
)
def test_the_refusal_does_not_depend_on_the_chunks(name: str) -> None:
    bad = BAD_DOCUMENTS[name]
    document = bad.build(GOOD)
    details = set()
    for chunk in (1, 1000, len(document) + 1):
        with pytest.raises(AccordError) as refused:
            admit(document, allow_test=bad.allow_test, chunk=chunk)
        details.add(str(refused.value))
    assert len(details) == 1


@settings(max_examples=300)
@given(st.data())
def test_any_bytes_get_a_header_or_a_reason(data: st.DataObject) -> None:
    document = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(document) - 1))
        document[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=8))
    try:
        read(bytes(document))
    except AccordError as refused:
        assert refused.reason in {Reason.DOCUMENT_MALFORMED, Reason.DOCUMENT_UNSAFE, Reason.PATIENT_AMBIGUOUS}  # noqa: PT017


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_each_supported_encoding_gives_the_same_header(encoding: str) -> None:
    text = GOOD.decode().replace("UTF-8", encoding.removesuffix("-sig"), 1)
    assert read(text.encode(encoding, errors="xmlcharrefreplace")) == read(GOOD)


def test_prefixes_comments_and_instructions_change_nothing() -> None:
    prefixed = re.sub(rb"<(/?)(?=[A-Za-z])", rb"<\1c:", GOOD).replace(b" xmlns=", b" xmlns:c=")
    noted = put(rb"<c:recordTarget", lambda: b"<?xml-stylesheet href='x.xsl'?><!-- <c:recordTarget/> -->")(prefixed)
    assert read(noted) == read(GOOD)


@pytest.mark.parametrize("root", [b"xsl:stylesheet", b"xsl:transform"])
def test_a_document_inside_a_stylesheet_is_recognised(root: bytes) -> None:
    header = read(wrapped(1, root)(GOOD))
    assert header.wrapped
    assert (header.unique_id, header.patient_ids) == (read(GOOD).unique_id, read(GOOD).patient_ids)


def test_a_body_of_many_megabytes_passes() -> None:
    body = b"<component><nonXMLBody><text>" + b"QUJD" * 2 * 1024 * 1024 + b"</text></nonXMLBody></component>"
    assert read(edit(BODY, lambda _: body)(GOOD)) == read(GOOD)


def test_an_author_in_the_body_is_not_the_document_s() -> None:
    other = put(SECTION, lambda: b'<author><assignedAuthor><id root="1.2" extension="x"/></assignedAuthor></author>')
    assert read(other(GOOD)).authors == read(GOOD).authors


def test_a_repeated_author_counts_once_in_order() -> None:
    assert read(copy(AUTHOR, PATIENT)(TWO_AUTHORS)).authors == read(TWO_AUTHORS).authors


def test_an_organisation_s_identifier_is_not_the_patient_s() -> None:
    provider = put(rb"    </patientRole>", lambda: b'<providerOrganization><id root="1.2.3"/></providerOrganization>')
    assert read(provider(GOOD)).patient_ids == read(GOOD).patient_ids


def test_an_identifier_without_root_is_passed_over() -> None:
    assert read(put(INS, lambda: b'<id nullFlavor="UNK"/>')(GOOD)).patient_ids == read(GOOD).patient_ids


def test_a_signature_may_follow_the_component() -> None:
    signature = put(
        CLOSE, lambda: b'<s:Signature xmlns:s="http://www.w3.org/2000/09/xmldsig#"><s:Object/></s:Signature>'
    )
    assert read(signature(GOOD)) == read(GOOD)


def test_the_same_ins_twice_is_one_patient() -> None:
    header = read(edit(INS, lambda found: found * 2)(GOOD))
    assert patient_ins(header, allow_test=True) == Ins(INS_NIR_TEST, "155096249803751")


def test_no_repr_shows_an_identifier() -> None:
    header = read(GOOD)
    assert not any(text in repr(header) for text in ("155096249803751", "899700338512"))


def test_a_refused_document_stays_refused() -> None:
    reader = CdaReader()
    with pytest.raises(AccordError) as first:
        reader.feed(b"<html/>" + b" " * 64 * 1024)
    with pytest.raises(AccordError) as second:
        reader.close()
    assert first.value is second.value
