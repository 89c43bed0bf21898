"""The time of a proof on the seeded ledger: what `GetEntry` and `GetConsistencyProof` read and make, without the call.

Guarantees that every proof timed is verified against the log's signed checkpoint, outside its time, and that entries and
earlier sizes are drawn from the whole log. The entry `audit.read` that `GetEntry` leaves is not part of it.
"""

import random
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from bench.bars import Figures
from bench.load import Run
from bench.seeded import log_signer, vault
from services.chassis.db import Database
from services.consent.proofs import Proofs, Proven
from services.consent.shard import read_nodes
from services.ctl.stack import Stack
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.proof import verify_consistency, verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import Frontier, leaf_hash

WARM_UPS = 10
T = TypeVar("T")


def prove(stack: Stack, count: int, advance: Callable[[], None]) -> Figures:
    """The figures of `count` proofs of each kind, on the database that the stack's consent process serves.

    `advance` hears of each. Raises: ProofError, NoteError for a proof that does not hold.
    """
    with closing(Database(f"sqlite:///{stack.folder / 'data' / 'consent.db'}")) as database:
        prover = _Prover(stack, database, advance)
        return {"proof": prover.inclusions(count), "proof_consistency": prover.consistencies(count)}


class _Prover:
    """Proves against the checkpoint of now, at places drawn at random."""

    def __init__(self, stack: Stack, database: Database, advance: Callable[[], None]) -> None:
        signer, self._advance = log_signer(stack), advance
        self._origin, self._verifier, self._database = signer.name, signer.verifier, database
        self._proofs, self._chance = Proofs(database, vault(stack), [signer.name]), random.Random(4)
        self._head = self._open(self._proofs.head(self._origin)[1])

    def inclusions(self, count: int) -> dict[str, Any]:
        """An entry with its proof against the newest checkpoint, as `GetEntry` gives it unopened."""

        def make(index: int) -> Proven:
            (proven,) = self._proofs.prove(self._origin, [index], openings=False)
            return proven

        return self._measure(make, self._check_inclusion, range(self._head.size), count)

    def consistencies(self, count: int) -> dict[str, Any]:
        """The proof that the log is a continuation of what it was at an earlier size."""

        def make(old: int) -> list[bytes]:
            return self._proofs.consistency(self._origin, old, self._head.size)

        return self._measure(make, self._check_consistency, range(1, self._head.size), count)

    def _measure(
        self, make: Callable[[int], T], check: Callable[[int, T], None], places: range, count: int
    ) -> dict[str, Any]:
        run = Run(0.0, [])
        for number in range(-WARM_UPS, count):
            place = self._chance.choice(places)
            started = time.perf_counter()
            proof = make(place)
            seconds = time.perf_counter() - started
            check(place, proof)
            if number >= 0:
                run.latencies.append(seconds)
                self._advance()
        return {
            "p50_ms": round(run.percentile_ms(50), 3),
            "p99_ms": round(run.percentile_ms(99), 3),
            "entries": self._head.size,
            "count": count,
        }

    def _check_inclusion(self, index: int, proven: Proven) -> None:
        parts = parse_proof(proven.proof)
        head = self._open(parts.checkpoint_note)
        verify_inclusion(leaf_hash(proven.entry), index, head.size, parts.hashes, head.root)

    def _check_consistency(self, old: int, proof: list[bytes]) -> None:
        with self._database.read() as connection:
            root = Frontier.load(old, lambda nodes: read_nodes(connection, 0, 1, nodes)).root()
        verify_consistency(old, root, self._head.size, self._head.root, proof)

    def _open(self, note: str) -> Checkpoint:
        return open_checkpoint(note, self._verifier)
