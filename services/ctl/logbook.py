"""An auditor's reading of the whole log: every entry, the root they make, and the one rule that the log alone proves."""

from collections import Counter
from dataclasses import dataclass

from accord.consent.v1 import audit_service_pb2, audit_service_pb2_grpc

from services.formats.entry import Entry, EntryType, parse_entry
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.tree import leaf_hash, merkle_root

PAGE = 500
CALL_S = 15.0


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
    return [await _read_shard(audit, trust, note) for note in answer.checkpoints]


async def _read_shard(audit: "audit_service_pb2_grpc.AuditServiceAsyncStub", trust: Trust, note: str) -> Logbook:
    log = trust.log(note.partition("\n")[0])
    if log is None:
        raise ValueError("a checkpoint of a log that TRUST does not list")
    checkpoint = open_checkpoint(note, log)
    entries: list[bytes] = []
    while len(entries) < checkpoint.size:
        request = audit_service_pb2.ListEntriesRequest(
            origin=log.name, page_size=min(PAGE, checkpoint.size - len(entries)), page_token=str(len(entries))
        )
        page = await audit.ListEntries(request, timeout=CALL_S)
        if not page.entries:
            raise ValueError("the log holds fewer entries than its checkpoint says")
        entries += page.entries
    if merkle_root([leaf_hash(entry) for entry in entries]) != checkpoint.root:
        raise ValueError("the entries are not those of the signed checkpoint")
    parsed = tuple(map(parse_entry, entries))
    return Logbook(checkpoint, parsed, tuple(forwards_after_revoke(parsed)))


def forwards_after_revoke(entries: tuple[Entry, ...]) -> list[int]:
    """Indices of authorisations that rest on a consent which an earlier entry revoked: promise 2 says there are none."""
    revoked: set[str] = set()
    violations = []
    for index, entry in enumerate(entries):
        consents = {resource.partition("/revisions/")[0] for resource in entry.resources}
        if entry.type is EntryType.CONSENT_REVOKED:
            revoked |= consents
        elif entry.type is EntryType.EXCHANGE_AUTHORIZED and consents & revoked:
            violations.append(index)
    return violations
