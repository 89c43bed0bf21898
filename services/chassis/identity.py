"""Who calls: SPIFFE IDs, and the caller that a verified TLS 1.3 client certificate names.

Guarantees that an identity comes only from the single URI SAN of a certificate which TLS has verified, never from a
common name, an untyped SAN list, a header or metadata. Leaves to `access` what that identity may do, and to TLS the
chain itself.
"""

import base64
import hashlib
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from cryptography import x509

from services.chassis.clock import Clock
from services.errors import AccordError, Reason

MAX_SPIFFE_ID_BYTES = 2048
MAX_CACHED_CALLERS = 4096
REQUIRED_TLS = b"TLSv1.3"

_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[a-z0-9._-]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SCHEME = "spiffe://"

AuthContext = Mapping[str, Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Identity:
    """A SPIFFE ID: its trust domain (`mes.example`) and its path, with the leading slash (`/service/lumen`)."""

    trust_domain: str
    path: str

    @property
    def uri(self) -> str:
        """The SPIFFE ID as a URI."""
        return f"{_SCHEME}{self.trust_domain}{self.path}"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the present call.

    `thumbprint` is the leaf's `x5t#S256` (RFC 8705 §3.1), which a token's `cnf` is compared with; `service` is the id N
    of a path `/service/N`, otherwise None.
    """

    identity: Identity
    thumbprint: str
    roles: frozenset[str]
    service: str | None


_CALLER: ContextVar[Caller] = ContextVar("accord_caller")


def current_caller() -> Caller:
    """The caller of the RPC that runs now. Raises: LookupError outside an RPC."""
    return _CALLER.get()


def set_current_caller(caller: Caller) -> None:
    """Name the caller for the rest of this task; each RPC runs in a task of its own, so nothing is to be reset."""
    _CALLER.set(caller)


def parse_spiffe_id(uri: str) -> Identity:
    """Parse a SPIFFE ID (SPIFFE-ID §2), stricter in one point: the path too is lower-case.

    So no two identities differ by case alone. Raises: AccordError(IDENTITY_INVALID).
    """
    scheme, found, rest = uri.partition(_SCHEME)
    if scheme or not found or len(uri.encode()) > MAX_SPIFFE_ID_BYTES:
        raise _refused("not a SPIFFE ID")
    trust_domain, *segments = rest.split("/")
    if not _TRUST_DOMAIN.fullmatch(trust_domain):
        raise _refused("the SPIFFE ID's trust domain is invalid")
    if not segments or not all(_is_segment(segment) for segment in segments):
        raise _refused("the SPIFFE ID's path is invalid")
    return Identity(trust_domain, "/" + "/".join(segments))


def server_name(identity: Identity) -> str:
    """The DNS name that stands for an identity in its leaf: `/service/lumen` in `td` is `lumen.service.td`.

    Our CA writes exactly this DNS SAN, so that a client's ordinary TLS host name check is an identity check. A segment
    that is no DNS label (RFC 1123 §2.1) has no name: `/a.b` would otherwise share `/b/a`'s.
    Raises: AccordError(IDENTITY_INVALID).
    """
    labels = identity.path[1:].split("/")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("a segment of the path is no DNS label")
    return ".".join([*reversed(labels), identity.trust_domain])


def thumbprint(pem: bytes) -> str:
    """The `x5t#S256` of a PEM certificate: base64url without padding of the SHA-256 of its DER (RFC 8705 §3.1)."""
    der = ssl.PEM_cert_to_DER_cert(pem.decode("ascii").strip())
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")


def expiry_ms(pem: bytes) -> int:
    """When a PEM certificate ends, in milliseconds since 1970."""
    return round(x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp() * 1000)


def caller_of(auth_context: AuthContext, trust_domain: str, roles_of: Callable[[Identity], frozenset[str]]) -> Caller:
    """The caller that gRPC's authentication context names: TLS 1.3, one verified leaf, one URI SAN, our trust domain.

    Leaves to `Callers` whether the leaf has ended since TLS verified it.
    Raises: AccordError(IDENTITY_INVALID).
    """
    if _only(auth_context, "ssl_tls_version") != REQUIRED_TLS:
        raise _refused("TLS 1.3 is required")
    uri = _only(auth_context, "peer_uri")
    pem = _only(auth_context, "x509_pem_cert")
    if uri is None or pem is None:
        raise _refused("the certificate needs exactly one URI SAN")
    identity = parse_spiffe_id(uri.decode("utf-8", "replace"))
    if identity.trust_domain != trust_domain:
        raise _refused("the trust domain is not ours")
    return Caller(identity, thumbprint(pem), roles_of(identity), _service_id(identity.path))


class Callers:
    """Callers by certificate: hashing and parsing a leaf costs more than the checks, and the same few come back.

    A leaf's end is checked at each call: TLS looks at it only in a full handshake, and gRPC's server lets a client resume
    its session after that without one.
    """

    def __init__(self, trust_domain: str, roles_of: Callable[[Identity], frozenset[str]], clock: Clock) -> None:
        self._trust_domain = trust_domain
        self._roles_of = roles_of
        self._clock = clock
        self._known: dict[bytes, tuple[Caller, int]] = {}

    def of(self, auth_context: AuthContext) -> Caller:
        """The caller, as `caller_of`. What the leaf does not determine is checked each time: the TLS version, the time."""
        pem = _only(auth_context, "x509_pem_cert") or b""
        known = self._known.get(pem)
        if known is None or _only(auth_context, "ssl_tls_version") != REQUIRED_TLS:
            caller = caller_of(auth_context, self._trust_domain, self._roles_of)
            known = self._remember(pem, caller)
        caller, ends = known
        if self._clock.wall_ms() >= ends:
            raise _refused("the certificate has expired")
        return caller

    def _remember(self, pem: bytes, caller: Caller) -> tuple[Caller, int]:
        if len(self._known) >= MAX_CACHED_CALLERS:
            self._known.pop(next(iter(self._known)))
        self._known[pem] = caller, expiry_ms(pem)
        return self._known[pem]


def _is_segment(segment: str) -> bool:
    return segment not in (".", "..") and _SEGMENT.fullmatch(segment) is not None


def _service_id(path: str) -> str | None:
    kind, _, rest = path[1:].partition("/")
    return rest if kind == "service" and rest and "/" not in rest else None


def _only(auth_context: AuthContext, key: str) -> bytes | None:
    values = tuple(auth_context.get(key, ()))
    return values[0] if len(values) == 1 else None


def _refused(detail: str) -> AccordError:
    return AccordError(Reason.IDENTITY_INVALID, detail)
