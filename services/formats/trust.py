"""TRUST: what a verifier must know beforehand, and nothing more. The origins and keys of the ledger's logs and the
register's, Accord's own signing keys, and the patient portal's.

Everybody gets the file once, and compares its fingerprint with the one published out of band. Services' own keys are not
in it: those come from the registry's signed lease.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.formats.canonical import FormatError, Members, dumps, loads
from services.formats.entry import sha256_hex
from services.formats.jwk import KeyOf, VerifyKey
from services.formats.times import instant_of, text_of
from services.tlog.note import NoteError, Verifier

FORMAT = "accord-trust/v1"
DISTANT_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


class KeyRole(StrEnum):
    """What a key of Accord, or of the patient portal, signs; one key never has two roles."""

    LEASE = "lease"
    PERMIT = "permit"
    BROKER = "broker"
    PORTAL = "portal"


@dataclass(frozen=True, slots=True)
class DatedKey:
    """A signing key, good for what was signed from `from_ms` until before `until_ms`."""

    role: KeyRole
    key: VerifyKey
    from_ms: int
    until_ms: int = DISTANT_MS


@dataclass(frozen=True, slots=True)
class Trust:
    """A trust domain's logs, by origin, and keys; `register`: the logs of its register, one for each epoch."""

    trust_domain: str
    logs: tuple[Verifier, ...]
    keys: tuple[DatedKey, ...]
    register: tuple[Verifier, ...] = ()

    def log(self, origin: str) -> Verifier | None:
        """The verifier of this origin's checkpoints."""
        return next((log for log in self.logs if log.name == origin), None)

    def key_of(self, role: KeyRole, at_ms: int | None = None) -> KeyOf:
        """Looks up a key of one role that was good at `at_ms` (any time when None)."""

        def find(kid: str) -> VerifyKey | None:
            for dated in self.keys:
                good = at_ms is None or dated.from_ms <= at_ms < dated.until_ms
                if dated.role is role and dated.key.kid == kid and good:
                    return dated.key
            return None

        return find

    def to_bytes(self) -> bytes:
        """The file's exact bytes."""
        members: dict[str, Any] = {
            "format": FORMAT,
            "trust_domain": self.trust_domain,
            "logs": [log.vkey for log in self.logs],
            "keys": [_key_json(key) for key in self.keys],
        }
        return dumps(members | ({"register": [log.vkey for log in self.register]} if self.register else {}))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes, in hexadecimal: what is published out of band."""
        return sha256_hex(self.to_bytes())


def parse_trust(data: bytes) -> Trust:
    """The trust that a file states. Raises: FormatError."""
    members = Members(loads(data), "trust")
    if members.text("format") != FORMAT:
        raise FormatError(f"not a file of format {FORMAT}")
    trust = Trust(
        members.text("trust_domain"),
        members.items("logs", _read_log),
        members.items("keys", _read_key),
        members.items("register", _read_log),
    )
    members.done()
    _check_unambiguous(trust)
    return trust


def _check_unambiguous(trust: Trust) -> None:
    logs = (*trust.logs, *trust.register)
    if len({log.name for log in logs}) != len(logs):
        raise FormatError("trust.logs and trust.register hold two keys for one origin")
    if len({(key.key.kid, key.role) for key in trust.keys}) != len({key.key.kid for key in trust.keys}):
        raise FormatError("trust.keys holds one key in two roles")
    if not all(key.from_ms < key.until_ms for key in trust.keys):
        raise FormatError("trust.keys holds a key that ends before it begins")


def _key_json(dated: DatedKey) -> dict[str, Any]:
    return {
        "role": dated.role.value,
        "jwk": dated.key.jwk,
        "from": text_of(dated.from_ms),
        "until": text_of(dated.until_ms),
    }


def _read_log(value: Any, what: str) -> Verifier:
    if not isinstance(value, str):
        raise FormatError(f"{what} is not a string")
    try:
        return Verifier.from_vkey(value)
    except NoteError as error:
        raise FormatError(f"{what}: {error}") from None


def _read_key(value: Any, what: str) -> DatedKey:
    members = Members(value, what)
    try:
        role = KeyRole(members.text("role"))
    except ValueError:
        raise FormatError(f"{what}.role is unknown") from None
    key = VerifyKey.read(members.value("jwk"))
    if key.alg != "EdDSA":
        raise FormatError(f"{what}.jwk is not an Ed25519 key: an ECDSA signature has a second form")
    dated = DatedKey(
        role,
        key,
        instant_of(members.text("from")),
        instant_of(members.text("until")),
    )
    members.done()
    return dated
