"""What a decision rests on: the patient's profile, and for each service of an exchange its standing and its consents.

Values only. Leaves to the caller that they are gathered under the shard's lock, and to `decision` what follows from them.
"""

from dataclasses import dataclass, replace

from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.domain.terms import NO_LIMITS, Effect, Limits
from services.formats.lease import Convention, ServiceRecord, Status
from services.formats.rights import Basis, Direction, Purpose, Scope


@dataclass(frozen=True, slots=True)
class ConsentFact:
    """The current revision of a consent; valid from `start_ms` until before `end_ms`.

    `used`: exchanges counted in the quota's current window; `counted`: whether this very exchange is one of them.
    """

    revision: str
    state: ConsentState
    scope: Scope
    start_ms: int
    end_ms: int
    limits: Limits = NO_LIMITS
    used: int = 0
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A service as the registry's lease has it."""

    status: Status
    convention: Convention


@dataclass(frozen=True, slots=True)
class Party:
    """One service's side of an exchange: its direction, standing (None: unknown), pairing and consents."""

    service: str
    direction: Direction
    standing: Standing | None
    paired: bool
    consents: tuple[ConsentFact, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on. The first party names the patient; `profile` is None for an unknown patient.

    `documents_match` says for each document whether its identity is the profile's; empty where none was shown. `labels` are
    the confidentiality codes of what moves (JDV_J58, TRE_A07), empty where they are not known. `data_from_ms` and
    `data_until_ms` are the dates of the oldest and the newest data that moves, None where they are not known.
    """

    profile: ProfileStatus | None
    parties: tuple[Party, ...]
    purpose: Purpose
    categories: frozenset[str]
    documents_match: tuple[bool, ...] = ()
    labels: frozenset[str] = frozenset()
    data_from_ms: int | None = None
    data_until_ms: int | None = None
    basis: Basis = Basis.CONSENT


def standing_of(record: ServiceRecord | None) -> Standing | None:
    """Where a service stands by its registry record."""
    return Standing(record.status, record.convention) if record is not None else None


def resting_on(facts: Facts, resources: frozenset[str]) -> Facts:
    """The facts without the consents that these revisions do not belong to, but with every refusal: those always bite."""
    names = {_name(revision) for revision in resources}
    parties = (replace(party, consents=_left(party.consents, names)) for party in facts.parties)
    return replace(facts, parties=tuple(parties))


def _left(consents: tuple[ConsentFact, ...], names: set[str]) -> tuple[ConsentFact, ...]:
    return tuple(item for item in consents if item.limits.effect is not Effect.PERMIT or _name(item.revision) in names)


def _name(revision: str) -> str:
    return revision.partition("/revisions/")[0]
