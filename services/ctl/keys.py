"""Accord's own signing keys and secrets as files, and the TRUST that follows from them."""

import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.keys import load_ed25519, load_signer
from services.ctl.private_files import write_private
from services.formats.trust import DatedKey, KeyRole, Trust
from services.tlog.note import Verifier

LEASE, LOG, PERMIT = "registry/lease.pem", "consent/log.pem", "consent/permit.pem"
MASTER, BROKER = "consent/master.key", "exchange/manifest.pem"
_ROLES = {KeyRole.LEASE: LEASE, KeyRole.PERMIT: PERMIT, KeyRole.BROKER: BROKER}


def init_keys(folder: Path) -> None:
    """Makes the keys that are missing: four Ed25519 signing keys and the ledger's master secret."""
    for name in (LEASE, LOG, PERMIT, BROKER):
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


def trust_of(folder: Path, trust_domain: str, *, shards: int = 1, epoch: int = 1, from_ms: int | None = None) -> Trust:
    """The TRUST of these keys, good from `from_ms` (by default from when each file was written). Raises: ConfigError."""
    public = load_ed25519(folder / LOG).public_key().public_bytes_raw()
    logs = tuple(Verifier(f"{trust_domain}/ledger/{epoch}/{shard}", public) for shard in range(shards))
    keys = tuple(
        DatedKey(role, load_signer(folder / name).verify_key, _since(folder / name) if from_ms is None else from_ms)
        for role, name in _ROLES.items()
    )
    return Trust(trust_domain, logs, keys)


def _since(path: Path) -> int:
    return int(path.stat().st_mtime) * 1000
