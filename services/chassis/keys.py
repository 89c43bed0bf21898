"""Private keys and secrets, read once from files that only their owner may read.

Guarantees that a key file others can read is refused, that a signing key is Ed25519 or P-256, that a secret has 32 bytes.
Signing keys are PKCS#8 PEM; secrets are 64 hexadecimal digits. Another backend (PKCS#11, a KMS) is another `Signer`.
"""

import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.chassis.config import ConfigError
from services.formats.jwk import LocalSigner
from services.tlog.note import NoteSigner


def load_signer(path: Path) -> LocalSigner:
    """The signing key of a PEM file. Raises: ConfigError."""
    try:
        key = serialization.load_pem_private_key(_read_private(path), password=None)
    except (ValueError, TypeError):
        raise ConfigError(f"{path}: not an unencrypted PEM private key") from None
    if not isinstance(key, (ed25519.Ed25519PrivateKey, ec.EllipticCurvePrivateKey)):
        raise ConfigError(f"{path}: neither an Ed25519 nor a P-256 key")
    return LocalSigner(key)


def load_ed25519(path: Path) -> ed25519.Ed25519PrivateKey:
    """The Ed25519 key of a PEM file: checkpoints know no other. Raises: ConfigError."""
    key = load_signer(path).private
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{path}: not an Ed25519 key")
    return key


def note_signer(path: Path, origin: str) -> NoteSigner:
    """The key of a PEM file as the signer of one log's checkpoints. Raises: ConfigError."""
    key = load_ed25519(path)
    return NoteSigner(origin, key.sign, key.public_key().public_bytes_raw())


def load_secret(path: Path) -> bytes:
    """The 32 bytes of a secret file. Raises: ConfigError."""
    try:
        secret = bytes.fromhex(_read_private(path).decode("ascii").strip())
    except ValueError:
        raise ConfigError(f"{path}: not hexadecimal") from None
    if len(secret) != 32:
        raise ConfigError(f"{path}: not 32 bytes")
    return secret


def derive(secret: bytes, label: str) -> bytes:
    """A 32-byte key of its own for `label` (HKDF-SHA-256, RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=label.encode()).derive(secret)


def _read_private(path: Path) -> bytes:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o007:
            raise ConfigError(f"{path}: others may read this key; chmod o= it")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
