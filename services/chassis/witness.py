"""A process's own memory of the logs: a ledger that shows less than it showed before is no longer believed.

Guarantees that a checkpoint is kept only if it is the first of its log or proven to continue the one kept before, that the
highest one outlives this process and the ledger's database, and that after one contradiction the ledger is believed no
more until an operator has dealt with the kept checkpoint: a restart finds the same contradiction. Leaves to TRUST which
logs exist, and to its owner what stops when the ledger is not believed.

`require` refuses until the ledger's latest checkpoints were seen once, so a restored ledger is caught before anything rests
on it; `require_new` catches one that was restored since, by the index of the very next entry.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.errors import AccordError, Reason
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.proof import ProofError, verify_consistency

FOLLOW_S = 10.0
RETRY_S = 0.5
_log = logging.getLogger(__name__)


class LedgerSource(Protocol):
    """Who shows the logs: `chassis.ledger` over gRPC."""

    async def checkpoints(self) -> list[str]:
        """The latest signed checkpoint of each log. Raises: AccordError of kind UNAVAILABLE."""

    async def consistency(self, origin: str, old: int, new: int) -> list[bytes] | None:
        """The proof that a log of size `new` continues that of size `old` (RFC 9162 §2.1.4); None where none is given.

        Raises: AccordError of kind UNAVAILABLE, when the ledger cannot be asked.
        """


class CheckpointStore(Protocol):
    """Where the highest checkpoints are kept: out of reach of whoever holds the ledger's database."""

    async def checkpoints(self) -> Mapping[str, str]:
        """The kept note of each log, by origin. Raises: AccordError STORAGE_UNAVAILABLE."""

    async def keep(self, origin: str, note: str) -> None:
        """Replaces the kept note of a log, durably; the witness has checked it. Raises: AccordError STORAGE_UNAVAILABLE."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Why a ledger is believed no more. `kept` and `shown` are signed notes; `shown` is empty where no note shows it.

    Two notes of one log that no proof joins are evidence against whoever holds the log's key, for anyone to check.
    """

    origin: str
    why: str
    kept: str
    shown: str


@dataclass(frozen=True, slots=True)
class _Seen:
    checkpoint: Checkpoint
    note: str


