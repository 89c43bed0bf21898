"""What the ledger's commands speak of and what they answer: plain values, already parsed."""

from dataclasses import dataclass
from enum import StrEnum

from services.consent.domain.decision import Permit
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.domain.terms import NO_LIMITS, Limits
from services.errors import Reason
from services.formats.rights import Basis, Direction, Purpose, Scope


@dataclass(frozen=True, slots=True)
class Address:
    """A patient inside the ledger: the shard and the id that never leaves it."""

    shard: int
    patient: int


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who decides, as the portal authenticated them: role, means, and the portal's name for a person."""

    role: str
    authentication: str
    person: str = ""


HOLDER, REPRESENTATIVE, PLATFORM, LEDGER = "holder", "representative", "platform", "ledger"
"""Roles of actors. The last two are no persons: the platform's operator, and the ledger's own clock."""


@dataclass(frozen=True, slots=True)
class Query:
    """An exchange asked about. `address` is None when the pseudonym names nobody; `counterparty` empty for the record."""

    service: str
    address: Address | None
    direction: Direction
    counterparty: str
    purpose: Purpose
    categories: frozenset[str]
    labels: frozenset[str] = frozenset()
    data_from_ms: int | None = None
    data_until_ms: int | None = None
    basis: Basis = Basis.CONSENT


@dataclass(frozen=True, slots=True)
class Assertion:
    """What the portal asserted, already verified: the token, and the thumbprint of the key that signed it."""

    token: str
    kid: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it stands."""

    address: Address
    status: ProfileStatus
    opens_ms: int | None = None
    majority_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as it stands; `consent` is its local id, `cause` says who suspended it."""

    shard: int
    consent: int
    patient: int
    service: str
    scope: Scope
    start_ms: int
    end_ms: int
    notice_sha256: str
    actor: Actor
    state: ConsentState
    revision: int
    limits: Limits = NO_LIMITS
    cause: str = ""

    @property
    def etag(self) -> str:
        """Changes with every revision (AIP-154)."""
        return f'"{self.revision}"'

    def hidden_from(self, actor: Actor) -> bool:
        """Whether the minor keeps it from the person who acts (L1111-5-1)."""
        return self.limits.secret and actor.role == REPRESENTATIVE


class RequestState(StrEnum):
    """Where a service's request stands. GRANTED: claimed for one patient, whose consent may still be on its way.

    EXPIRED is the clock's to say, and never stored.
    """

    PENDING = "PENDING"
    GRANTED = "GRANTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True, slots=True)
class Request:
    """A service's request as it stands; `claimed` is the patient for whom it was decided."""

    shard: int
    request: int
    service: str
    scope: Scope
    start_ms: int | None
    end_ms: int
    limits: Limits
    code: str
    state: RequestState
    created_ms: int
    expires_ms: int
    claimed: Address | None


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an entry stands: its log's origin, its index, its leaf hash."""

    origin: str
    index: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """A recorded decision: `permit` or `told`; `now_s` is its time in seconds since 1970."""

    appended: Appended
    permit: Permit | None
    told: Reason | None
    now_s: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A recorded outcome: the indices of authorisation and outcome in one shard's log."""

    shard: int
    authorization: int
    outcome: int
