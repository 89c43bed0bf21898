"""After sending: the outcome goes into the ledger, whatever it is, and a delivered exchange gets its evidence.

Guarantees that an answer rests on entries whose proofs were checked and whose checkpoints the witness took, and on evidence
that verifies; a broker that cannot prove does not say that it delivered. Leaves retrying to the broker.
"""

import asyncio
import logging
from concurrent.futures import Executor

from services.chassis.registry import RegistryView, Snapshot
from services.chassis.witness import Witness
from services.errors import AccordError, Reason
from services.exchange.clients import Ledger
from services.exchange.domain.exchange import Answer, Case, DocumentStatus, Ended, EntryRef, Recorded, Sent
from services.exchange.domain.settlement import RegistryWord, Settled, assemble, check_recorded
from services.exchange.intake import open_case
from services.formats.entry import Pin
from services.formats.evidence import LeasedRecord
from services.formats.trust import Trust
from services.formats.verify import VerificationError, verify

VIEW_WAIT_S = 5.0
VIEW_TICK_S = 0.05
_log = logging.getLogger(__name__)


class Settler:
    """Records outcomes and proves deliveries."""

    def __init__(self, ledger: Ledger, witness: Witness, view: RegistryView, trust: Trust, executor: Executor) -> None:
        self._ledger, self._witness, self._view = ledger, witness, view
        self._trust, self._executor = trust, executor

    async def record(self, authorization: EntryRef, exchange: str, sent: Sent) -> tuple[Recorded, Settled]:
        """Records the outcome and checks what the ledger proves of it.

        Raises: AccordError of kind UNAVAILABLE; INTERNAL for an answer that proves something else.
        """
        recorded = await self._ledger.record_outcome(authorization, exchange, sent)
        try:
            settled = check_recorded(recorded, authorization, exchange, sent, self._trust)
        except ValueError as error:
            raise AccordError(Reason.INTERNAL, "the ledger's proof of an outcome does not hold") from error
        for note in settled.notes:
            await self._witness.see(note)
        return recorded, settled

    def reopen(self, token: str, sender: str) -> Case:
        """The case of a manifest that `sender` sent to an earlier life. Raises: AccordError as `intake.open_case`."""
        return open_case(token, sender, self._trust.trust_domain, self._view.current().services)

    async def answer(self, case: Case, authorization: EntryRef, ended: Ended) -> Answer:
        """The answer to a delivered exchange: outcome recorded, evidence verified. Raises: AccordError as `record`."""
        recorded, settled = await self.record(authorization, case.exchange, ended.sent)
        word = _registry_word(await self._snapshot(settled.pin), case)
        evidence = assemble(ended, recorded, word).to_bytes()
        await self._verify(evidence)
        sizes = [document.size for document in case.manifest.documents]
        return Answer(
            exchange=case.exchange,
            authorization_index=recorded.authorization.index,
            outcome_index=recorded.outcome.index,
            documents=tuple(map(DocumentStatus, ended.classes, sizes)),
            evidence=evidence,
        )

    async def _snapshot(self, pin: Pin) -> Snapshot:
        """A snapshot no older than the pin: the ledger may have heard of a change before this process did."""
        ticks = range(round(VIEW_WAIT_S / VIEW_TICK_S))
        for _ in ticks:
            snapshot = self._view.current()
            if snapshot.pin.sequence >= pin.sequence:
                return snapshot
            await asyncio.sleep(VIEW_TICK_S)
        raise AccordError(Reason.REGISTRY_STALE, "the register's view is behind the ledger's", retry_after=1.0)

    async def _verify(self, evidence: bytes) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, verify, evidence, self._trust)
        except VerificationError as error:
            _log.error("evidence does not verify", extra={"fields": {"step": error.number, "title": error.title}})
            raise AccordError(Reason.INTERNAL, "the evidence does not verify") from error


def _registry_word(snapshot: Snapshot, case: Case) -> RegistryWord:
    try:
        sender, recipient = (_leased(snapshot, name) for name in (case.manifest.sender, case.manifest.recipient))
    except KeyError:
        raise AccordError(Reason.INTERNAL, "a service left the register") from None
    return RegistryWord(snapshot.lease.token, sender, recipient)


def _leased(snapshot: Snapshot, name: str) -> LeasedRecord:
    index, record, hashes = snapshot.record_proof(name)
    return LeasedRecord(record, index, tuple(hashes))
