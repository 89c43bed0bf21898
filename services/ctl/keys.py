"""Accord's own signing keys and secrets as files, the portal's for a stack that has no other, and the TRUST of them all."""

import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.config import ConfigError
from services.chassis.keys import load_ed25519, load_signer
from services.ctl.private_files import write_private
from services.formats.canonical import FormatError, loads
from services.formats.jwk import VerifyKey
from services.formats.trust import DatedKey, KeyRole, Trust
from services.tlog.note import Verifier

LEASE, REGISTER_LOG = "registry/lease.pem", "registry/log.pem"
LOG, PERMIT = "consent/log.pem", "consent/permit.pem"
MASTER, BROKER = "consent/master.key", "exchange/manifest.pem"
PORTAL = "portal/assertion.pem"
_ROLES = {KeyRole.LEASE: LEASE, KeyRole.PERMIT: PERMIT, KeyRole.BROKER: BROKER, KeyRole.PORTAL: PORTAL}


def init_keys(folder: Path) -> None:
    """Makes the keys that are missing: six Ed25519 signing keys and the ledger's master secret."""
    for name in (LEASE, REGISTER_LOG, LOG, PERMIT, BROKER, PORTAL):
        if not (folder / name).exists():
            write_signing_key(folder / name)
    if not (folder / MASTER).exists():
        write_private(folder / MASTER, secrets.token_hex(32).encode())


def write_signing_key(path: Path) -> None:
    """A new Ed25519 key as PKCS#8 PEM, for its owner alone. Raises: PkiError if there is one."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(path, pem)


def trust_of(
    folder: Path,
    trust_domain: str,
    *,
    shards: int = 1,
    epoch: int = 1,
    from_ms: int | None = None,
    portal: Path | None = None,
) -> Trust:
    """The TRUST of these keys, good from `from_ms` (by default from when each file was written).

    `portal`: the portal's public key as a JWK, where it keeps the private one to itself. Raises: ConfigError.
    """
    public = load_ed25519(folder / LOG).public_key().public_bytes_raw()
    logs = tuple(Verifier(f"{trust_domain}/ledger/{epoch}/{shard}", public) for shard in range(shards))
    register = load_ed25519(folder / REGISTER_LOG).public_key().public_bytes_raw()
    files = {role: folder / name for role, name in _ROLES.items()}
    files |= {KeyRole.PORTAL: portal} if portal else {}
    keys = tuple(
        DatedKey(
            role,
            _read_jwk(path) if path == portal else load_signer(path).verify_key,
            _since(path) if from_ms is None else from_ms,
        )
        for role, path in files.items()
    )
    return Trust(trust_domain, logs, keys, (Verifier(f"{trust_domain}/register/1", register),))


def _read_jwk(path: Path) -> VerifyKey:
    try:
        key = VerifyKey.read(loads(path.read_bytes()))
    except (OSError, FormatError) as error:
        raise ConfigError(f"{path}: not a public key as a JWK: {error}") from None
    if key.alg != "EdDSA":
        raise ConfigError(f"{path}: not an Ed25519 key")
    return key


def _since(path: Path) -> int:
    return int(path.stat().st_mtime) * 1000
