"""The push parser: what it reports, its limits to the unit, and memory that does not grow with the document."""

import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from services.errors import AccordError, Reason
from services.exchange.domain import safexml
from services.exchange.domain.safexml import BLOCK, SafeXml, qualified

Event = tuple[str, list[str]] | None


def events(document: bytes, chunk: int = BLOCK) -> list[Event]:
    seen: list[Event] = []
    xml = SafeXml(lambda name, attributes: seen.append((name, attributes)), lambda: seen.append(None))
    for at in range(0, len(document), chunk):
        xml.feed(document[at : at + chunk])
    xml.close()
    return seen


def refusal(document: bytes) -> Reason:
    with pytest.raises(AccordError) as refused:
        events(document)
    return refused.value.reason


def test_elements_are_reported_with_their_namespace_and_attributes() -> None:
    assert events(b'<a xmlns="u" b="1"><c xmlns="" d="2" xmlns:e="v" e:f="3"/></a>') == [
        (qualified("u", "a"), ["b", "1"]),
        ("c", ["d", "2", qualified("v", "f"), "3"]),
        None,
        None,
    ]


def test_skip_silences_all_but_watched_elements_until_the_current_one_ends() -> None:
    seen: list[str] = []

    def started(name: str, attributes: list[str]) -> None:
        seen.append(name)
        if name == "body":
            xml.skip(frozenset({"spy"}))

    xml = SafeXml(started, lambda: seen.append("/"))
    xml.feed(b"<doc><body><p><spy/></p><p/></body><tail/></doc>")
    xml.close()
    assert seen == ["doc", "body", "spy", "/", "tail", "/", "/"]


def deep(n: int) -> bytes:
    return b"<a>" * (n - 1) + b"</a>" * (n - 1)


def attribute(n: int) -> bytes:
    return b'<a b="' + b"c" * n + b'"/>'


def name(n: int) -> bytes:
    return b"<" + b"a" * n + b"/>"


def attributes(n: int) -> bytes:
    return b"<a%b/>" % b"".join(b' b%d=""' % i for i in range(n))


def namespace(n: int) -> bytes:
    return b'<a xmlns:n="%b"/>' % (b"u" * (n - 1))


def namespaces(n: int) -> bytes:
    return b"<a%b/>" % b"".join(b' xmlns:n%d="u"' % i for i in range(n))


@pytest.mark.parametrize(
    ("build", "limit"),
    [
        (deep, safexml.MAX_DEPTH),
        (attribute, safexml.MAX_ATTRIBUTE),
        (name, safexml.MAX_ATTRIBUTE),
        (attributes, safexml.MAX_ATTRIBUTES),
        (namespace, safexml.MAX_NAMESPACE),
        (namespaces, safexml.MAX_NAMESPACES),
    ],
)
@pytest.mark.parametrize("before", [0, BLOCK - 100, BLOCK - 7])
def test_a_limit_is_reached_but_not_passed_wherever_blocks_are_cut(
    build: Callable[[int], bytes], limit: int, before: int
) -> None:
    around = b"<r>" + b" " * before + b"%b</r>"
    assert events(around % build(limit))
    assert refusal(around % build(limit + 1)) is Reason.DOCUMENT_UNSAFE


@pytest.mark.parametrize("start", [b"<!--", b"<?a ", b"<a b='", b"</r "])
def test_a_token_is_refused_while_it_grows_and_text_never(start: bytes) -> None:
    xml = SafeXml(lambda name, attributes: None, lambda: None)
    xml.feed(b"<r>" + b"text is no token" * BLOCK + start + b" " * (safexml.MAX_TOKEN - BLOCK))
    with pytest.raises(AccordError) as refused:
        xml.feed(b" " * (2 * BLOCK))
    assert refused.value.reason is Reason.DOCUMENT_UNSAFE


def test_many_distinct_names_are_refused_however_they_come() -> None:
    assert refusal(b"<r>" + b"".join(b"<a%d/>" % n for n in range(20_000)) + b"</r>") is Reason.DOCUMENT_UNSAFE
    assert refusal(b"<r>" + b"".join(b'<a b%d=""/>' % n for n in range(20_000)) + b"</r>") is Reason.DOCUMENT_UNSAFE
    prefixes = b"".join(b'<a xmlns:p%d="u"/>' % n for n in range(20_000))
    assert refusal(b"<r>" + prefixes + b"</r>") is Reason.DOCUMENT_UNSAFE


def test_few_names_used_often_are_fine() -> None:
    assert len(events(b"<r>" + b'<a b=""/>' * 50_000 + b"</r>")) == 100_002


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "us-ascii"])
def test_the_encodings_that_expat_reads_are_read(encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = "é" if encoding != "us-ascii" else "e"
    document = f'<?xml version="1.0" encoding="{declared}"?><a b="{text}"/>'.encode(encoding)
    assert events(document) == [("a", ["b", text]), None]


def test_no_namespace_passes_for_another() -> None:
    assert refusal(b'<a xmlns="urn:hl7-org:v3&#x1f;b"/>') is Reason.DOCUMENT_MALFORMED


def test_an_error_stays_and_a_closed_document_takes_nothing() -> None:
    xml = SafeXml(lambda name, attributes: None, lambda: None)
    with pytest.raises(AccordError) as first:
        xml.feed(b"<!DOCTYPE a><a/>" + b" " * BLOCK)
    with pytest.raises(AccordError) as second:
        xml.feed(b"<a/>")
    with pytest.raises(AccordError) as third:
        xml.close()
    assert first.value is second.value is third.value
    done = SafeXml(lambda name, attributes: None, lambda: None)
    done.feed(b"<a/>")
    done.close()
    with pytest.raises(RuntimeError):
        done.feed(b"<a/>")


def growing(piece: bytes, times: int) -> Iterator[bytes]:
    yield b"<a>"
    for _ in range(times):
        yield piece
    yield b"</a>"


@pytest.mark.parametrize("piece", [b"QUJD" * 8192, b"<b c='d'/>" * 2000, b"<!--c-->" * 2000, b"<![CDATA[d]]>" * 2000])
def test_memory_does_not_grow_with_the_document(piece: bytes) -> None:
    xml = SafeXml(lambda name, attributes: None, lambda: None)
    tracemalloc.start()
    try:
        for chunk in growing(piece, 300):
            xml.feed(chunk)
        xml.close()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024 * 1024
