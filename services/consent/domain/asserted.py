"""The portal's assertions as they are listed and revoked: by the person or by the key, within a period."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AssertionFilter:
    """Assertions of a person (the keyed hash; empty: of anybody) under a key (its thumbprint; empty: any), of a period.

    From `from_ms` until before `until_ms`.
    """

    person: str
    kid: str
    from_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where an assertion stands in a shard, in log order."""

    time_ms: int
    epoch: int
    index: int


@dataclass(frozen=True, slots=True)
class Asserted:
    """One assertion: where it stands, in which log, the consent that it made or changed (local id), the key that signed."""

    shard: int
    origin: str
    place: Place
    consent: int
    kid: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What one step of a mass withdrawal did: consents withdrawn, consents that had ended before, and where to go on."""

    revoked: frozenset[int]
    ended: frozenset[int]
    after: Place | None
