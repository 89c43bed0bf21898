"""The values of an exchange: what is asked, what was decided, how it went, and what is answered. They decide nothing."""

from dataclasses import dataclass, field

from services.errors import Reason
from services.formats.entry import OutcomeResult, sha256_hex
from services.formats.evidence import LoggedEntry
from services.formats.manifest import Manifest
from services.formats.rights import Purpose


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange as its sender signed it: the manifest's exact token, and what it says."""

    token: str = field(repr=False)
    manifest: Manifest = field(repr=False)

    @property
    def exchange(self) -> str:
        """The exchange's id: SHA-256 of the token, in hexadecimal."""
        return sha256_hex(self.token)

    def query(self, categories: tuple[str, ...], labels: tuple[str, ...] = ()) -> "Query":
        """What the ledger is asked about this exchange."""
        manifest = self.manifest
        return Query(
            manifest.sender, manifest.patient, manifest.recipient, manifest.purpose, categories, labels, self.exchange
        )


@dataclass(frozen=True, slots=True)
class Query:
    """May `service` deposit `categories` of its `patient`, labelled so, with `counterparty`, for `purpose`?"""

    service: str
    patient: str = field(repr=False)
    counterparty: str
    purpose: Purpose
    categories: tuple[str, ...]
    labels: tuple[str, ...] = ()
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class EntryRef:
    """Where an entry stands: the log's origin, the index in it, and the leaf hash (32 bytes)."""

    origin: str
    index: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Denied:
    """The ledger's refusal; it is recorded already."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Authorization:
    """The ledger's leave: its entry, the permit token, the patient by the recipient's pseudonym, and the permit's salt.

    `resources`: the consent revisions it rests on.
    """

    entry: EntryRef
    permit: str = field(repr=False)
    patient: str = field(repr=False)
    salt: bytes = field(repr=False)
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """How sending ended: the result for the ledger, the reason for the sender (None when delivered), and what left.

    `manifest` and `acknowledgement` are the broker's and the recipient's tokens, empty where there is none.
    """

    result: OutcomeResult
    reason: Reason | None = None
    bytes_sent: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    manifest: str = field(default="", repr=False)
    acknowledgement: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """How sending ended, with all that an answer rests on: manifest and permit as tokens, each document's class."""

    manifest: str = field(repr=False)
    permit: str = field(repr=False)
    classes: tuple[str, ...]
    sent: Sent


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry of the log, its place, and its opening: salt and body are empty where the ledger gave none."""

    index: int
    logged: LoggedEntry


@dataclass(frozen=True, slots=True)
class Recorded:
    """An outcome as the ledger recorded it, beside the authorisation it belongs to."""

    authorization: Proven
    outcome: Proven


@dataclass(frozen=True, slots=True)
class DocumentStatus:
    """One delivered document: its class (JDV_J57), and its size in bytes."""

    document_class: str
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender of a delivered bundle gets: the receipt's parts, and the evidence file's bytes."""

    exchange: str
    authorization_index: int
    outcome_index: int
    documents: tuple[DocumentStatus, ...]
    evidence: bytes = field(repr=False)
