"""A push parser for XML from strangers: it reports elements and refuses whatever could harm the process that reads them.

Guarantees: memory is bounded whatever the size of the document; no DTD, entity or external reference is ever read; the
verdict does not depend on how the bytes were cut into chunks. Leaves to others: what the elements mean.

How: bytes reach expat in blocks of exactly 64 KiB. So only a token that a block boundary cuts can be longer than a block,
and only such a token needs its lengths checked; and a slow sender of one-byte chunks cannot have a token scanned anew at
each byte. Text and CDATA are not tokens: base64 of any size streams through.
"""

from collections.abc import Callable
from xml.parsers.expat import ErrorString, ExpatError, ParserCreate, XMLParserType

from services.errors import AccordError, Reason

BLOCK = 64 * 1024
MAX_TOKEN = 1024 * 1024
"""Bytes of one tag, comment or processing instruction that may wait for its end."""
MAX_ATTRIBUTE = 64 * 1024
"""Characters of one attribute value or one name."""
MAX_ATTRIBUTES = 256
"""Attributes of one element, namespace declarations apart."""
MAX_DEPTH = 200
"""Elements open at once."""
MAX_NAMESPACE = 256
"""Characters of one namespace name and its prefix: expat repeats the name in each prefixed one."""
MAX_NAMESPACES = 1024
"""Namespace declarations in scope at once."""
MAX_VOCABULARY = 256 * 1024
"""Characters of all distinct names, which expat never forgets; each counts 64 more for what it costs to keep."""

# What expat reads by itself; for any other encoding it would ask Python's codecs, 256 characters at a time.
ENCODINGS = frozenset({"UTF-8", "UTF-16", "UTF-16BE", "UTF-16LE", "ISO-8859-1", "US-ASCII"})

# A control character, which XML 1.0 forbids even as a reference: no namespace can contain it and pass for another.
SEPARATOR = "\x1f"


def qualified(namespace: str, local: str) -> str:
    """The name under which `SafeXml` reports the element `local` of `namespace`."""
    return f"{namespace}{SEPARATOR}{local}"


def _unsafe(what: str) -> AccordError:
    return AccordError(Reason.DOCUMENT_UNSAFE, what)


class SafeXml:
    """Calls `started(name, [attribute, value, …])` and `ended()` for each element, until an error or `close`."""

    def __init__(self, started: Callable[[str, list[str]], None], ended: Callable[[], None]) -> None:
        self._started, self._ended = started, ended
        self._names: dict[str, str] = {}
        self._names_weighed = 0
        self._block = bytearray()
        self._fed = self._offset = self._depth = self._namespaces = self._silent_below = 0
        self._watched: frozenset[str] = frozenset()
        self._cut = False
        self._failure: AccordError | None = None
        self._parser: XMLParserType | None = self._create()

    def feed(self, chunk: bytes) -> None:
        """Parse what `chunk` completes.

        Raises: AccordError DOCUMENT_UNSAFE beyond a limit or at a DOCTYPE, DOCUMENT_MALFORMED for what is not XML 1.0 in
        an encoding of `ENCODINGS`, and whatever the callbacks raise; after an error, the same one at each call.
        """
        self._require_open()
        taken = 0
        while taken < len(chunk):
            piece = chunk[taken : taken + BLOCK - len(self._block)]
            self._block += piece
            taken += len(piece)
            if len(self._block) == BLOCK:
                self._flush(final=False)

    def close(self) -> None:
        """Parse the rest and check that the document is complete.

        Raises: as `feed`.
        """
        self._require_open()
        self._flush(final=True)
        self._parser = None

    @property
    def offset(self) -> int:
        """The byte offset in the document of what is being reported, or of the token that waits for its end."""
        if self._parser is not None and self._parser.CurrentByteIndex >= 0:
            self._offset = self._parser.CurrentByteIndex
        return self._offset

    def skip(self, watched: frozenset[str]) -> None:
        """Within `started`: report only the elements in `watched`, until the end of this element, which is reported."""
        self._watched, self._silent_below = watched, self._depth

    def _create(self) -> XMLParserType:
        parser = ParserCreate(namespace_separator=SEPARATOR, intern=self._names)
        parser.ordered_attributes = True
        parser.XmlDeclHandler = self._on_declaration
        parser.StartDoctypeDeclHandler = self._on_doctype
        parser.StartNamespaceDeclHandler = self._on_namespace
        parser.EndNamespaceDeclHandler = self._on_namespace_end
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        # Since 2.6 expat may put off a long token, which would then seem longer than it is; blocks already bound what
        # that is for.
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        return parser

    def _require_open(self) -> XMLParserType:
        if self._failure is not None:
            raise self._failure
        if self._parser is None:
            raise RuntimeError("the document is closed")
        return self._parser

    def _flush(self, *, final: bool) -> None:
        try:
            self._parse(self._require_open(), final=final)
            if not final:
                self._check_limits()
        except AccordError as failure:
            # The parser refers back to this object: letting go of it here frees its buffers at once.
            self._failure, self._parser = failure, None
            raise

    def _parse(self, parser: XMLParserType, *, final: bool) -> None:
        self._cut = True
        self._fed += len(self._block)
        try:
            parser.Parse(self._block, final)
        except ExpatError as error:
            raise AccordError(Reason.DOCUMENT_MALFORMED, f"not well-formed XML: {ErrorString(error.code)}") from None
        self._block.clear()

    def _check_limits(self) -> None:
        if self._fed - self.offset > MAX_TOKEN:
            raise _unsafe("a tag, comment or instruction is too long")
        if len(self._names) > self._names_weighed:
            self._names_weighed = len(self._names)
            if sum(64 + len(name or "") for name in self._names) > MAX_VOCABULARY:
                raise _unsafe("too many distinct names")

    def _on_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0":
            raise AccordError(Reason.DOCUMENT_MALFORMED, "only XML 1.0 is read here")
        if encoding is not None and encoding.upper() not in ENCODINGS:
            raise AccordError(Reason.DOCUMENT_MALFORMED, "only UTF-8, UTF-16 and ISO-8859-1 are read here")

    def _on_doctype(self, name: str, system: str | None, public: str | None, has_subset: int) -> None:
        raise _unsafe("a DOCTYPE is never read here")

    def _on_namespace(self, prefix: str | None, uri: str | None) -> None:
        self._namespaces += 1
        if self._namespaces > MAX_NAMESPACES or len(prefix or "") + len(uri or "") > MAX_NAMESPACE:
            raise _unsafe("too many namespaces, or too long a one")

    def _on_namespace_end(self, prefix: str | None) -> None:
        self._namespaces -= 1

    def _on_start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH or len(attributes) > 2 * MAX_ATTRIBUTES:
            raise _unsafe("elements are nested too deep, or one has too many attributes")
        if self._cut:
            self._cut = False
            if any(len(text) > MAX_ATTRIBUTE for text in (name, *attributes)):
                raise _unsafe("an attribute or a name is too long")
        if self._silent_below and name not in self._watched:
            return
        self._started(name, attributes)

    def _on_end(self, name: str) -> None:
        self._depth -= 1
        if 0 < self._silent_below <= self._depth:
            return
        self._silent_below = 0
        self._ended()
