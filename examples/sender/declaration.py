"""What a manifest declares of a document: its type and authors, copied from its own CDA header, its size and its SHA-256.

The broker compares each with the document and believes none of it: declaring is a promise, checked. A document that cannot
be read is declared as best it can be, so that its refusal comes from the broker, on the record.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from services.errors import AccordError
from services.exchange.domain.cda import CdaReader
from services.formats.manifest import Coded, DeclaredDocument
from services.nomenclature.documents import document_class
from services.nomenclature.oids import LOINC

CHUNK = 262_144
HEAD = 1 << 20
_TAG = rb"<(?:\w+:)?%b\b([^>]*)>"
_CODE = re.compile(_TAG % b"code")
_AUTHOR = re.compile(rb"<(?:\w+:)?author\b.*?</(?:\w+:)?author>", re.DOTALL)
_AUTHOR_ID = re.compile(_TAG % b"assignedAuthor" + rb"\s*" + _TAG % b"id")
_NOTHING = Coded("unknown", LOINC)


@dataclass(frozen=True, slots=True)
class Declaration:
    """A file and what is declared of it."""

    path: Path
    document: DeclaredDocument

    def to_json(self) -> dict[str, object]:
        """For the line that is printed: path, type, class (JDV_J57) and size."""
        kind = self.document.type
        return {
            "path": str(self.path),
            "type": kind.code,
            "class": document_class(kind.code, kind.system),
            "size": self.document.size,
        }


def declare(path: Path) -> Declaration:
    """Reads a file once, in chunks. Raises: OSError."""
    reader, digest, size, refused = CdaReader(), hashlib.sha256(), 0, False
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
            size += len(data)
            refused = refused or not _fed(reader, data)
    kind, authors = _guess(path) if refused else _read(reader, path)
    return Declaration(path, DeclaredDocument(kind, authors, size, digest.hexdigest()))


def _fed(reader: CdaReader, data: bytes) -> bool:
    try:
        reader.feed(data)
    except AccordError:
        return False
    return True


def _read(reader: CdaReader, path: Path) -> tuple[Coded, tuple[tuple[str, str], ...]]:
    try:
        header = reader.close()
    except AccordError:
        return _guess(path)
    authors = tuple((author.root, author.extension) for author in header.authors)
    return Coded(header.type.code, header.type.system), authors


def _guess(path: Path) -> tuple[Coded, tuple[tuple[str, str], ...]]:
    """What the first megabyte seems to say, for a document that no careful reader accepts."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    code = _CODE.search(head)
    named = _coded(code[1]) if code else None
    ids = (_AUTHOR_ID.search(author) for author in _AUTHOR.findall(head))
    authors = dict.fromkeys((_value(found[2], b"root"), _value(found[2], b"extension")) for found in ids if found)
    return named or _NOTHING, tuple(author for author in authors if author[0])


def _coded(attributes: bytes) -> Coded | None:
    code, system = _value(attributes, b"code"), _value(attributes, b"codeSystem")
    return Coded(code, system) if code and system else None


def _value(attributes: bytes, name: bytes) -> str:
    found = re.search(rb"\b%b=[\"']([^\"']*)[\"']" % name, attributes)
    return found[1].decode("utf-8", "replace") if found else ""
