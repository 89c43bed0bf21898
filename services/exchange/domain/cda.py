"""Reads the header of a CDA R2 document while its bytes pass, and proves that it names one patient in one place.

Guarantees: a header is returned only for a complete document that holds exactly one ClinicalDocument (the root, or inside
an XSL stylesheet that presents it), whose body comes last and where nothing outside the header can pass for it. Memory is
bounded by `safexml`. Leaves to others: schema validity, the INS (`patient`), and whether type and authors are as declared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from services.errors import AccordError, Reason
from services.exchange.domain.safexml import SafeXml, qualified

HL7 = "urn:hl7-org:v3"
XSL = "http://www.w3.org/1999/XSL/Transform"
MAX_HEADER = 1024 * 1024
"""Bytes from the ClinicalDocument to its component; published headers take 30 KB at most."""

_DOCUMENT = qualified(HL7, "ClinicalDocument")
_STYLESHEETS = frozenset({qualified(XSL, "stylesheet"), qualified(XSL, "transform")})
# CDA R2 places these once: an application that looks for them anywhere must find the header's.
_ONLY_IN_HEADER = frozenset({_DOCUMENT, qualified(HL7, "recordTarget"), qualified(HL7, "patientRole")})
_READ = "id code confidentialityCode recordTarget patientRole author assignedAuthor component"
_KNOWN = {qualified(HL7, local): local for local in _READ.split()}
# The places that stand at most once in a header, and the reason when one is repeated.
_ONCE = {
    "id": Reason.DOCUMENT_MALFORMED,
    "code": Reason.DOCUMENT_MALFORMED,
    "recordTarget": Reason.PATIENT_AMBIGUOUS,
    "recordTarget/patientRole": Reason.PATIENT_AMBIGUOUS,
}


@dataclass(frozen=True, slots=True)
class Coded:
    """A code and the OID of its code system."""

    code: str
    system: str


@dataclass(frozen=True, slots=True)
class Identifier:
    """An HL7 instance identifier; the extension is empty when the root alone identifies, and never shown by `repr`."""

    root: str
    extension: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CdaHeader:
    """What a document says of itself: identifiers in order and once each, `wrapped` when inside a stylesheet."""

    unique_id: Identifier
    type: Coded
    patient_ids: tuple[Identifier, ...]
    authors: tuple[Identifier, ...]
    confidentiality: tuple[str, ...]
    wrapped: bool


def _malformed(what: str) -> AccordError:
    return AccordError(Reason.DOCUMENT_MALFORMED, what)


def _ambiguous(what: str) -> AccordError:
    return AccordError(Reason.PATIENT_AMBIGUOUS, what)


def _identifier(attributes: dict[str, str]) -> Identifier | None:
    root = attributes.get("root")
    return Identifier(root, attributes.get("extension", "")) if root else None


class CdaReader:
    """Feed it a document's bytes in chunks of any size, then `close` it for the header."""

    def __init__(self) -> None:
        self._xml = SafeXml(self._started, self._ended)
        self._path: list[str] | None = None
        self._start: int | None = None
        self._root_seen = self._wrapped = self._body_seen = False
        self._unique_id: Identifier | None = None
        self._type: Coded | None = None
        self._patient_ids: dict[Identifier, None] = {}
        self._authors: dict[Identifier, None] = {}
        self._confidentiality: list[str] = []
        self._seen: set[str] = set()
        self._steps: dict[str, Callable[[dict[str, str]], None]] = {
            "id": self._on_id,
            "code": self._on_code,
            "confidentialityCode": self._on_confidentiality,
            "recordTarget/patientRole/id": partial(self._on_identifier, self._patient_ids),
            "author/assignedAuthor/id": partial(self._on_identifier, self._authors),
            "component": self._on_body,
        }

    def feed(self, chunk: bytes) -> None:
        """Read what `chunk` completes; one refused document keeps its reason at each call.

        Raises: AccordError DOCUMENT_UNSAFE, DOCUMENT_MALFORMED or PATIENT_AMBIGUOUS, without any content.
        """
        self._xml.feed(chunk)

    def close(self) -> CdaHeader:
        """The header, once the whole document has been fed.

        Raises: as `feed`; DOCUMENT_MALFORMED also for an incomplete document, PATIENT_AMBIGUOUS for one without patient.
        """
        self._xml.close()
        if self._unique_id is None or self._type is None:
            raise _malformed("the ClinicalDocument, its id or its code is missing")
        if not self._body_seen:
            raise _malformed("the ClinicalDocument has no component")
        if "recordTarget/patientRole" not in self._seen:
            raise _ambiguous("the header names no patient")
        return CdaHeader(
            unique_id=self._unique_id,
            type=self._type,
            patient_ids=tuple(self._patient_ids),
            authors=tuple(self._authors),
            confidentiality=tuple(self._confidentiality),
            wrapped=self._wrapped,
        )

    def _started(self, name: str, attributes: list[str]) -> None:
        if self._path is None:
            self._outside(name)
        elif self._body_seen:
            self._after_header(name, self._path)
        else:
            self._in_header(name, attributes, self._path)

    def _ended(self) -> None:
        if self._path:
            self._path.pop()
        else:
            self._path = None

    def _outside(self, name: str) -> None:
        if name == _DOCUMENT and self._start is None and (self._wrapped or not self._root_seen):
            self._path, self._start = [], self._xml.offset
        elif not self._root_seen:
            self._wrapped = name in _STYLESHEETS
            if not self._wrapped:
                raise _malformed("the root is neither a ClinicalDocument nor a stylesheet that holds one")
        else:
            self._refuse_outside_header(name)
        self._root_seen = True

    def _in_header(self, name: str, attributes: list[str], path: list[str]) -> None:
        if self._start is not None and self._xml.offset - self._start > MAX_HEADER:
            raise AccordError(Reason.DOCUMENT_UNSAFE, "the header is too long")
        path.append(_KNOWN.get(name, "*"))
        place = "/".join(path)
        if place in _ONCE:
            self._count(place)
        else:
            self._refuse_outside_header(name)
        step = self._steps.get(place)
        if step is not None:
            step(dict(zip(attributes[::2], attributes[1::2], strict=True)))

    def _count(self, place: str) -> None:
        if place in self._seen:
            raise AccordError(_ONCE[place], f"the header repeats {place}")
        self._seen.add(place)

    def _after_header(self, name: str, path: list[str]) -> None:
        if not path and name.startswith(qualified(HL7, "")):
            if name == qualified(HL7, "component"):
                raise _malformed("the ClinicalDocument has two components")
            raise _ambiguous("a header element follows the component")
        self._refuse_outside_header(name)
        path.append("*")

    def _refuse_outside_header(self, name: str) -> None:
        if name == _DOCUMENT:
            raise _malformed("there is more than one ClinicalDocument")
        if name in _ONLY_IN_HEADER:
            raise _ambiguous("a patient is named outside the header's recordTarget")

    def _on_id(self, attributes: dict[str, str]) -> None:
        self._unique_id = _identifier(attributes)

    def _on_code(self, attributes: dict[str, str]) -> None:
        code, system = attributes.get("code"), attributes.get("codeSystem")
        if code and system:
            self._type = Coded(code, system)

    def _on_confidentiality(self, attributes: dict[str, str]) -> None:
        code = attributes.get("code")
        if code:
            self._confidentiality.append(code)

    def _on_identifier(self, among: dict[Identifier, None], attributes: dict[str, str]) -> None:
        identifier = _identifier(attributes)
        if identifier is not None:
            among[identifier] = None

    def _on_body(self, attributes: dict[str, str]) -> None:
        self._body_seen = True
        self._xml.skip(_ONLY_IN_HEADER)
