"""What may be recorded in the register: each rule answers what is wrong with a value, or None.

Guarantees that an answer never quotes the value. Leaves to the catalog what depends on what is recorded already (names,
OIDs and keys in use), and to whoever dials an endpoint where its name leads on that day.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from services.formats.canonical import FormatError, loads
from services.formats.jwk import VerifyKey
from services.formats.rights import ORGANIZATION_NAME, SERVICE_NAME
from services.nomenclature.documents import CLASSES
from services.nomenclature.oids import is_oid
from services.nomenclature.professions import siren_is_valid

MAX_KEYS = 8
MAX_JWK = 1024
CATEGORIES = frozenset(f"class:{code}" for code in CLASSES)

_ENDPOINT = re.compile(r"(?P<host>[a-z0-9.-]{1,253}):(?P<port>[1-9][0-9]{0,4})")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What resolvers read as a number, and so as an address, in one of many spellings (WHATWG URL §3.5, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_DOMAINS = ("localhost", "local", "internal", "svc", "home.arpa")
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})

Fault = str | None


def service_name_fault(name: str) -> Fault:
    """services/{id}."""
    return None if SERVICE_NAME.fullmatch(name) else "is not services/ and 3 to 40 of a-z, 0-9, inner hyphens"


def organization_name_fault(name: str) -> Fault:
    """organizations/{id}."""
    return None if ORGANIZATION_NAME.fullmatch(name) else "is not organizations/ and 3 to 40 of a-z, 0-9, inner hyphens"


def siren_fault(siren: str) -> Fault:
    """A SIREN: nine digits with their Luhn key."""
    return None if siren_is_valid(siren) else "is not a SIREN with a valid key"


def oid_fault(oid: str) -> Fault:
    """An object identifier."""
    return None if is_oid(oid) else "is not an object identifier of at most 64 characters"


def text_fault(text: str, limit: int, *, lines: bool = False) -> Fault:
    """A text that people read, of 1 to `limit` characters; only with `lines` may it hold line breaks and tabs.

    No other control character, and no invisible one: neither may a log line be forged, nor a reader be misled.
    """
    if not 1 <= len(text) <= limit or text.isspace():
        return f"is not 1 to {limit} characters"
    seen = text.translate({ord(character): None for character in "\n\r\t"}) if lines else text
    if any(unicodedata.category(character) in _UNSEEN for character in seen):
        return "holds a control or invisible character"
    return None


def categories_fault(categories: Sequence[str]) -> Fault:
    """Data categories: at least one, each once, each a class of documents (JDV_J57)."""
    return _once(categories) or (None if CATEGORIES.issuperset(categories) else "holds an unknown category")


def choices_fault(numbers: Sequence[int], known: Iterable[int]) -> Fault:
    """Enum values: at least one, each once, each known."""
    return _once(numbers) or (None if set(known).issuperset(numbers) else "holds an unspecified or unknown value")


def period_fault(start_ms: int, end_ms: int) -> Fault:
    """The end of a convention, seen from its start."""
    return None if start_ms < end_ms else "is not after start_time"


def digest_fault(text: str, sha256: str) -> Fault:
    """The lower-case hexadecimal SHA-256 of a text's UTF-8 bytes."""
    return None if hashlib.sha256(text.encode()).hexdigest() == sha256 else "is not the SHA-256 of the text"


def read_key(jwk: str) -> VerifyKey:
    """The signing key that a JWK's text is. Raises: FormatError."""
    if len(jwk) > MAX_JWK:
        raise FormatError(f"jwk is longer than {MAX_JWK} characters")
    return VerifyKey.read(loads(jwk))


def endpoint_fault(endpoint: str, *, allow_local: bool) -> Fault:
    """host:port, host a DNS name or a plain IPv4 address; a local or private one only with `allow_local`.

    Everything that would make a resolver or a client library do something else has no way through: no scheme, no list,
    no bracket, no upper case, no number but four plain decimal ones.
    """
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None or int(match["port"]) > 65_535:
        return "is not host:port"
    labels = match["host"].split(".")
    if not all(map(_LABEL.fullmatch, labels)):
        return "has a host that is neither a DNS name nor an IPv4 address"
    if _NUMBER.fullmatch(labels[-1]):
        return _address_fault(match["host"], allow_local)
    return None if allow_local or _is_public(labels) else "names a host inside a network"


def _address_fault(host: str, allow_local: bool) -> Fault:
    try:
        address = IPv4Address(host)
    except ValueError:
        return "has a host that is neither a DNS name nor an IPv4 address"
    public = address.is_global and not address.is_multicast
    return None if allow_local or public else "is a local or private address"


def _is_public(labels: list[str]) -> bool:
    name = ".".join(labels)
    return len(labels) > 1 and not any(name == local or name.endswith(f".{local}") for local in _LOCAL_DOMAINS)


def _once(values: Sequence[object]) -> Fault:
    if not values:
        return "is empty"
    return None if len(set(values)) == len(values) else "holds a duplicate"
