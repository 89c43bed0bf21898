"""What the platform's operator does across shards: erasure, retention, the portal's assertions.

Each shard is a transaction of its own, and every step may be repeated: what was interrupted is completed by the same call
again. Leaves what each step does to its handler.
"""

import asyncio
from functools import partial

from services.chassis.db import Database
from services.consent.domain import commands as c
from services.consent.domain.asserted import Asserted, AssertionFilter, Place
from services.consent.ledger import Ledger
from services.consent.store import assertions
from services.formats.times import text_of

Cursor = tuple[int, Place | None]
"""Where a list over all shards goes on: a shard, and the last place seen in it."""


class Platform:
    """The use cases of `PlatformService`."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database, self._ledger = database, ledger

    async def erase(self, item: c.Erase) -> tuple[int, int]:
        """Erases a patient everywhere; answers when it is effective (milliseconds), and how many openings it covers.

        Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT unless the profile is closed, STORAGE_UNAVAILABLE.
        """
        effective_ms, covers = await self._ledger.do(item)
        for shard in range(self._ledger.shards):
            await self._ledger.do(c.DropAliases(shard, item.address))
        await asyncio.to_thread(self._database.scrub)
        return effective_ms, covers

    async def retain(self, year: int, legal_basis: str) -> int:
        """Drops a past year in every shard; answers how many openings that covers. Raises: AccordError STATE_CONFLICT."""
        covers = 0
        for shard in range(self._ledger.shards):
            covers += await self._ledger.do(c.Retain(shard, year, legal_basis))
        await asyncio.to_thread(self._database.scrub)
        return covers

    async def assertions(
        self, wanted: AssertionFilter, after: Cursor, size: int
    ) -> tuple[list[Asserted], Cursor | None]:
        """The next `size` assertions, shard by shard in log order, and where to go on (None: there are no more).

        The reading is on the record first; whom it was about is not.
        """
        asked = {"from": text_of(wanted.from_ms), "until": text_of(wanted.until_ms)}
        asked |= ({"kid": wanted.kid} if wanted.kid else {}) | ({"by": "person"} if wanted.person else {})
        shard = min(after[0], self._ledger.shards - 1)
        await self._ledger.do(c.RecordRead(shard, "ListAssertions", asked, c.PLATFORM))
        found: list[Asserted] = []
        (first, place), limit = after, size + 1  # one more tells whether there is more
        for shard in range(first, self._ledger.shards):
            begin = place if shard == first else None
            found += await self._ledger.read(partial(self._page, shard, wanted, begin, limit - len(found)))
            if len(found) == limit:
                last = found[size - 1]
                return found[:size], (last.shard, last.place)
        return found, None

    def _page(self, shard: int, wanted: AssertionFilter, after: Place | None, limit: int) -> list[Asserted]:
        with self._database.read() as connection:
            return assertions.page(connection, shard, wanted, after, limit)

    async def revoke(self, wanted: AssertionFilter, why: str) -> tuple[int, int]:
        """Withdraws whatever rests on the assertions found; answers how many consents, and how many had ended before."""
        revoked: set[tuple[int, int]] = set()
        ended: set[tuple[int, int]] = set()
        for shard in range(self._ledger.shards):
            after: Place | None = None
            while True:
                step = await self._ledger.do(c.RevokeAsserted(shard, wanted, after, why))
                revoked |= {(shard, consent) for consent in step.revoked}
                ended |= {(shard, consent) for consent in step.ended}
                if step.after is None:
                    break
                after = step.after
        return len(revoked), len(ended - revoked)
