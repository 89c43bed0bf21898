"""The local authority: what its certificates say, and what it refuses to sign."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis.identity import Identity
from services.ctl import pki
from services.ctl.private_files import PkiError, write_private

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
LUMEN = Identity("mes.example", "/service/lumen")


@pytest.fixture
def ca(tmp_path: Path) -> pki.Authority:
    return pki.init_ca(tmp_path, "mes.example", NOW)


def _issue(ca: pki.Authority, identity: Identity = LUMEN, **more: object) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pki.issue_leaf(ca, identity, pki.new_key().public_key(), NOW, **more))  # type: ignore[arg-type]


def _names(leaf: x509.Certificate) -> list[str]:
    return [str(name.value) for name in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


def test_a_leaf_names_one_identity_for_both_ends_and_for_a_day(ca: pki.Authority) -> None:
    leaf = _issue(ca)
    leaf.verify_directly_issued_by(ca.certificate)
    extensions = leaf.extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    own = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert _names(leaf) == ["spiffe://mes.example/service/lumen", "lumen.service.mes.example"]
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
    assert (basic.critical, basic.value.ca) == (True, False)
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own.digest
    assert leaf.not_valid_after_utc == NOW + timedelta(hours=24)
    assert leaf.not_valid_before_utc <= NOW


def test_a_root_signs_leaves_only_and_names_its_trust_domain(ca: pki.Authority) -> None:
    basic = ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = ca.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (basic.critical, basic.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert _names(ca.certificate) == ["spiffe://mes.example"]


def test_loopback_names_are_added_only_when_asked_for(ca: pki.Authority) -> None:
    assert _names(_issue(ca, loopback=True))[2:] == ["localhost", "127.0.0.1", "::1"]


def test_an_authority_is_read_back_and_never_overwritten(ca: pki.Authority, tmp_path: Path) -> None:
    back = pki.load_ca(tmp_path)
    assert (back.pem, back.trust_domain, back.key.private_numbers()) == (
        ca.pem,
        "mes.example",
        ca.key.private_numbers(),
    )
    with pytest.raises(PkiError, match="already holds"):
        pki.init_ca(tmp_path, "mes.example", NOW)
    (tmp_path / pki.CA_CERTIFICATE).unlink()
    with pytest.raises(PkiError, match="already holds"):
        pki.init_ca(tmp_path, "mes.example", NOW)


def test_a_private_key_is_its_owners_alone_and_written_once(ca: pki.Authority, tmp_path: Path) -> None:
    path = tmp_path / "leaf.key"
    write_private(path, b"first")
    with pytest.raises(PkiError, match="not overwritten"):
        write_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ca.crt", "ca.key", "leaf.key"]
    for private in (path, tmp_path / pki.CA_KEY):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600


@pytest.mark.parametrize("spoil", ["no key", "no certificate", "garbled", "another's key"])
def test_an_authority_whose_files_do_not_match_is_refused(ca: pki.Authority, tmp_path: Path, spoil: str) -> None:
    match spoil:
        case "no key":
            (tmp_path / pki.CA_KEY).unlink()
        case "no certificate":
            (tmp_path / pki.CA_CERTIFICATE).unlink()
        case "garbled":
            (tmp_path / pki.CA_CERTIFICATE).write_bytes(b"x")
        case "another's key":
            (tmp_path / pki.CA_KEY).write_bytes(pki.private_pem(pki.new_key()))
    with pytest.raises(PkiError):
        pki.load_ca(tmp_path)


@pytest.mark.parametrize("trust_domain", ["", "MES", "a/b", "a b", "spiffe://a", "é", "a:1"])
def test_a_malformed_trust_domain_is_refused(tmp_path: Path, trust_domain: str) -> None:
    with pytest.raises(PkiError):
        pki.init_ca(tmp_path, trust_domain, NOW)


def test_only_the_own_trust_domain_is_certified(ca: pki.Authority) -> None:
    with pytest.raises(PkiError, match=r"mes\.example only"):
        _issue(ca, Identity("other.example", "/portal"))


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta(days=3651)])
def test_a_leaf_ends_after_now_and_before_its_authority(ca: pki.Authority, lifetime: timedelta) -> None:
    with pytest.raises(PkiError, match="must end"):
        _issue(ca, lifetime=lifetime)


def test_an_identity_without_a_dns_form_is_refused(ca: pki.Authority) -> None:
    with pytest.raises(PkiError, match="no DNS label"):
        _issue(ca, Identity("mes.example", "/b.a"))


def _csr(key: CertificateIssuerPrivateKeyTypes, *names: x509.GeneralName) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "portal")]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def test_a_request_gives_its_key_and_nothing_else(ca: pki.Authority) -> None:
    key = pki.new_key()
    csr = _csr(key, x509.UniformResourceIdentifier("spiffe://mes.example/portal"), x509.DNSName("portal.mes.example"))
    leaf = x509.load_pem_x509_certificate(pki.sign_csr(ca, csr, "lumen", NOW))
    assert leaf.public_key() == key.public_key()
    assert leaf.subject == x509.Name([])
    assert _names(leaf) == ["spiffe://mes.example/service/lumen", "lumen.service.mes.example"]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize("key", [
    ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 3072),
], ids=["p384", "ed25519", "rsa3072"])  # fmt: skip
def test_strong_keys_are_certified(ca: pki.Authority, key: CertificateIssuerPrivateKeyTypes) -> None:
    assert pki.sign_csr(ca, _csr(key), "lumen", NOW)


@pytest.mark.parametrize("key", [
    ec.generate_private_key(ec.SECP521R1()), ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 2048),
], ids=["p521", "secp256k1", "rsa2048"])  # fmt: skip
def test_other_keys_are_refused(ca: pki.Authority, key: CertificateIssuerPrivateKeyTypes) -> None:
    with pytest.raises(PkiError, match="the key must be"):
        pki.sign_csr(ca, _csr(key), "lumen", NOW)


def test_a_request_not_signed_by_its_own_key_is_refused(ca: pki.Authority) -> None:
    der = bytearray(x509.load_pem_x509_csr(_csr(pki.new_key())).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    csr = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(PkiError, match="own key"):
        pki.sign_csr(ca, csr, "lumen", NOW)


@pytest.mark.parametrize(
    "csr", [b"", b"x", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_an_unreadable_request_is_refused(ca: pki.Authority, csr: bytes) -> None:
    with pytest.raises(PkiError, match="unreadable"):
        pki.sign_csr(ca, csr, "lumen", NOW)


@pytest.mark.parametrize("service", ["", "a/b", "..", "Lumen", "a%62", "../portal", "a?b", "a.b", "a_b"])
def test_a_service_id_is_one_plain_segment(ca: pki.Authority, service: str) -> None:
    with pytest.raises(PkiError):
        pki.sign_csr(ca, _csr(pki.new_key()), service, NOW)
