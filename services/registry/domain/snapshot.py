"""The snapshot: what consent and exchange know of the register, and what every ledger entry pins."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.formats.entry import Pin
from services.formats.lease import snapshot_hash

MAX_SNAPSHOT = 3 << 20
"""Bytes of all records: readers receive a snapshot as one message of at most 4 MiB."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One record for each service, in order of name, and their sequence and hash."""

    pin: Pin
    records: tuple[bytes, ...]

    @staticmethod
    def of(sequence: int, records: Sequence[bytes]) -> "Snapshot":
        """The snapshot of these records, hashed (RFC 9162 §2.1)."""
        return Snapshot(Pin(sequence, snapshot_hash(records)), tuple(records))

    @property
    def fits(self) -> bool:
        """Whether a reader can still receive it."""
        return sum(map(len, self.records)) <= MAX_SNAPSHOT


EMPTY = Snapshot.of(1, ())
