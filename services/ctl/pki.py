"""A local certificate authority: one root per trust domain, and short-lived SPIFFE leaves for mutual TLS.

Guarantees that a leaf names exactly one identity, by one URI SAN and the one DNS SAN derived from it, whatever a
request asked for, and that a private key is never readable by others nor overwritten. Leaves to the operator the key's
custody: for development, tests and small sites; a large site uses its own CA with the same profile.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis.identity import Identity, parse_spiffe_id, server_name
from services.ctl.private_files import PkiError, write_once, write_private
from services.errors import AccordError

CA_CERTIFICATE = "ca.crt"
CA_KEY = "ca.key"
CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(hours=24)
CLOCK_SKEW = timedelta(minutes=5)
MIN_RSA_BITS = 3072


@dataclass(frozen=True, slots=True)
class Authority:
    """A root certificate, its private key, and the trust domain it speaks for."""

    trust_domain: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The root certificate in PEM: what a peer trusts."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def init_ca(folder: Path, trust_domain: str, now: datetime) -> Authority:
    """Create a root (P-256, ten years, path length 0) in `folder`. Raises: PkiError if one is there already."""
    root = parse_root(trust_domain)
    if (folder / CA_KEY).exists() or (folder / CA_CERTIFICATE).exists():
        raise PkiError(f"{folder} already holds a certificate authority")
    key = ec.generate_private_key(ec.SECP256R1())
    authority = Authority(root.trust_domain, _root_certificate(root.trust_domain, key, now), key)
    folder.mkdir(parents=True, exist_ok=True)
    write_private(folder / CA_KEY, private_pem(key))
    write_once(folder / CA_CERTIFICATE, authority.pem, 0o644)
    return authority


def load_ca(folder: Path) -> Authority:
    """Read back what `init_ca` wrote. Raises: PkiError."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / CA_CERTIFICATE).read_bytes())
        key = serialization.load_pem_private_key((folder / CA_KEY).read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PkiError(f"{folder} holds no readable certificate authority") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise PkiError(f"{folder}: the key is not the certificate's")
    return Authority(_trust_domain_of(certificate), certificate, key)


def issue_leaf(
    ca: Authority,
    identity: Identity,
    public_key: CertificatePublicKeyTypes,
    now: datetime,
    *,
    lifetime: timedelta = LEAF_LIFETIME,
    loopback: bool = False,
) -> bytes:
    """A PEM leaf for an identity of the CA's trust domain, for both ends of mutual TLS.

    `loopback` adds `localhost` and the loopback addresses, for tools that cannot set the expected name.
    Raises: PkiError.
    """
    if identity.trust_domain != ca.trust_domain:
        raise PkiError(f"the authority speaks for {ca.trust_domain} only")
    if lifetime <= timedelta(0) or now + lifetime > ca.certificate.not_valid_after_utc:
        raise PkiError("the leaf must end after now and before its authority")
    _check_key(public_key)
    leaf = _leaf_profile(_names(identity, loopback), public_key, now, lifetime)
    leaf = leaf.issuer_name(ca.certificate.subject).add_extension(_authority_key_id(ca), critical=False)
    return leaf.sign(ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign_csr(
    ca: Authority, csr_pem: bytes, service_id: str, now: datetime, *, lifetime: timedelta = LEAF_LIFETIME
) -> bytes:
    """A PEM leaf for `/service/<service_id>` over a CSR's key; every name and extension the CSR asks for is ignored.

    Raises: PkiError if the CSR is unreadable, not signed by its own key, or its key is too weak.
    """
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        valid = csr.is_signature_valid
        public_key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise PkiError("the certificate request is unreadable") from error
    if not valid:
        raise PkiError("the certificate request is not signed by its own key")
    if not isinstance(public_key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
        raise PkiError("the key must be P-256, P-384, Ed25519, or RSA of 3072 bits or more")
    return issue_leaf(ca, service_identity(ca.trust_domain, service_id), public_key, now, lifetime=lifetime)


def service_identity(trust_domain: str, service_id: str) -> Identity:
    """The identity of a referenced service. Raises: PkiError if the id is not one path segment."""
    identity = _identity(f"spiffe://{trust_domain}/service/{service_id}")
    if identity.path.count("/") != 2:
        raise PkiError("a service's id is one segment: lower-case letters, digits, dot, dash, underscore")
    return identity


def parse_root(trust_domain: str) -> Identity:
    """Check a trust domain's form, as the identity `/root` within it. Raises: PkiError."""
    root = _identity(f"spiffe://{trust_domain}/root")
    if root.path != "/root":
        raise PkiError(f"{trust_domain}: not a trust domain")
    return root


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 private key."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key in unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _identity(uri: str) -> Identity:
    try:
        return parse_spiffe_id(uri)
    except AccordError as error:
        raise PkiError(f"{uri}: {error.detail}") from error


def _names(identity: Identity, loopback: bool) -> list[x509.GeneralName]:
    """The names a leaf carries: the SPIFFE ID, its DNS form, and the loopback ones if asked for. Raises: PkiError."""
    try:
        name = server_name(identity)
    except AccordError as error:
        raise PkiError(f"{identity.uri}: {error.detail}") from error
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri), x509.DNSName(name)]
    if loopback:
        names.append(x509.DNSName("localhost"))
        names.extend(x509.IPAddress(ip_address(address)) for address in ("127.0.0.1", "::1"))
    return names


def _root_certificate(trust_domain: str, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Accord CA of {trust_domain}"[:64])])
    trust = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    root = _dated(key.public_key(), now, CA_LIFETIME).subject_name(name).issuer_name(name)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(_key_usage(certificates=True), critical=True)
    return root.add_extension(trust, critical=False).sign(key, hashes.SHA256())


def _leaf_profile(
    names: list[x509.GeneralName], key: CertificatePublicKeyTypes, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    """A leaf without issuer: X.509-SVID §3 and §4. Its subject is empty, so the SAN is critical (RFC 5280 §4.2.1.6)."""
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    leaf = _dated(key, now, lifetime).subject_name(x509.Name([]))
    leaf = leaf.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    leaf = leaf.add_extension(_key_usage(certificates=False), critical=True)
    return leaf.add_extension(purposes, critical=False).add_extension(x509.SubjectAlternativeName(names), critical=True)


def _dated(key: CertificatePublicKeyTypes, now: datetime, lifetime: timedelta) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(serial_number=x509.random_serial_number(), public_key=key)
    builder = builder.not_valid_before(now - CLOCK_SKEW).not_valid_after(now + lifetime)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_id(ca: Authority) -> x509.AuthorityKeyIdentifier:
    own = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _check_key(key: CertificatePublicKeyTypes) -> None:
    strong = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1))
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS)
    )
    if not strong:
        raise PkiError("the key must be P-256, P-384, Ed25519, or RSA of 3072 bits or more")


def _trust_domain_of(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise PkiError("the authority's certificate names no trust domain")
    return parse_root(uris[0].removeprefix("spiffe://")).trust_domain
