"""Documents that must be refused, by name, each built from a good one, with the reason of its refusal.

A good document is any of `examples/documents`: its elements carry no prefix, and its header one recordTarget with one
INS. Big ones are built only when asked for.
"""

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import Reason

Build = Callable[[bytes], bytes]
MIB = 1024 * 1024

PATIENT = rb"  <recordTarget>.*?</recordTarget>\n"
ROLE = rb"    <patientRole>.*?</patientRole>\n"
AUTHOR = rb"  <author>.*?</author>\n"
BODY = rb"  <component>.*  </component>\n(?=</ClinicalDocument>)"
INS = rb'<id root="1\.2\.250\.1\.213\.1\.4\.10" extension="(\d{15})"/>'
ID, CODE, TITLE = (rb"\n  <%b\b[^>]*>" % name for name in (b"id", b"code", b"title"))
OPEN, CLOSE, DECLARATION = rb"<ClinicalDocument\b", rb"</ClinicalDocument>\s*", rb"^<\?xml[^>]*\?>"


@dataclass(frozen=True, slots=True)
class BadDocument:
    """How to build it from a good document, and why it is refused; `allow_test` says on which sort of platform."""

    build: Build
    reason: Reason
    allow_test: bool = True


def edit(pattern: bytes, change: Callable[[bytes], bytes]) -> Build:
    """A build that passes the first match of `pattern`, which must exist, through `change`."""

    def build(good: bytes) -> bytes:
        match = re.search(pattern, good, re.DOTALL)
        assert match is not None, pattern
        return good[: match.start()] + change(match[0]) + good[match.end() :]

    return build


def copy(pattern: bytes, before: bytes, wrap: bytes = b"%b") -> Build:
    """A build that repeats what `pattern` finds, formatted by `wrap`, before the first match of `before`."""

    def build(good: bytes) -> bytes:
        match = re.search(pattern, good, re.DOTALL)
        assert match is not None, pattern
        copied = wrap % match[0]
        return edit(before, lambda found: copied + found)(good)

    return build


def drop(pattern: bytes) -> Build:
    """A build without what `pattern` finds first."""
    return edit(pattern, lambda _: b"")


def put(before: bytes, content: Callable[[], bytes]) -> Build:
    """A build with `content` before the first match of `before`."""
    return lambda good: edit(before, lambda found: content() + found)(good)


def doctype(declaration: bytes, reference: bytes = b"") -> Build:
    """A build with a DOCTYPE, and `reference` in the title."""
    return lambda good: edit(TITLE, lambda found: found + reference)(put(OPEN, lambda: declaration)(good))


def wrapped(
    count: int, root: bytes = b"xsl:stylesheet", namespace: bytes = b"http://www.w3.org/1999/XSL/Transform"
) -> Build:
    """A build with `count` copies of the document inside another root."""

    def build(good: bytes) -> bytes:
        document = re.sub(DECLARATION, b"", good)
        return b'<%b xmlns:xsl="%b" version="1.0">%b</%b>' % (root, namespace, document * count, root)

    return build


