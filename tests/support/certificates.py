"""Certificates for tests: a site with its own authority and good leaves, and named bad leaves with their generator.

Each bad leaf is an attempt to pass for `/portal`. `REFUSED_BY_TLS` never reach a servicer's process as calls (the client
sees UNAVAILABLE); `REFUSED_BY_IDENTITY` complete the handshake under our own authority and must be UNAUTHENTICATED.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.chassis.identity import Identity, parse_spiffe_id
from services.chassis.tls import TlsFiles
from services.ctl import pki

TRUST_DOMAIN = "mes.example"
PORTAL = f"spiffe://{TRUST_DOMAIN}/portal"
DAY = timedelta(days=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate and its key, PEM."""

    cert: bytes
    key: bytes


Builder = Callable[[pki.Authority, datetime], Leaf]


class Site:
    """One trust domain's authority, and the files of those it certifies."""

    def __init__(self, folder: Path, trust_domain: str = TRUST_DOMAIN) -> None:
        self.folder = folder
        self.now = datetime.now(UTC)
        self.ca = pki.init_ca(folder / "ca", trust_domain, self.now)

    def identity(self, path: str) -> Identity:
        """The identity of a path in this trust domain."""
        return parse_spiffe_id(f"spiffe://{self.ca.trust_domain}{path}")

    def files(self, path: str) -> TlsFiles:
        """The TLS files of a good leaf for a path such as `/service/lumen`."""
        key = pki.new_key()
        cert = pki.issue_leaf(self.ca, self.identity(path), key.public_key(), self.now)
        return self.write(path.strip("/").replace("/", "-"), Leaf(cert, pki.private_pem(key)))

    def bad(self, name: str) -> TlsFiles:
        """The TLS files of one of the `BAD_LEAVES`."""
        return self.write(name, BAD_LEAVES[name](self.ca, self.now))

    def write(self, name: str, leaf: Leaf) -> TlsFiles:
        """Write a leaf's files (again)."""
        files = TlsFiles(*(self.folder / f"{name}.{suffix}" for suffix in ("crt", "key", "roots")))
        for path, content in zip((files.cert, files.key, files.ca), (leaf.cert, leaf.key, self.ca.pem), strict=True):
            path.write_bytes(content)
        return files


def forge(
    *names: x509.GeneralName,
    common_name: str = "",
    usages: tuple[x509.ObjectIdentifier, ...] = BOTH,
    starts: timedelta = -DAY,
    ends: timedelta = DAY,
) -> Builder:
    """A builder of a leaf under the given authority with whatever it is told to say."""

    def build(ca: pki.Authority, now: datetime) -> Leaf:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        builder = x509.CertificateBuilder(ca.certificate.subject, x509.Name(subject), key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + starts).not_valid_after(now + ends)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
        signed = builder.sign(ca.key, hashes.SHA256())
        return Leaf(signed.public_bytes(serialization.Encoding.PEM), pki.private_pem(key))

    return build


def _uri(uri: str) -> Builder:
    return forge(x509.UniformResourceIdentifier(uri))


def _other_authority(ca: pki.Authority, now: datetime) -> Leaf:
    """Signed by another key under the very name of our authority."""
    return _uri(PORTAL)(pki.Authority(ca.trust_domain, ca.certificate, pki.new_key()), now)


_PORTAL_URI = x509.UniformResourceIdentifier(PORTAL)

REFUSED_BY_TLS: dict[str, Builder] = {
    "expired": forge(_PORTAL_URI, ends=-timedelta(minutes=1)),
    "not_yet_valid": forge(_PORTAL_URI, starts=timedelta(hours=1)),
    "wrong_ca": _other_authority,
    "server_auth_only": forge(_PORTAL_URI, usages=(ExtendedKeyUsageOID.SERVER_AUTH,)),
}

REFUSED_BY_IDENTITY: dict[str, Builder] = {
    "no_name_at_all": forge(common_name="somebody"),
    "cn_holding_the_spiffe_id": forge(common_name=PORTAL),
    "cn_portal": forge(x509.DNSName("portal.mes.example"), common_name="portal"),
    "dns_san_holding_the_spiffe_id": forge(x509.DNSName(PORTAL)),
    "email_san_holding_the_spiffe_id": forge(x509.RFC822Name(PORTAL)),
    "two_uri_sans": forge(_PORTAL_URI, x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/service/lumen")),
    "same_uri_san_twice": forge(_PORTAL_URI, _PORTAL_URI),
    "dot_dot": _uri(f"spiffe://{TRUST_DOMAIN}/service/../portal"),
    "dot": _uri(f"spiffe://{TRUST_DOMAIN}/./portal"),
    "percent": _uri(f"spiffe://{TRUST_DOMAIN}/port%61l"),
    "upper_case_path": _uri(f"spiffe://{TRUST_DOMAIN}/Portal"),
    "upper_case_trust_domain": _uri("spiffe://MES.example/portal"),
    "upper_case_scheme": _uri(f"SPIFFE://{TRUST_DOMAIN}/portal"),
    "query": _uri(f"{PORTAL}?role=admin"),
    "fragment": _uri(f"{PORTAL}#x"),
    "port": _uri(f"spiffe://{TRUST_DOMAIN}:443/portal"),
    "userinfo": _uri(f"spiffe://someone@{TRUST_DOMAIN}/portal"),
    "trailing_slash": _uri(f"{PORTAL}/"),
    "empty_segment": _uri(f"spiffe://{TRUST_DOMAIN}//portal"),
    "no_path": _uri(f"spiffe://{TRUST_DOMAIN}"),
    "root_path": _uri(f"spiffe://{TRUST_DOMAIN}/"),
    "no_trust_domain": _uri("spiffe:///portal"),
    "other_trust_domain": _uri("spiffe://evil.example/portal"),
    "trust_domain_with_our_prefix": _uri(f"spiffe://{TRUST_DOMAIN}.evil/portal"),
    "https_scheme": _uri(f"https://{TRUST_DOMAIN}/portal"),
    "newline": _uri(f"{PORTAL}\n"),
    "too_long": _uri(f"{PORTAL}/{'a' * 2048}"),
}

BAD_LEAVES: dict[str, Builder] = REFUSED_BY_TLS | REFUSED_BY_IDENTITY
