"""Patients who change their minds while the ledger is measured: withdrawals and new consents, at a steady rate."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.seed import SENDER
from bench.seeded import Patient
from services.ctl.people import People


class Portal:
    """Withdraws a patient's consent to the sender and gives a new one, again and again."""

    def __init__(self, people: People, patients: Sequence[Patient], a_second: float, chance: random.Random) -> None:
        self._people, self._patients, self._pause, self._chance = people, patients, 1 / a_second, chance
        self._consents: dict[str, str] = {}
        self.changes = 0

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Changes consents while the block runs; every patient has a consent again when it ends."""
        ended = asyncio.Event()
        task = asyncio.create_task(self._change(ended))
        try:
            yield
        finally:
            ended.set()
            await task

    async def _change(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            patient = self._chance.choice(self._patients)
            await self._people.revoke(self._consents.get(patient.profile, patient.consent))
            await asyncio.sleep(self._pause)
            self._consents[patient.profile] = await self._people.grant(patient.profile, f"services/{SENDER}")
            await asyncio.sleep(self._pause)
            self.changes += 2
