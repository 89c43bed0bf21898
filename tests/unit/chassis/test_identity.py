"""SPIFFE IDs, their DNS form, and the caller of an authentication context."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.identity import (
    MAX_CACHED_CALLERS,
    AuthContext,
    Callers,
    Identity,
    caller_of,
    current_caller,
    expiry_ms,
    parse_spiffe_id,
    server_name,
    thumbprint,
)
from services.errors import AccordError, Reason
from tests.support.certificates import PORTAL, Site

SEGMENT = st.from_regex(r"[a-z0-9._-]{1,12}", fullmatch=True).filter(lambda segment: segment not in (".", ".."))
LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


def _refused(uri: str) -> bool:
    with pytest.raises(AccordError) as caught:
        parse_spiffe_id(uri)
    return caught.value.reason is Reason.IDENTITY_INVALID


@given(SEGMENT, st.lists(SEGMENT, min_size=1, max_size=4))
def test_an_id_is_read_back_as_it_was_written(domain: str, segments: list[str]) -> None:
    identity = Identity(domain, "/" + "/".join(segments))
    assert parse_spiffe_id(identity.uri) == identity


@given(st.text(max_size=40))
def test_whatever_is_accepted_is_written_back_the_same(text: str) -> None:
    uri = f"spiffe://{text}"
    try:
        identity = parse_spiffe_id(uri)
    except AccordError:
        return
    assert identity.uri == uri
    assert uri == uri.lower()


@pytest.mark.parametrize("rest", [
    "", "/", "td", "td/", "td//a", "td/a/", "td/a//b", "/a", "td/.", "td/..", "td/a/../b", "td/%61", "td/a?b", "td/a#b",
    "td:1/a", "u@td/a", "TD/a", "td/A", "td/a b", "td/é", "td/a\n", "td/a\0", "td/a\\b", "td/a:b", "td/" + "a" * 2048,
    "é/a", "t d/a",
])  # fmt: skip
def test_a_malformed_id_is_refused(rest: str) -> None:
    assert _refused(f"spiffe://{rest}")


@pytest.mark.parametrize(
    "uri", ["", "td/a", "https://td/a", "SPIFFE://td/a", " spiffe://td/a", "xspiffe://td/a", "spiffe:/td/a"]
)
def test_another_scheme_is_refused(uri: str) -> None:
    assert _refused(uri)


def test_a_name_is_the_path_reversed_under_the_trust_domain() -> None:
    assert server_name(Identity("mes.example", "/registry")) == "registry.mes.example"
    assert server_name(Identity("mes.example", "/service/lumen")) == "lumen.service.mes.example"


@given(st.lists(LABEL, min_size=1, max_size=3), st.lists(LABEL, min_size=1, max_size=3))
def test_two_identities_of_a_domain_never_share_a_name(one: list[str], other: list[str]) -> None:
    first, second = Identity("td", "/" + "/".join(one)), Identity("td", "/" + "/".join(other))
    assert (server_name(first) == server_name(second)) == (first == second)


@pytest.mark.parametrize("path", ["/a.b", "/a_b", "/-a", "/a-", "/" + "a" * 64])
def test_a_path_that_is_no_dns_name_has_none(path: str) -> None:
    with pytest.raises(AccordError):
        server_name(Identity("td", path))


@dataclass
class Hand:
    """A clock set by hand."""

    now: int = 0

    def wall_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


def _callers(trust_domain: str = "mes.example", clock: Hand | None = None) -> Callers:
    return Callers(trust_domain, lambda _: frozenset(), clock or Hand())


def _context(pem: bytes, *uris: str, tls: str = "TLSv1.3") -> AuthContext:
    return {
        "ssl_tls_version": [tls.encode()],
        "peer_uri": [uri.encode() for uri in uris],
        "x509_pem_cert": [pem],
        "x509_common_name": [b"portal"],
        "x509_subject_alternative_name": [PORTAL.encode()],
    }


@pytest.fixture
def pem(tmp_path: Path) -> bytes:
    return Site(tmp_path).files("/service/lumen").cert.read_bytes()


def test_a_caller_has_its_leafs_thumbprint_its_roles_and_its_service(pem: bytes) -> None:
    caller = caller_of(_context(pem, "spiffe://td/service/lumen"), "td", lambda identity: frozenset({identity.path}))
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    assert caller.thumbprint == base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    assert (caller.service, caller.roles) == ("lumen", frozenset({"/service/lumen"}))
    assert thumbprint(pem) == caller.thumbprint


@pytest.mark.parametrize("path", ["/portal", "/service", "/service/a/b", "/services/a"])
def test_only_a_service_path_names_a_service(pem: bytes, path: str) -> None:
    assert caller_of(_context(pem, f"spiffe://td{path}"), "td", lambda _: frozenset()).service is None


def test_the_common_name_and_the_untyped_san_list_are_never_an_identity(pem: bytes) -> None:
    with pytest.raises(AccordError):
        caller_of(_context(pem), "mes.example", lambda _: frozenset())


@pytest.mark.parametrize("context", [
    {}, {"peer_uri": [PORTAL.encode()]},
    {"peer_uri": [PORTAL.encode()], "ssl_tls_version": [b"TLSv1.3"]},
])  # fmt: skip
def test_an_incomplete_context_is_refused(context: AuthContext) -> None:
    with pytest.raises(AccordError):
        _callers().of(context)


def test_a_known_leaf_over_tls_1_2_is_refused_all_the_same(pem: bytes) -> None:
    callers = _callers()
    assert callers.of(_context(pem, PORTAL)) is callers.of(_context(pem, PORTAL))
    with pytest.raises(AccordError):
        callers.of(_context(pem, PORTAL, tls="TLSv1.2"))


def test_a_known_leaf_is_refused_from_the_moment_it_ends(pem: bytes) -> None:
    clock = Hand(expiry_ms(pem) - 1)
    callers = _callers(clock=clock)
    assert callers.of(_context(pem, PORTAL)).identity.uri == PORTAL
    clock.now += 1
    for one in (callers, _callers(clock=clock)):
        with pytest.raises(AccordError, match="expired"):
            one.of(_context(pem, PORTAL))


def test_another_trust_domain_is_refused(pem: bytes) -> None:
    with pytest.raises(AccordError):
        _callers("mes.example.evil").of(_context(pem, PORTAL))


def test_the_callers_kept_are_bounded(pem: bytes) -> None:
    callers = _callers()
    for number in range(MAX_CACHED_CALLERS + 10):
        callers.of(_context(pem + b"\n" * number, PORTAL))
    assert len(callers._known) == MAX_CACHED_CALLERS


def test_there_is_no_caller_outside_an_rpc() -> None:
    with pytest.raises(LookupError):
        current_caller()
