"""What the ledger can be asked to do, and what it answers: plain values, already parsed."""

from dataclasses import dataclass

from services.consent.domain.decision import ConsentState, Permit
from services.errors import Reason
from services.formats.entry import OutcomeResult
from services.formats.rights import Direction, Purpose, Scope
from services.nomenclature.ins import Ins


@dataclass(frozen=True, slots=True)
class Address:
    """A patient inside the ledger: the shard and the id that never leaves it."""

    shard: int
    patient: int


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who decides, as the portal authenticated them: role and means."""

    role: str
    authentication: str


@dataclass(frozen=True, slots=True)
class Query:
    """An exchange asked about. `address` is None when the pseudonym names nobody; `counterparty` empty for the record."""

    service: str
    address: Address | None
    direction: Direction
    counterparty: str
    purpose: Purpose
    categories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Check:
    """Asks for advice; with `resources`, only the consents that these revisions belong to may carry it."""

    query: Query
    resources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OpenProfile:
    """Opens the profile of this identity."""

    ins: Ins


@dataclass(frozen=True, slots=True)
class Pair:
    """Pairs a patient with a service."""

    address: Address
    service: str


@dataclass(frozen=True, slots=True)
class Grant:
    """Records a consent; `start_ms` None means from now. `digest` tells two uses of one request id apart."""

    address: Address
    service: str
    scope: Scope
    start_ms: int | None
    end_ms: int
    notice_sha256: str
    actor: Actor
    request_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """Withdraws a consent, by its shard and local id."""

    shard: int
    consent: int
    actor: Actor


@dataclass(frozen=True, slots=True)
class Authorize:
    """Decides an exchange and records it; `thumbprint` is of the broker's certificate (RFC 8705)."""

    query: Query
    exchange: str
    document_patients: tuple[Ins, ...]
    thumbprint: str


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """Records how the authorisation at `authorization` of a shard ended; hashes hexadecimal or empty."""

    shard: int
    authorization: int
    exchange: str
    result: OutcomeResult
    bytes_sent: int
    first_ms: int | None
    last_ms: int | None
    acknowledgement_sha256: str
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class RecordRefusal:
    """Records a refusal of a bundle whose manifest was valid."""

    service: str
    address: Address | None
    exchange: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Sweep:
    """Records UNKNOWN for authorisations before `before_ms` that nobody recorded an outcome of."""

    before_ms: int


Command = OpenProfile | Pair | Grant | Revoke | Authorize | RecordOutcome | RecordRefusal | Sweep


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as it stands; `consent` is its local id."""

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
