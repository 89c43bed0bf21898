"""What is kept secret for patients, and can be destroyed: data keys, sealed openings and identities, the INS directory.

Guarantees: each patient has a data key for each year, wrapped by the master key; what is sealed binds where it stands, so
that a database administrator cannot swap two ciphertexts; an INS is found only with the directory key.
"""

import hmac
from collections.abc import Callable
from enum import IntEnum
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.formats.canonical import dumps, loads
from services.nomenclature.ins import Ins

_NONCE = 12


class Use(IntEnum):
    """What a data key is for: traces of access outlive the record (EHDS article 9), so they have keys of their own."""

    RECORD = 0
    TRACE = 1


class Vault:
    """Keys derived from one master secret; `derive(label)` and `random(n)` are the caller's."""

    def __init__(self, derive: Callable[[str], bytes], random: Callable[[int], bytes]) -> None:
        self._wrapping = AESGCM(derive("data keys"))
        self._directory, self._persons = derive("ins directory"), derive("persons")
        self._random = random

    def new_key(self) -> bytes:
        """A fresh data key, 32 bytes."""
        return self._random(32)

    def wrap(self, key: bytes, shard: int, patient: int, year: int, use: Use = Use.RECORD) -> bytes:
        """The data key under the master key, bound to its owner, year and use."""
        return _seal(self._wrapping, self._random(_NONCE), key, _owner(shard, patient, year, use))

    def unwrap(self, wrapped: bytes, shard: int, patient: int, year: int, use: Use = Use.RECORD) -> bytes:
        """The data key. Raises: cryptography's InvalidTag when it is not this owner's."""
        return _open(self._wrapping, wrapped, _owner(shard, patient, year, use))

    def seal_opening(self, key: bytes, salt: bytes, body: bytes, place: str) -> bytes:
        """Salt and body under a data key, bound to the entry's place."""
        return _seal(AESGCM(key), self._random(_NONCE), salt + body, place)

    def open_opening(self, key: bytes, sealed: bytes, place: str) -> tuple[bytes, bytes]:
        """(salt, body). Raises: cryptography's InvalidTag."""
        plain = _open(AESGCM(key), sealed, place)
        return plain[:32], plain[32:]

    def seal_ins(self, key: bytes, ins: Ins) -> bytes:
        """An identity under the patient's year-0 key."""
        return _seal(AESGCM(key), self._random(_NONCE), dumps([ins.root, ins.matricule]), "ins")

    def open_ins(self, key: bytes, sealed: bytes) -> Ins:
        """The identity. Raises: cryptography's InvalidTag."""
        root, matricule = loads(_open(AESGCM(key), sealed, "ins"))
        return Ins(root, matricule)

    def ins_hash(self, ins: Ins) -> bytes:
        """The keyed hash that finds an identity (HMAC-SHA-256)."""
        return hmac.digest(self._directory, f"{ins.root}|{ins.matricule}".encode(), sha256)

    def is_ins(self, ins_hash: bytes, ins: Ins) -> bool:
        """Whether an identity is the one of this keyed hash."""
        return hmac.compare_digest(ins_hash, self.ins_hash(ins))

    def person_hash(self, person: str) -> str:
        """What stands for a person whom the portal names, in hexadecimal; empty for nobody."""
        return hmac.digest(self._persons, person.encode(), sha256).hex() if person else ""


def subject_of(identity_key: bytes, audience: str) -> str:
    """What stands for a patient towards one audience in the log: HMAC-SHA-256, in hexadecimal."""
    subject_key = hmac.digest(identity_key, b"subject", sha256)
    return hmac.digest(subject_key, audience.encode(), sha256).hex()


def _owner(shard: int, patient: int, year: int, use: Use) -> str:
    return f"{shard}/{patient}/{year}" + (f"/{use.value}" if use else "")


def _seal(cipher: AESGCM, nonce: bytes, plain: bytes, place: str) -> bytes:
    return nonce + cipher.encrypt(nonce, plain, place.encode())


def _open(cipher: AESGCM, sealed: bytes, place: str) -> bytes:
    return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place.encode())
