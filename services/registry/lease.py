"""The lease: the newest snapshot, kept in memory and signed afresh for each reader.

Guarantees that a reader is given the newest snapshot this process has committed, or none: where a commit's outcome is
unknown the snapshot is withdrawn until it has been read back. A reader that waits is woken by each change. Nobody is given
a lease while the consent ledger is not believed: whatever rests on one ends with the age of the last. Leaves age to the
reader.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.chassis.clock import Clock
from services.formats.jwk import Signer
from services.formats.lease import sign_lease
from services.registry.domain.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Issued:
    """A lease's JWS, and its records; none for a reader that holds them."""

    token: str
    records: tuple[bytes, ...]


class Leases:
    """The current snapshot, its signer, and who waits for the next; `load` reads it from the store.

    `require` returns while leases may be issued, and otherwise raises AccordError of kind UNAVAILABLE.
    """

    def __init__(
        self,
        signer: Signer,
        trust_domain: str,
        clock: Clock,
        load: Callable[[], Awaitable[Snapshot]],
        require: Callable[[], None] = lambda: None,
    ) -> None:
        self.require = require
        self._signer, self._trust_domain, self._clock, self._load = signer, trust_domain, clock, load
        self._snapshot: Snapshot | None = None
        self._changed = asyncio.Condition()
        self._withdrawals = 0

    async def publish(self, snapshot: Snapshot) -> None:
        """Hands this snapshot out from now on, unless it already hands out a newer one."""
        async with self._changed:
            if self._snapshot is None or snapshot.pin.sequence >= self._snapshot.pin.sequence:
                self._snapshot = snapshot
                self._changed.notify_all()

    async def withdraw(self) -> None:
        """Hands out nothing until the store has said what the newest snapshot is."""
        async with self._changed:
            self._snapshot = None
            self._withdrawals += 1
            self._changed.notify_all()

    async def current(self) -> Snapshot:
        """The newest snapshot. Raises: AccordError STORAGE_UNAVAILABLE."""
        while (held := self._snapshot) is None:
            withdrawals = self._withdrawals
            found = await self._load()
            if withdrawals == self._withdrawals:  # else what was read may already be old
                await self.publish(found)
        return held

    async def issue(self, known_sequence: int, wait_s: float) -> Issued:
        """A lease signed now; waits up to `wait_s` seconds while the snapshot is the one of `known_sequence`.

        Raises: AccordError STORAGE_UNAVAILABLE, or as `require`.
        """
        if (await self.current()).pin.sequence == known_sequence:
            await self._wait_for_change(known_sequence, wait_s)
        snapshot = await self.current()
        self.require()
        records = () if snapshot.pin.sequence == known_sequence else snapshot.records
        token = sign_lease(self._signer, self._trust_domain, snapshot.pin, len(snapshot.records), self._clock.wall_ms())
        return Issued(token, records)

    async def _wait_for_change(self, known_sequence: int, wait_s: float) -> None:
        def ended() -> bool:
            held = self._snapshot
            return held is None or held.pin.sequence != known_sequence

        try:
            async with asyncio.timeout(wait_s), self._changed:
                await self._changed.wait_for(ended)
        except TimeoutError:
            pass
