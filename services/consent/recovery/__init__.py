"""Recovering a ledger from a restore that lost entries: a new epoch, which declares what is gone and trusts nothing.

Guarantees that the restored logs hold in every byte, or nothing is written; that each shard's next log begins by declaring
the lost range up to the farthest that any witness has seen; that every consent that stands is suspended until it is
confirmed, for its withdrawal may be among what was lost; that what erasures and retentions in an export of the lost range
destroyed is destroyed again; and that no process starts on the old epoch from the first transaction on, nor on the new one
before the last. Each transaction is bounded and of one shard; a crash after any of them is continued by the same call.

Leaves to the operator that the service is stopped (a log that grows meanwhile ends the recovery), and the settings and the
TRUST of the new epoch. What nobody witnessed is not declared, for nobody can know of it; authorisations of the old epoch
without an outcome stay so, and the declared range is why. Moves of profiles in the lost range are not made again.

Reading order: `seen` (what witnesses saw) · `export` (what an export holds of it) · `epoch` (the lock) · `steps`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select

from services.chassis.db import Database
from services.consent import integrity
from services.consent.integrity.case import Secrets
from services.consent.locked import HEAD, Means
from services.consent.recovery.epoch import NextLog, Restored
from services.consent.recovery.export import Export, Tombstone
from services.consent.recovery.export import read_export as read_export
from services.consent.recovery.refusal import RecoveryError as RecoveryError
from services.consent.recovery.seen import farthest
from services.consent.recovery.steps import Steps
from services.consent.shard import RECOVERING
from services.formats.entry import Lost
from services.formats.trust import Trust

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery did. `lost`: what each new log declares, by shard; the rest counts what this run did itself.

    `unresolved`: tombstones of the lost range that could not be replayed, and why; somebody has to look at each.
    """

    epoch: int
    lost: tuple[Lost, ...]
    suspended: int
    erased: int
    dropped_years: int
    expired_requests: int
    unresolved: tuple[str, ...]


def recover(
    database: Database,
    trust: Trust,
    secrets: Secrets,
    means: Sequence[Means],
    notes: Sequence[str],
    export: Export | None = None,
    told: Told = lambda _: None,
) -> Recovered:
    """Recovers the ledger into the epoch of `means` (by shard), from the one before it.

    `notes`: the checkpoints that witnesses kept; `told` is called with what is being done. Raises: RecoveryError, before
    anything is written unless the ledger turns out to be running; AccordError CLOCK_BEHIND, STORAGE_UNAVAILABLE.
    """
    restored = _restored(database, means[0].epoch, len(means))
    told("verifying the restored logs")
    _verify(database, trust, secrets, means, told)
    seen = farthest(database, trust, restored, [*notes, *(export.notes if export else ())])
    tombstones: dict[int, list[Tombstone]] = {}
    if export is not None:
        told("reading the export")
        tombstones = {log.shard: export.tombstones(log, trust) for log in restored}
    logs = [NextLog(database, each, log, size) for each, log, size in zip(means, restored, seen, strict=True)]
    told("beginning the next epoch")
    lost = tuple(log.begin() for log in logs)
    steps = Steps(database, secrets, logs)
    told("erasing again")
    steps.replay(tombstones)
    told("suspending consents")
    steps.suspend()
    steps.expire_requests()
    for log in logs:
        log.finish()
    database.scrub()
    counts = (steps.suspended, steps.erased, steps.dropped_years, steps.expired)
    return Recovered(means[0].epoch, lost, *counts, tuple(steps.unresolved))


def _restored(database: Database, epoch: int, shards: int) -> list[Restored]:
    """The heads of the epoch before. Raises: RecoveryError unless there is just one for each shard."""
    with database.read() as connection:
        rows = connection.execute(select(HEAD).order_by(HEAD.c.shard, HEAD.c.epoch)).all()
    if any(row.epoch > epoch for row in rows):
        raise RecoveryError(f"the database has gone beyond epoch {epoch} already")
    ended = [row.shard for row in rows if row.epoch == epoch and not row.origin.startswith(RECOVERING)]
    if len(ended) == shards:
        raise RecoveryError(f"epoch {epoch} has been recovered already: set epoch = {epoch}")
    old = [Restored(row.shard, row.epoch, row.origin, row.size, row.root) for row in rows if row.epoch == epoch - 1]
    if [log.shard for log in old] != list(range(shards)):
        raise RecoveryError(f"the database does not hold one log of epoch {epoch - 1} for each of {shards} shard(s)")
    return old


def _verify(database: Database, trust: Trust, secrets: Secrets, means: Sequence[Means], told: Told) -> None:
    """Raises: RecoveryError unless everything holds; logs that an earlier run began are part of it."""
    with database.read() as connection:
        begun = set(connection.execute(select(HEAD.c.shard).where(HEAD.c.epoch == means[0].epoch)).scalars())
    known = tuple(each.signer.verifier for each in means if each.shard in begun and trust.log(each.origin) is None)
    listed = replace(trust, logs=(*trust.logs, *known))
    report = integrity.check(
        database, listed, secrets, lambda at: told(f"{at.origin}: {at.done} of {at.size}"), recovering=True
    )
    if report.found:
        first = "\n".join(f"  - {item.table} {item.row} {item.index}: {item.what}" for item in report.findings[:5])
        raise RecoveryError(f"the restored logs do not hold ({report.found} findings):\n{first}")
