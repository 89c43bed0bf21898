"""What witnesses saw of the logs that were restored: how far, and that it was these logs.

Guarantees that only checkpoints that a log's key in TRUST signed count, and that each one within the restored log has its
root. That a farther one continues the restored log no proof shows any more: its entries are gone.
"""

from collections.abc import Iterable, Sequence

from services.chassis.db import Database
from services.consent.recovery.epoch import Restored
from services.consent.recovery.refusal import RecoveryError
from services.consent.shard import read_nodes
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.tree import Frontier


def farthest(database: Database, trust: Trust, logs: Sequence[Restored], notes: Iterable[str]) -> list[int]:
    """For each restored log the largest size that was seen, at least its own.

    Raises: RecoveryError for a note that does not verify, one of another log than was restored, or a log that nobody saw.
    """
    checkpoints = [_open(note, trust) for note in notes]
    return [_farthest(database, log, [item for item in checkpoints if item.origin == log.origin]) for log in logs]


def _open(note: str, trust: Trust) -> Checkpoint:
    verifier = trust.log(note.partition("\n")[0])
    if verifier is None:
        raise RecoveryError("a witness kept a log that TRUST does not list: give TRUST as it was")
    try:
        return open_checkpoint(note, verifier)
    except NoteError as error:
        raise RecoveryError(f"a witness's checkpoint of {verifier.name} does not verify: {error}") from None


def _farthest(database: Database, log: Restored, seen: Sequence[Checkpoint]) -> int:
    if not seen:
        raise RecoveryError(f"no witness has seen {log.origin}: what was lost of it cannot be told")
    roots = {log.size: log.root}
    for checkpoint in seen:
        root = roots.setdefault(checkpoint.size, _root_at(database, log, checkpoint))
        if root != checkpoint.root:
            raise RecoveryError(f"{log.origin} is not the log that a witness saw at size {checkpoint.size}")
    return max(roots)


def _root_at(database: Database, log: Restored, checkpoint: Checkpoint) -> bytes:
    """What the restored log's root was at a checkpoint's size; beyond its end, the checkpoint's own."""
    if checkpoint.size > log.size:
        return checkpoint.root
    with database.read() as connection:
        return Frontier.load(checkpoint.size, lambda nodes: read_nodes(connection, log.shard, log.epoch, nodes)).root()