def zipped(good: bytes, members: int = 1) -> bytes:
    """A ZIP archive of `members` copies of the document."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(members):
            file.writestr(f"{n}.xml", good)
    return archive.getvalue()


def lying_zip(good: bytes) -> bytes:
    """A ZIP archive whose directory announces ten bytes for a longer document."""
    archive = bytearray(zipped(good))
    directory = archive.rindex(b"PK\x01\x02")
    archive[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    return bytes(archive)


def billion_laughs() -> bytes:
    """Nine entities, each ten times the one before: 3 GB when expanded."""
    entities = b"".join(b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    return b'<!DOCTYPE ClinicalDocument [<!ENTITY l0 "lol">%b]>' % entities


def nested(depth: int) -> bytes:
    """Elements nested `depth` deep."""
    return b"<a>" * depth + b"</a>" * depth


def matricule(change: Callable[[bytes], bytes]) -> Build:
    """A build whose INS matricule has gone through `change`."""
    return edit(INS, lambda found: re.sub(rb"\d{15}", lambda m: change(m[0]), found))


def wrong_key(good: bytes) -> bytes:
    """The matricule with a key one more than it should be, modulo 97."""
    return good[:13] + b"%02d" % (int(good[13:]) % 97 + 1)


def recoded(encoding: str) -> Build:
    """A build in another encoding, which its declaration names."""

    def build(good: bytes) -> bytes:
        text = re.sub(DECLARATION, b'<?xml version="1.0" encoding="%b"?>' % encoding.encode(), good).decode()
        return text.encode(encoding, errors="xmlcharrefreplace")

    return build


SECOND_DOCUMENT = b'<ClinicalDocument xmlns="urn:hl7-org:v3"/>'
SECTION = rb"<text\b"
XML_ENTITY = b'<!DOCTYPE ClinicalDocument [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
XML_PARAMETER = b'<!DOCTYPE ClinicalDocument [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p.dtd"> %p;]>'
XML_QUADRATIC = b'<!DOCTYPE ClinicalDocument [<!ENTITY q "' + b"q" * 50_000 + b'">]>'

UNSAFE: dict[str, Build] = {
    "billion_laughs": lambda good: doctype(billion_laughs(), b"&l9;")(good),
    "quadratic_blowup": doctype(XML_QUADRATIC, b"&q;" * 10_000),
    "bare_doctype": doctype(b"<!DOCTYPE ClinicalDocument>"),
    "external_dtd": doctype(b'<!DOCTYPE ClinicalDocument SYSTEM "http://127.0.0.1:9/cda.dtd">'),
    "external_entity": doctype(XML_ENTITY, b"&x;"),
    "parameter_entity": doctype(XML_PARAMETER),
    "endless_doctype": lambda good: doctype(b'<!DOCTYPE ClinicalDocument SYSTEM "' + b"d" * 10 * MIB)(good),
    "attribute_10mb": put(SECTION, lambda: b'<a b="' + b"b" * 10 * MIB + b'"/>'),
    "attribute_over_64k": put(SECTION, lambda: b'<a b="' + b"b" * (64 * 1024 + 1) + b'"/>'),
    "thousand_attributes": put(SECTION, lambda: b"<a%b/>" % b"".join(b' b%d=""' % n for n in range(1000))),
    "thousands_of_namespaces": put(SECTION, lambda: b"<a%b/>" % b"".join(b' xmlns:n%d="u"' % n for n in range(3000))),
    "huge_namespace": put(SECTION, lambda: b'<a xmlns:n="' + b"u" * 1000 + b'"/>'),
    "huge_name": put(SECTION, lambda: b"<" + b"a" * 100_000 + b"/>"),
    "huge_comment": put(SECTION, lambda: b"<!--" + b"c" * 10 * MIB + b"-->"),
    "huge_instruction": put(OPEN, lambda: b"<?i " + b"i" * 10 * MIB + b"?>"),
    "huge_header": put(PATIENT, lambda: b"<title>" + b"t" * 2 * MIB + b"</title>"),
    "deep_nesting": put(SECTION, lambda: nested(10_000)),
    "deep_nesting_in_header": put(PATIENT, lambda: nested(10_000)),
    "endless_vocabulary": put(SECTION, lambda: b"".join(b"<a%d/>" % n for n in range(50_000))),
}

MALFORMED: dict[str, Build] = {
    "empty": lambda good: b"",
    "blank": lambda good: b" \n" * 1000,
    "binary": lambda good: bytes(range(256)) * 16,
    "zip": zipped,
    "nested_zip": lambda good: zipped(zipped(good)),
    "zip_bomb": lambda good: zipped(b"\0" * 10 * MIB, members=3),
    "lying_zip": lying_zip,
    "gzip": gzip.compress,
    "truncated": lambda good: good[: len(good) // 2],
    "truncated_by_one_tag": drop(CLOSE),
    "trailing_garbage": lambda good: good + b"garbage",
    "invalid_utf8": edit(TITLE, lambda found: found + b"\xff\xfe"),
    "undeclared_latin1": lambda good: good.decode().encode("latin-1"),
    "undefined_entity": edit(TITLE, lambda found: found + b"&eacute;"),
    "utf7": recoded("utf-7"),
    "windows1252": recoded("cp1252"),
    "ebcdic": recoded("cp500"),
    "unknown_encoding": edit(DECLARATION, lambda _: b'<?xml version="1.0" encoding="x-none"?>'),
    "xml_1_1": edit(DECLARATION, lambda _: b'<?xml version="1.1" encoding="UTF-8"?>'),
    "not_cda": lambda good: b"<html><body/></html>",
    "fhir_json": lambda good: b'{"resourceType": "Bundle"}',
    "other_namespace": edit(rb"urn:hl7-org:v3", lambda _: b"urn:hl7-org:v2"),
    "no_namespace": drop(rb' xmlns="urn:hl7-org:v3"'),
    "inside_another_root": wrapped(1, b"Envelope", b"urn:example"),
    "inside_a_false_stylesheet": wrapped(1, namespace=b"urn:example"),
    "empty_stylesheet": wrapped(0),
    "two_documents_in_a_stylesheet": wrapped(2),
    "document_inside_the_body": put(SECTION, lambda: SECOND_DOCUMENT),
    "document_inside_the_header": put(PATIENT, lambda: SECOND_DOCUMENT),
    "no_id": drop(ID),
    "two_ids": copy(ID, PATIENT),
    "id_without_root": edit(ID, lambda _: b'\n  <id nullFlavor="UNK"/>'),
    "no_code": drop(CODE),
    "two_codes": copy(CODE, PATIENT),
    "code_without_system": edit(CODE, lambda found: re.sub(rb' codeSystem="[^"]*"', b"", found)),
    "no_body": drop(BODY),
    "two_bodies": copy(BODY, CLOSE),
}

AMBIGUOUS: dict[str, Build] = {
    "two_record_targets": copy(PATIENT, AUTHOR),
    "record_target_after_component": copy(PATIENT, CLOSE),
    "record_target_in_the_body": copy(PATIENT, SECTION),
    "record_target_in_an_extension": copy(PATIENT, PATIENT, b'<x:x xmlns:x="urn:example">%b</x:x>'),
    "record_target_in_an_extension_after_component": copy(PATIENT, CLOSE, b'<x:x xmlns:x="urn:example">%b</x:x>'),
    "record_target_with_a_prefix": copy(PATIENT, CLOSE, b'<h:recordTarget xmlns:h="urn:hl7-org:v3"/><!--%b-->'),
    "record_target_beside_the_document": lambda good: wrapped(1)(good).replace(
        b"</ClinicalDocument>", b'</ClinicalDocument><recordTarget xmlns="urn:hl7-org:v3"/>'
    ),
    "no_record_target": drop(PATIENT),
    "two_patient_roles": copy(ROLE, ROLE),
    "no_patient_role": drop(ROLE),
    "patient_role_in_the_body": copy(ROLE, SECTION),
    "author_after_component": copy(AUTHOR, CLOSE),
    "id_after_component": copy(ID, CLOSE),
    "code_after_component": copy(CODE, CLOSE),
    "title_after_component": copy(TITLE, CLOSE, b"%b</title>"),
    "confidentiality_after_component": put(CLOSE, lambda: b'<confidentialityCode code="R"/>'),
    "two_ins": edit(INS, lambda found: found + found.replace(b".4.10", b".4.8")),
}

BAD_DOCUMENTS: dict[str, BadDocument] = {
    **{name: BadDocument(build, Reason.DOCUMENT_UNSAFE) for name, build in UNSAFE.items()},
    **{name: BadDocument(build, Reason.DOCUMENT_MALFORMED) for name, build in MALFORMED.items()},
    **{name: BadDocument(build, Reason.PATIENT_AMBIGUOUS) for name, build in AMBIGUOUS.items()},
    "no_ins": BadDocument(drop(INS), Reason.INS_MISSING),
    "wrong_ins_key": BadDocument(matricule(wrong_key), Reason.INS_INVALID),
    "short_ins": BadDocument(matricule(lambda good: good[:13]), Reason.INS_INVALID),
    "ins_with_spaces": BadDocument(matricule(lambda good: good + b" "), Reason.INS_INVALID),
    "ins_in_other_digits": BadDocument(
        matricule(lambda good: "".join(chr(0x0660 + c - 48) for c in good).encode()), Reason.INS_INVALID
    ),
    "test_ins": BadDocument(lambda good: good, Reason.INS_TEST_REFUSED, allow_test=False),
    "demonstration_ins": BadDocument(
        edit(INS, lambda found: found.replace(b".4.10", b".4.11")), Reason.INS_TEST_REFUSED, allow_test=False
    ),
    "unknown_type": BadDocument(
        edit(CODE, lambda found: re.sub(rb' code="[^"]*"', b' code="00000-0"', found)), Reason.DOCUMENT_TYPE_UNKNOWN
    ),
    "unknown_type_system": BadDocument(
        edit(CODE, lambda found: found.replace(b"2.16.840.1.113883.6.1", b"2.16.840.1.113883.6.96")),
        Reason.DOCUMENT_TYPE_UNKNOWN,
    ),
}
