"""What may be recorded: endpoints above all, since somebody will dial them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.formats.canonical import FormatError
from services.registry.domain import admission
from tests.support.register import jwk, p256_signer, signer, siren

PUBLIC = ["a.example:1", "service-1.example.org:65535", "9.9.9.9:443", "xn--caf-dma.example:8443", "3com.example:443"]
INSIDE = {
    "loopback": "127.0.0.1:443",
    "loopback_range": "127.8.9.10:443",
    "unspecified": "0.0.0.0:443",
    "private_10": "10.0.0.1:443",
    "private_172": "172.16.0.1:443",
    "private_192": "192.168.1.1:443",
    "shared_address_space": "100.64.0.1:443",
    "link_local": "169.254.1.1:443",
    "metadata_service": "169.254.169.254:80",
    "multicast": "224.0.0.1:443",
    "broadcast": "255.255.255.255:443",
    "documentation": "192.0.2.1:443",
    "localhost": "localhost:443",
    "under_localhost": "a.localhost:443",
    "single_label": "registry:443",
    "cluster_service": "registry.default.svc:443",
    "cluster_local": "registry.default.svc.cluster.local:443",
    "metadata_name": "metadata.google.internal:80",
    "home": "nas.home.arpa:443",
}
MALFORMED = {
    "empty": "",
    "no_port": "a.example",
    "empty_port": "a.example:",
    "port_zero": "a.example:0",
    "port_leading_zero": "a.example:0443",
    "port_too_large": "a.example:65536",
    "port_sign": "a.example:+443",
    "no_host": ":443",
    "unix_socket": "unix:/run/registry.sock",
    "unix_abstract": "unix-abstract:a:443",
    "xds": "xds:///a.example:443",
    "dns_scheme": "dns:///a.example:443",
    "ipv4_list": "ipv4:127.0.0.1:443,10.0.0.1:443",
    "list": "a.example:443,b.example:443",
    "ipv6_loopback": "[::1]:443",
    "ipv6_mapped": "[::ffff:127.0.0.1]:443",
    "ipv6_bare": "::1:443",
    "url": "https://a.example:443",
    "path": "a.example:443/x",
    "user": "u@a.example:443",
    "upper_case": "A.example:443",
    "trailing_dot": "a.example.:443",
    "two_dots": "a..example:443",
    "leading_hyphen": "-a.example:443",
    "long_label": f"{'a' * 64}.example:443",
    "underscore": "a_b.example:443",
    "percent": "a%2eexample:443",
    "space": "a.example :443",
    "newline": "a.example:443\n",
    "nul": "a.example\0:443",
    "full_width_digits": "１２７.0.0.1:443",
    "unicode": "é.example:443",
    "ipv4_decimal": "2130706433:443",
    "ipv4_short": "127.1:443",
    "ipv4_octal": "0177.0.0.1:443",
    "ipv4_hexadecimal": "0x7f.0.0.1:443",
    "ipv4_hexadecimal_whole": "0x7f000001:443",
    "ipv4_hexadecimal_last": "127.0.0.0x1:443",
    "ipv4_too_large": "256.0.0.1:443",
    "ipv4_five_parts": "1.2.3.4.5:443",
}


@pytest.mark.parametrize("endpoint", PUBLIC)
def test_a_public_host_and_port_is_an_endpoint(endpoint: str) -> None:
    assert admission.endpoint_fault(endpoint, allow_local=False) is None


@pytest.mark.parametrize("name", INSIDE)
def test_an_endpoint_inside_a_network_is_admitted_only_where_that_is_allowed(name: str) -> None:
    assert admission.endpoint_fault(INSIDE[name], allow_local=False) is not None
    assert admission.endpoint_fault(INSIDE[name], allow_local=True) is None


@pytest.mark.parametrize("name", MALFORMED)
def test_what_a_resolver_or_client_could_read_as_something_else_is_no_endpoint_anywhere(name: str) -> None:
    assert admission.endpoint_fault(MALFORMED[name], allow_local=True) is not None


@given(st.text(max_size=40) | st.from_regex(r"[a-z0-9.:/x-]{1,30}", fullmatch=True))
def test_every_admitted_endpoint_fits_the_snapshot_record(endpoint: str) -> None:
    """Else one service's record would make the whole snapshot unreadable."""
    from services.formats.lease import _HOST_PORT

    if admission.endpoint_fault(endpoint, allow_local=True) is None:
        assert _HOST_PORT.fullmatch(endpoint)


