"""Mutual TLS from three files: a certificate, its key, and the roots it trusts.

Guarantees that a pair whose halves do not match is never presented: a server reloads changed files, keeps the old pair and
warns if the new ones are unusable. Leaves revocation to short lifetimes, and a client's reload to whoever holds its
channel (grpc/grpc#41779: a channel cannot).
"""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from services.chassis.config import ConfigError
from services.chassis.identity import Identity, parse_spiffe_id
from services.errors import AccordError

_PEM = Encoding.PEM
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a process's leaf (with its chain), its private key and its trusted roots lie, all PEM."""

    cert: Path
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class _Pair:
    """The contents of three files that belong together."""

    cert: bytes
    key: bytes
    ca: bytes


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that require a client certificate and follow the files. Raises: ConfigError."""
    source = _Reloading(files)
    return grpc.dynamic_ssl_server_credentials(source.first, source.changed, require_client_authentication=True)  # type: ignore[arg-type]


def channel_credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    """Credentials that present the leaf as it is now. Raises: ConfigError."""
    pair = _read(files)
    return grpc.ssl_channel_credentials(pair.ca, pair.key, pair.cert)


def leaf_identity(files: TlsFiles) -> Identity:
    """Who this process is: the one URI SAN of its leaf. Raises: ConfigError."""
    leaf = x509.load_pem_x509_certificate(_read(files).cert)
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return parse_spiffe_id(uri)
    except (x509.ExtensionNotFound, ValueError, AccordError) as error:
        raise ConfigError(f"{files.cert}: the leaf needs exactly one URI SAN, a SPIFFE ID") from error


class _Reloading:
    """Follows the files. `changed` runs at each handshake, on a thread of gRPC's core: a few `stat` calls when idle."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._seen = _signature(files)
        self.first = _configuration(_read(files))

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """A new configuration if the files changed to a usable one; None keeps the present one."""
        with self._lock:
            seen = _signature(self._files)
            if seen == self._seen:
                return None
            self._seen = seen
            try:
                pair = _read(self._files)
            except ConfigError as error:
                _log.warning("new certificate refused, the old one stays", extra={"fields": {"problem": str(error)}})
                return None
            _log.info("certificate reloaded")
            return _configuration(pair)


def _configuration(pair: _Pair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.cert)], pair.ca)


def _read(files: TlsFiles) -> _Pair:
    """Read the three files and check that they are certificates and that the key is the leaf's."""
    try:
        pair = _Pair(files.cert.read_bytes(), files.key.read_bytes(), files.ca.read_bytes())
        leaf = x509.load_pem_x509_certificates(pair.cert)[0]
        key = load_pem_private_key(pair.key, password=None)
        x509.load_pem_x509_certificates(pair.ca)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{files.cert}, {files.key}, {files.ca}: unreadable ({type(error).__name__})") from error
    if key.public_key() != leaf.public_key():
        raise ConfigError(f"{files.key}: not the key of {files.cert}")
    return pair


def _signature(files: TlsFiles) -> tuple[tuple[int, int, int] | None, ...]:
    return tuple(_stamp(path) for path in (files.cert, files.key, files.ca))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
