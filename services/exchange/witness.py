"""The broker's own memory of the logs: a ledger that shows less than it showed before is no longer believed.

Guarantees that a checkpoint is kept only if it is the first of its log or proven to continue the one kept before, that the
highest one outlives this process and the ledger's database, and that after one contradiction nothing is forwarded until an
operator has dealt with the kept checkpoint: a restart finds the same contradiction. Leaves to TRUST which logs exist.

`require` refuses until the ledger's latest checkpoints were seen once, so a restored ledger is caught before the first byte;
`require_new` catches one that was restored since, by the index of the very next entry.
"""

import asyncio
import logging
from collections.abc import Mapping

from services.errors import AccordError, Reason
from services.exchange.clients import Ledger
from services.exchange.store import Store
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.proof import ProofError, verify_consistency

FOLLOW_S = 10.0
RETRY_S = 0.5
_log = logging.getLogger(__name__)


class Witness:
    """Follows every log of the ledger; call `start` once, before anything else."""

    def __init__(self, ledger: Ledger, store: Store, trust: Trust) -> None:
        self._ledger, self._store, self._trust = ledger, store, trust
        self._kept: dict[str, Checkpoint] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._followed = False
        self._contradicted = False

    async def start(self) -> None:
        """Reads what is kept. Raises: AccordError STORAGE_UNAVAILABLE; NoteError when TRUST no longer explains it."""
        for note in (await self._store.checkpoints()).values():
            checkpoint = self._open(note)
            self._kept[checkpoint.origin] = checkpoint

    def require(self) -> None:
        """Returns while the ledger is believed. Raises: AccordError LEDGER_ROLLED_BACK, LEDGER_UNAVAILABLE."""
        if self._contradicted:
            raise AccordError(Reason.LEDGER_ROLLED_BACK)
        if not self._followed:
            raise AccordError(Reason.LEDGER_UNAVAILABLE, "its checkpoints have not been seen yet", retry_after=1.0)

    def sizes(self) -> Mapping[str, int]:
        """The size kept of each log: take it before a request whose answer `require_new` shall judge."""
        return {origin: checkpoint.size for origin, checkpoint in self._kept.items()}

    def require_new(self, origin: str, index: int, sizes: Mapping[str, int]) -> None:
        """An entry appended after `sizes` was taken lies beyond it. Raises: AccordError LEDGER_ROLLED_BACK."""
        if index < sizes.get(origin, 0):
            raise self._contradiction(origin, "a new entry lies below the size seen before")

    async def see(self, note: str, *, latest: Mapping[str, int] | None = None) -> None:
        """Takes note of a checkpoint. `latest`: it claims to be the newest, asked for after these `sizes` were taken.

        Raises: AccordError LEDGER_ROLLED_BACK for one that contradicts the kept one, LEDGER_UNAVAILABLE for one that TRUST
        does not explain or when no proof can be had, STORAGE_UNAVAILABLE.
        """
        try:
            checkpoint = self._open(note)
        except NoteError as error:
            raise AccordError(Reason.LEDGER_UNAVAILABLE, "a checkpoint does not verify") from error
        origin = checkpoint.origin
        if latest is not None and checkpoint.size < latest.get(origin, 0):
            raise self._contradiction(origin, "the latest checkpoint is smaller than one seen before")
        async with self._locks.setdefault(origin, asyncio.Lock()):
            kept = self._kept.get(origin)
            if kept is not None:
                await self._require_consistent(*sorted((kept, checkpoint), key=lambda each: each.size))
            if kept is None or checkpoint.size > kept.size:
                await self._store.keep(origin, note)
                self._kept[origin] = checkpoint

    async def look(self) -> None:
        """Sees the latest checkpoint of every log. Raises: AccordError as `see`."""
        sizes = self.sizes()
        notes = await self._ledger.checkpoints()
        for note in notes:
            await self.see(note, latest=sizes)
        missing = set(sizes) - {note.partition("\n")[0] for note in notes}
        if missing:
            raise self._contradiction(min(missing), "the log is gone")
        self._followed = True

    async def follow(self) -> None:
        """Looks for ever, at once and then every FOLLOW_S seconds."""
        while True:
            try:
                await self.look()
            except AccordError as error:
                _log.warning("the ledger cannot be followed", extra={"fields": {"reason": error.reason.value}})
            except Exception:  # whatever broke: a log that nobody follows could be rolled back unseen
                _log.exception("following the ledger broke")
            await asyncio.sleep(FOLLOW_S if self._followed else RETRY_S)

    async def _require_consistent(self, old: Checkpoint, new: Checkpoint) -> None:
        provable = 0 < old.size < new.size
        proof = await self._ledger.consistency(old.origin, old.size, new.size) if provable else []
        if proof is None:
            raise self._contradiction(old.origin, "the ledger gives no consistency proof")
        try:
            verify_consistency(old.size, old.root, new.size, new.root, proof)
        except ProofError:
            raise self._contradiction(old.origin, "two checkpoints are not of one log") from None

    def _open(self, note: str) -> Checkpoint:
        log = self._trust.log(note.partition("\n")[0])
        if log is None:
            raise NoteError("the log is not one that TRUST lists")
        return open_checkpoint(note, log)

    def _contradiction(self, origin: str, why: str) -> AccordError:
        self._contradicted = True
        _log.critical("the ledger contradicts itself", extra={"fields": {"origin": origin, "why": why}})
        return AccordError(Reason.LEDGER_ROLLED_BACK)