@pytest.mark.parametrize(
    "text", ["", " ", "\u00a0", "x" * 201, "a\nb", "a\0b", "a\x1bb", "a\u202eb", "a\u200bb", "\x7f"]
)
def test_a_line_of_text_is_visible_bounded_and_without_control_characters(text: str) -> None:
    assert admission.text_fault(text, 200) is not None


def test_text_in_lines_may_break_them_but_hides_nothing() -> None:
    assert admission.text_fault("Première ligne.\r\n\tDeuxième — « ligne ».", 200, lines=True) is None
    assert admission.text_fault("a\u202eb\n", 200, lines=True) is not None


@pytest.mark.parametrize(
    "categories", [[], ["class:10", "class:10"], ["class:99"], ["class:1"], ["10"], ["class:10", "measure:8867-4"]]
)
def test_categories_are_distinct_classes_of_documents_and_at_least_one(categories: list[str]) -> None:
    assert admission.categories_fault(categories) is not None


def test_every_class_of_documents_is_a_category() -> None:
    assert admission.categories_fault(sorted(admission.CATEGORIES)) is None
    assert "class:10" in admission.CATEGORIES


@pytest.mark.parametrize(
    "name",
    ["services/ab", "services/-ab", "services/ab-", "services/a" + "b" * 40, "services/Abc", "abc", "services/a/b"],
)
def test_a_service_name_has_one_segment_of_3_to_40_plain_characters(name: str) -> None:
    assert admission.service_name_fault(name) is not None
    assert admission.organization_name_fault(name.replace("services", "organizations")) is not None


def test_shortest_and_longest_names_are_names() -> None:
    assert admission.service_name_fault("services/a1c") is None
    assert admission.service_name_fault("services/" + "a" * 40) is None
    assert admission.organization_name_fault("organizations/a-c") is None


@given(st.integers(0, 89_999_999), st.integers(0, 9))
def test_exactly_one_last_digit_makes_a_siren(number: int, last: int) -> None:
    valid = siren(number)
    assert (admission.siren_fault(valid[:8] + str(last)) is None) == (valid[8] == str(last))


@pytest.mark.parametrize("make", [signer, p256_signer])
def test_both_kinds_of_signing_key_are_read_back_as_themselves(make: type) -> None:
    key = make()
    assert admission.read_key(jwk(key)).kid == key.verify_key.kid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[]",
        "not json",
        '{"kty":"oct","k":"AAAA"}',
        '{"kty":"OKP","crv":"X25519","x":"' + "A" * 43 + '"}',
        '{"kty":"OKP","crv":"Ed25519","x":"' + "A" * 43 + '","d":"' + "A" * 43 + '"}',
        '{"kty":"OKP","crv":"Ed25519","x":"' + "A" * 43 + '","jku":"https://a.example"}',
        '{"kty":"EC","crv":"P-256","x":"' + "A" * 43 + '","y":"' + "A" * 43 + '"}',
        '{"kty":"OKP","kty":"OKP","crv":"Ed25519","x":"' + "A" * 43 + '"}',
        " " * 1025,
    ],
)
def test_anything_but_the_public_members_of_one_valid_key_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        admission.read_key(text)


def test_a_digest_is_the_one_of_the_text_in_lower_case() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert admission.digest_fault("", empty) is None
    assert admission.digest_fault("", empty.upper()) is not None
    assert admission.digest_fault("é", empty) is not None
