"""One watch of the ledger's logs: look, keep, cosign, and tell what is known in a line.

Guarantees that each look checks every log of TRUST against the highest checkpoint kept before, and that a checkpoint is
cosigned only after it was kept. Leaves the judgement of checkpoints to `chassis.witness`, their keeping to `witness_file`.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from services.chassis.clock import Clock
from services.chassis.witness import Contradiction, Witness, superseded
from services.ctl.witness_file import WitnessFile
from services.errors import AccordError, Reason
from services.formats.times import text_of
from services.formats.trust import Trust
from services.tlog.cosignature import Cosigner

CONTINUES, CONTRADICTED, UNKNOWN = 0, 1, 2
"""Exit statuses: every log continues what was kept; one does not; it cannot be said."""
console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Report:
    """One line for each look, on standard output."""

    target: str
    memory: WitnessFile
    as_json: bool

    def continues(self, time_ms: int, before: Mapping[str, int], sizes: Mapping[str, int]) -> None:
        """Every log continues what was kept; sizes by origin."""
        entries, grown = sum(sizes.values()), sum(sizes.values()) - sum(before.values())
        self._tell(
            {"time": text_of(time_ms), "status": CONTINUES, "logs": dict(sorted(sizes.items()))},
            f"[green]continues[/]: {len(sizes)} log(s), {entries} entries (+{grown})",
        )

    def contradicted(self, time_ms: int, found: Contradiction) -> None:
        """A log contradicts what was kept."""
        told = {"log": found.origin, "why": found.why, "kept": found.kept, "shown": found.shown}
        self._tell(
            {"time": text_of(time_ms), "status": CONTRADICTED, "reason": Reason.LEDGER_ROLLED_BACK.value} | told,
            f"[red]{Reason.LEDGER_ROLLED_BACK.value}[/] {found.origin}: {found.why}; see {self.memory.contradiction}",
        )

    def unknown(self, time_ms: int, error: AccordError) -> None:
        """Nothing can be said now."""
        cause = error.__cause__ if isinstance(error.__cause__, AccordError) else error
        why = cause.detail
        if cause.reason is Reason.LEDGER_UNAVAILABLE and why == AccordError(cause.reason).detail:
            why = f"no answer from {self.target}"
        self._tell(
            {"time": text_of(time_ms), "status": UNKNOWN, "reason": cause.reason.value, "why": why},
            f"[yellow]{cause.reason.value}[/]: {why}",
        )

    def _tell(self, facts: dict[str, Any], line: str) -> None:
        if self.as_json:
            print(json.dumps(facts), flush=True)
        else:
            console.print(f"{facts['time']} {line}", highlight=False)


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch: whom it asks, what it keeps, whom it tells."""

    witness: Witness
    trust: Trust
    memory: WitnessFile
    cosigner: Cosigner | None
    clock: Clock
    report: Report

    async def follow(self, every_s: float, *, once: bool) -> int:
        """Looks until a contradiction is found, or once; the exit status. Raises: WitnessFileError, NoteError."""
        earlier = self.memory.earlier_contradiction()
        if earlier is not None:
            self.report.contradicted(self.clock.wall_ms(), earlier)
            return CONTRADICTED
        await self.witness.start()
        while True:
            status = await self.look()
            if once or status == CONTRADICTED:
                return status
            await asyncio.sleep(every_s)

    async def look(self) -> int:
        """One look; its exit status."""
        before = self.witness.sizes()
        try:
            await self._look()
        except AccordError as error:
            return self._failed(error)
        self.report.continues(self.clock.wall_ms(), before, self.witness.sizes())
        return CONTINUES

    async def _look(self) -> None:
        await self.witness.look()
        if self.cosigner is not None:
            for origin, note in self.witness.notes().items():
                self.memory.keep_cosigned(origin, self.cosigner.cosign(note, self.clock.wall_ms() // 1000))
        shown = set(self.witness.sizes())
        hidden = {log.name for log in self.trust.logs if not superseded(log.name, shown)} - shown
        if hidden:
            raise AccordError(Reason.LEDGER_UNAVAILABLE, f"TRUST lists {min(hidden)}, which the ledger does not show")

    def _failed(self, error: AccordError) -> int:
        found = self.witness.contradiction
        if found is None:
            self.report.unknown(self.clock.wall_ms(), error)
            return UNKNOWN
        self.report.contradicted(self.clock.wall_ms(), found)
        try:
            self.memory.keep_contradiction(found, self.clock.wall_ms())
        except AccordError as unkept:
            errors.print(f"[red]{unkept}[/]", highlight=False)
        return CONTRADICTED
