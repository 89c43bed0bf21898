"""An auditor's reading of the whole log: every entry, the root they make, and the one rule that the log alone proves.

The rule is promise 2, as the log states it: each authorisation rests on the newest revisions of consents, which the entries
before it made and left standing, at a time before they end, and by a permit that does not outlive them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from accord.consent.v1 import audit_service_pb2, audit_service_pb2_grpc

from services.formats.entry import LIVE, REVISING, Entry, EntryType, parse_entry
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.tree import leaf_hash, merkle_root

CALL_S = 15.0
FINAL = frozenset({EntryType.CONSENT_REVOKED, EntryType.CONSENT_EXPIRED, EntryType.CONSENT_ENDED})
"""The entries after which a consent carries nothing, for ever."""


@dataclass(frozen=True, slots=True)
class Logbook:
    """One shard's entries up to a checkpoint they were checked against; `violations` are indices that break promise 2."""

    checkpoint: Checkpoint
    entries: tuple[Entry, ...]
    violations: tuple[int, ...]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many entries of each type and reason."""
        return dict(
            sorted(
                Counter((item.type.value, item.reason.value if item.reason else "") for item in self.entries).items()
            )
        )


async def read_log(audit: "audit_service_pb2_grpc.AuditServiceAsyncStub", trust: Trust) -> list[Logbook]:
    """Every shard's log, verified. Raises: ValueError when entries and signed checkpoint disagree."""
    answer = await audit.GetCheckpoints(audit_service_pb2.GetCheckpointsRequest(), timeout=CALL_S)
    return [await _read_shard(audit, trust, note.partition("\n")[0]) for note in answer.checkpoints]


async def _read_shard(audit: "audit_service_pb2_grpc.AuditServiceAsyncStub", trust: Trust, origin: str) -> Logbook:
    log = trust.log(origin)
    if log is None:
        raise ValueError("a checkpoint of a log that TRUST does not list")
    note, entries = "", []
    async for part in audit.ExportEntries(audit_service_pb2.ExportEntriesRequest(origin=origin)):
        note = note or part.checkpoint
        entries += [item.entry for item in part.items]
    checkpoint = open_checkpoint(note, log)
    if merkle_root([leaf_hash(entry) for entry in entries]) != checkpoint.root or len(entries) != checkpoint.size:
        raise ValueError("the entries are not those of the signed checkpoint")
    parsed = tuple(map(parse_entry, entries))
    return Logbook(checkpoint, parsed, tuple(forwards_after_revoke(parsed)))


def forwards_after_revoke(entries: Iterable[Entry]) -> list[int]:
    """Indices of entries of one log that break promise 2: it says that there are none."""
    promise = Promise()
    return [index for index, entry in enumerate(entries) if promise.take(index, entry)]


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest revision of a consent: its number, and the entry that made it, for whom and towards which service."""

    revision: int
    type: EntryType
    until_ms: int
    index: int
    service: str
    subject: str


class Promise:
    """Checks promise 2 entry by entry, in log order; keeps one line for each consent."""

    def __init__(self) -> None:
        self.newest: dict[str, Newest] = {}
        self.revisions = self.authorizations = 0

    def take(self, index: int, entry: Entry) -> str:
        """How the log's next entry breaks the promise; empty when it does not."""
        if entry.type in REVISING:
            return self._revise(index, entry)
        if entry.type is EntryType.EXCHANGE_AUTHORIZED:
            self.authorizations += 1
            return self._authorize(entry)
        return ""

    def _revise(self, index: int, entry: Entry) -> str:
        wrong = "" if entry.resources else "it names no consent"
        for resource in entry.resources:
            consent, number = split_revision(resource)
            known = self.newest.get(consent)
            self.revisions += 1
            if known is not None and (known.type in FINAL or number <= known.revision):
                wrong = wrong or f"it makes {resource} after entry {known.index}, {known.type.value}"
                continue  # what was ended stays ended
            self.newest[consent] = Newest(number, entry.type, entry.until_ms or 0, index, entry.service, entry.subject)
        return wrong

    def _authorize(self, entry: Entry) -> str:
        """Each side rests on a consent of its own. That both are one patient's, replay proves, which opens the facts."""
        sides = [entry.service, *([entry.counterparty] if entry.counterparty else [])]
        if not entry.resources:
            return "it rests on no consent"
        if len(entry.resources) != len(sides):
            return f"it rests on {len(entry.resources)} consents, where {len(sides)} services take part"
        wrong = (self._rests(entry, resource, side) for resource, side in zip(entry.resources, sides, strict=True))
        return next(filter(None, wrong), "")

    def _rests(self, entry: Entry, resource: str, service: str) -> str:
        consent, number = split_revision(resource)
        known = self.newest.get(consent)
        if known is None:
            return f"it rests on {resource}, which no entry before it made"
        if known.revision != number or known.type not in LIVE:
            return f"it rests on {resource} after entry {known.index}, {known.type.value}"
        if known.service != service or (service == entry.service and known.subject != entry.subject):
            return f"it rests on {resource}, another's consent"
        if entry.time_ms >= known.until_ms:
            return f"it rests on {resource} after its end"
        # A permit counts whole seconds.
        if entry.until_ms is None or entry.until_ms > known.until_ms // 1000 * 1000:
            return f"its permit outlives {resource}"
        return ""


def split_revision(resource: str) -> tuple[str, int]:
    """The consent and the number of a revision's name."""
    consent, _, number = resource.partition("/revisions/")
    return consent, int(number)
