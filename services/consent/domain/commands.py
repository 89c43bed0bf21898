"""What the ledger can be asked to do: plain values, already parsed. What they speak of is in `values`."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from services.consent.domain.asserted import AssertionFilter, Place, Withdrawn
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import NO_LIMITS, Limits
from services.consent.domain.values import HOLDER as HOLDER
from services.consent.domain.values import LEDGER as LEDGER
from services.consent.domain.values import PLATFORM as PLATFORM
from services.consent.domain.values import REPRESENTATIVE as REPRESENTATIVE
from services.consent.domain.values import Actor as Actor
from services.consent.domain.values import Address as Address
from services.consent.domain.values import Appended as Appended
from services.consent.domain.values import Assertion as Assertion
from services.consent.domain.values import Consent as Consent
from services.consent.domain.values import Decision as Decision
from services.consent.domain.values import Outcome as Outcome
from services.consent.domain.values import Profile as Profile
from services.consent.domain.values import Query as Query
from services.consent.domain.values import Request as Request
from services.consent.domain.values import RequestState as RequestState
from services.errors import Reason
from services.formats.entry import EntryType, OutcomeResult
from services.formats.rights import Scope
from services.nomenclature.ins import Ins

T = TypeVar("T")


class Command(Generic[T]):
    """Something that the ledger does under a shard's lock, and answers with a T."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Asks for advice; with `resources`, only the consents that these revisions belong to may carry it.

    `exchange`: the one under way, whose own use of a quota does not count against it.
    """

    query: Query
    resources: frozenset[str] = frozenset()
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class OpenProfile(Command[Profile | Address]):
    """Opens the profile of this identity, at once or (`opt_out`) in six weeks; `majority_ms` of a minor."""

    ins: Ins
    opt_out: bool = False
    majority_ms: int | None = None


@dataclass(frozen=True, slots=True)
class MoveProfile(Command[Profile]):
    """Moves a profile: `move` is the entry that tells of it, `why` the platform's justification."""

    address: Address
    move: EntryType
    actor: Actor
    why: str = ""


@dataclass(frozen=True, slots=True)
class ClaimAlias(Command[Address]):
    """Claims an identity for a patient of any shard, in the identity's own shard."""

    ins: Ins
    address: Address


@dataclass(frozen=True, slots=True)
class AddIdentity(Command[Address]):
    """Records a claimed identity beside its patient."""

    ins: Ins
    address: Address


@dataclass(frozen=True, slots=True)
class Represent(Command[Address]):
    """Records that a person may act for a minor, or (`allowed` False) no longer may."""

    address: Address
    person: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Pair(Command[Address]):
    """Pairs a patient with a service."""

    address: Address
    service: str


@dataclass(frozen=True, slots=True)
class Grant(Command[Consent]):
    """Records a consent; `start_ms` None means from now. `digest` tells two uses of one request id apart.

    `request`: the local id of the service's request that this answers, by which it is granted once; it pairs as well.
    """

    address: Address
    service: str
    scope: Scope
    start_ms: int | None
    end_ms: int
    notice_sha256: str
    actor: Actor
    request_id: str
    digest: str
    limits: Limits = NO_LIMITS
    assertion: Assertion | None = None
    pairs: bool = False
    until_ms: int | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class Amend(Command[Consent]):
    """Changes what a consent covers; `etag` empty: whatever its revision."""

    shard: int
    consent: int
    scope: Scope
    end_ms: int
    notice_sha256: str
    limits: Limits
    actor: Actor
    request_id: str
    digest: str
    etag: str = ""
    assertion: Assertion | None = None
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class MoveConsent(Command[Consent]):
    """Moves a consent to where `actor` wants it: suspended, active again, revoked. `why`: the platform's justification.

    `seen`: the revision that the assertion of a resumption takes up again.
    """

    shard: int
    consent: int
    to: ConsentState
    actor: Actor
    etag: str = ""
    assertion: Assertion | None = None
    why: str = ""
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class RecordNotice(Command[Consent]):
    """Records that the patient was told of a consent's revision."""

    address: Address
    shard: int
    consent: int
    revision: int
    channel: str
    sent_ms: int


@dataclass(frozen=True, slots=True)
class AcknowledgeRevocation(Command[int]):
    """Records that the service has noted the end of a consent."""

    shard: int
    consent: int
    service: str


@dataclass(frozen=True, slots=True)
class RequestConsent(Command[Request]):
    """Records what a service asks for, in the service's shard."""

    service: str
    scope: Scope
    start_ms: int | None
    end_ms: int
    limits: Limits
    life_s: int
    request_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class DecideRequest(Command[Request]):
    """Claims a pending request for one patient, to grant it (`granted`) or to reject it."""

    shard: int
    request: int
    address: Address
    granted: bool
    actor: Actor


@dataclass(frozen=True, slots=True)
class Authorize(Command[Decision]):
    """Decides an exchange and records it; `thumbprint` is of the broker's certificate (RFC 8705)."""

    query: Query
    exchange: str
    document_patients: tuple[Ins, ...]
    thumbprint: str


@dataclass(frozen=True, slots=True)
class RecordOutcome(Command[Outcome]):
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
class RecordRefusal(Command[Appended]):
    """Records a refusal of a bundle whose manifest was valid."""

    service: str
    address: Address | None
    exchange: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Sweep(Command[int]):
    """Records UNKNOWN for authorisations of a shard before `before_ms` that nobody recorded an outcome of."""

    shard: int
    before_ms: int


@dataclass(frozen=True, slots=True)
class SweepConsents(Command[int]):
    """Records what the clock has decided: consents that end, representatives' consents at majority, profiles that open."""

    shard: int


@dataclass(frozen=True, slots=True)
class RecordRead(Command[Appended]):
    """Records that an auditor, or the platform, read something: the method, what was asked, and of which patient."""

    shard: int
    method: str
    asked: dict[str, str]
    actor: str = "auditor"
    patient: Address | None = None


@dataclass(frozen=True, slots=True)
class Erase(Command[tuple[int, int]]):
    """Destroys a closed patient's keys and rows; `traces_too`: those of access traces as well."""

    address: Address
    legal_basis: str
    traces_too: bool


@dataclass(frozen=True, slots=True)
class DropAliases(Command[None]):
    """Takes an erased patient's other identities out of one shard of the directory."""

    shard: int
    address: Address


@dataclass(frozen=True, slots=True)
class Retain(Command[int]):
    """Destroys, in one shard, the keys of a past year."""

    shard: int
    year: int
    legal_basis: str


@dataclass(frozen=True, slots=True)
class RevokeAsserted(Command[Withdrawn]):
    """Withdraws, in one shard, the consents that rest on the next assertions found; `why`: the platform's justification."""

    shard: int
    wanted: AssertionFilter
    after: Place | None
    why: str