class Witness:
    """Follows every log of the ledger; call `start` once, before anything else."""

    def __init__(self, ledger: LedgerSource, store: CheckpointStore, trust: Trust) -> None:
        self._ledger, self._store, self._trust = ledger, store, trust
        self._kept: dict[str, _Seen] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._followed = False
        self.contradiction: Contradiction | None = None
        """The first one, while this process lives."""

    async def start(self) -> None:
        """Reads what is kept. Raises: AccordError STORAGE_UNAVAILABLE; NoteError when TRUST no longer explains it."""
        origins = [log.name for log in self._trust.logs]
        for origin, note in (await self._store.checkpoints()).items():
            if origin in origins or not superseded(origin, origins):
                seen = self._open(note)
                self._kept[seen.checkpoint.origin] = seen

    def require(self) -> None:
        """Returns while the ledger is believed. Raises: AccordError LEDGER_ROLLED_BACK, LEDGER_UNAVAILABLE."""
        self.require_uncontradicted()
        if not self._followed:
            raise AccordError(Reason.LEDGER_UNAVAILABLE, "its checkpoints have not been seen yet", retry_after=1.0)

    def require_uncontradicted(self) -> None:
        """Returns unless the ledger has contradicted itself, seen yet or not. Raises: AccordError LEDGER_ROLLED_BACK."""
        if self.contradiction is not None:
            raise AccordError(Reason.LEDGER_ROLLED_BACK)

    def sizes(self) -> Mapping[str, int]:
        """The size kept of each log: take it before a request whose answer `require_new` shall judge."""
        return {origin: seen.checkpoint.size for origin, seen in self._kept.items()}

    def notes(self) -> Mapping[str, str]:
        """The kept note of each log."""
        return {origin: seen.note for origin, seen in self._kept.items()}

    def require_new(self, origin: str, index: int, sizes: Mapping[str, int]) -> None:
        """An entry appended after `sizes` was taken lies beyond it. Raises: AccordError LEDGER_ROLLED_BACK."""
        if index < sizes.get(origin, 0):
            raise self._contradicted(origin, "a new entry lies below the size seen before")

    async def see(self, note: str, *, latest: Mapping[str, int] | None = None) -> None:
        """Takes note of a checkpoint. `latest`: it claims to be the newest, asked for after these `sizes` were taken.

        Raises: AccordError LEDGER_ROLLED_BACK for one that contradicts the kept one, LEDGER_UNAVAILABLE for one that TRUST
        does not explain or when no proof can be had, STORAGE_UNAVAILABLE.
        """
        try:
            seen = self._open(note)
        except NoteError as error:
            raise AccordError(Reason.LEDGER_UNAVAILABLE, "a checkpoint does not verify") from error
        origin, size = seen.checkpoint.origin, seen.checkpoint.size
        if latest is not None and size < latest.get(origin, 0):
            raise self._contradicted(origin, "the latest checkpoint is smaller than one seen before", note)
        async with self._locks.setdefault(origin, asyncio.Lock()):
            kept = self._kept.get(origin)
            if kept is not None:
                await self._require_consistent(kept, seen)
            if kept is None or size > kept.checkpoint.size:
                await self._store.keep(origin, note)
                self._kept[origin] = seen

    async def look(self) -> None:
        """Sees the latest checkpoint of every log. Raises: AccordError as `see`."""
        sizes = self.sizes()
        notes = await self._ledger.checkpoints()
        for note in notes:
            await self.see(note, latest=sizes)
        shown = {note.partition("\n")[0] for note in notes}
        missing = set(sizes) - shown
        for origin in filter(lambda name: superseded(name, shown), missing):
            _log.warning("a log goes on in a later epoch", extra={"fields": {"origin": origin}})
            self._kept.pop(origin, None)
        gone = missing & set(self._kept)
        if gone:
            raise self._contradicted(min(gone), "the log is gone")
        self._followed = True

    async def follow(self) -> None:
        """Looks for ever, at once and then every FOLLOW_S seconds; a reason that lasts is logged once."""
        told = None
        while True:
            try:
                await self.look()
                told = None
            except AccordError as error:
                if error.reason is not told:
                    _log.warning("the ledger cannot be followed", extra={"fields": {"reason": error.reason.value}})
                told = error.reason
            except Exception:  # whatever broke: a log that nobody follows could be rolled back unseen
                _log.exception("following the ledger broke")
            await asyncio.sleep(FOLLOW_S if self._followed else RETRY_S)

    async def _require_consistent(self, kept: _Seen, shown: _Seen) -> None:
        old, new = sorted((kept.checkpoint, shown.checkpoint), key=lambda each: each.size)
        provable = 0 < old.size < new.size
        proof = await self._ledger.consistency(old.origin, old.size, new.size) if provable else []
        if proof is None:
            raise self._contradicted(old.origin, "the ledger gives no consistency proof", shown.note)
        try:
            verify_consistency(old.size, old.root, new.size, new.root, proof)
        except ProofError:
            raise self._contradicted(old.origin, "two checkpoints are not of one log", shown.note) from None

    def _open(self, note: str) -> _Seen:
        log = self._trust.log(note.partition("\n")[0])
        if log is None:
            raise NoteError("the log is not one that TRUST lists")
        return _Seen(open_checkpoint(note, log), note)

    def _contradicted(self, origin: str, why: str, shown: str = "") -> AccordError:
        if self.contradiction is None:
            self.contradiction = Contradiction(origin, why, self._kept[origin].note, shown)
        _log.critical("the ledger contradicts itself", extra={"fields": {"origin": origin, "why": why}})
        return AccordError(Reason.LEDGER_ROLLED_BACK)


def superseded(origin: str, others: Iterable[str]) -> bool:
    """Whether one of the other logs is the same shard's in a later epoch: `DOMAIN/ledger/EPOCH/SHARD`.

    A new epoch is the operator's declaration of a loss: it counts for logs that TRUST lists, so who publishes that decides.
    """
    name, epoch, shard = _parts(origin)
    return any((name, shard) == (other[0], other[2]) and other[1] > epoch for other in map(_parts, others))


def _parts(origin: str) -> tuple[str, int, str]:
    rest, _, shard = origin.rpartition("/")
    name, _, epoch = rest.rpartition("/")
    return name, int(epoch) if epoch.isdecimal() and epoch.isascii() else 0, shard
