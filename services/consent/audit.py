"""What auditors read, each reading on the record first: an `audit.read` entry is durable before the first byte is read.

Guarantees that what cannot be recorded is not read; that a search and a count have seen every entry that the logs held when
they began; and that an opened export is all of one state: an erasure meanwhile ends it. What the record says of a question
names no person: where a patient was asked for, it holds the subjects that stand for them in the log, sealed under their own
key: after an erasure it links them no more.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial

from services.consent.domain import commands as c
from services.consent.domain.searching import Count, Filter, Item, Page, Place, Search
from services.consent.domain.values import Address
from services.consent.indexing import Indexer
from services.consent.ledger import Ledger
from services.consent.proofs import Opened, Proven, Sealed
from services.consent.searching import CHUNK, Kind, Narrowed, Searcher, counted
from services.consent.store.traces import Log
from services.errors import AccordError, Reason
from services.formats.entry import EntryType

PART, PART_BYTES = 500, 1 << 20
"""Entries, and bytes, after which a part of an export is full: a single entry may be larger than that."""
_ERASURES = frozenset({EntryType.PATIENT_ERASED, EntryType.RETENTION_APPLIED})
_EVERYTHING = Narrowed()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an export: the checkpoint, or entries from index `first` on, or registry records."""

    first: int
    checkpoint: str = ""
    items: tuple[Opened, ...] = ()
    records: tuple[bytes, ...] = ()


class Audit:
    """The recorded reads."""

    def __init__(self, ledger: Ledger, searcher: Searcher, indexer: Indexer) -> None:
        self._ledger, self._searcher, self._indexer = ledger, searcher, indexer
        self._proofs = ledger.proofs

    async def entry(self, origin: str, index: int, *, opened: bool) -> tuple[Proven, Sealed | None]:
        """An entry, proven, and where it is opened what a decision rested on. Raises: AccordError RESOURCE_NOT_FOUND."""
        await self._record("GetEntry", origin, {"index": str(index)} | ({"open": "true"} if opened else {}))

        def read() -> tuple[Proven, Sealed | None]:
            (proven,) = self._proofs.prove(origin, [index], openings=opened)
            return proven, self._proofs.facts(origin, index) if opened else None

        return await self._ledger.read(read)

    async def entries(self, origin: str, place: Place | None, limit: int) -> tuple[int, list[bytes], Place | None]:
        """A page of a log: its first index, its entries, where to go on. The log ends where it did at the first page."""
        first = place.index if place else 0
        shard, epoch = await self._record("ListEntries", origin, {"from": str(first)})
        end = place.end if place else (await self._ledger.read(lambda: self._proofs.head(origin)))[0]
        found = await self._ledger.read(lambda: self._proofs.entries(origin, first, min(limit, end - first)))
        after = first + len(found)
        return first, found, Place(shard, epoch, after, end) if found and after < end else None

    async def search(self, asked: Search) -> Page:
        """A page of what matches. Raises: AccordError RESOURCE_NOT_FOUND for a patient, a consent or a log unknown."""
        narrowed = await self._ledger.read(lambda: self._searcher.narrow(asked.filter))
        await self._record("SearchEntries", asked.origin, asked.asked() | _released(narrowed), narrowed.patient)
        items: list[Item] = []
        for log, first, end in _spans(asked, await self._logs(narrowed, asked.origin)):
            look = partial(self._searcher.look, asked.filter, narrowed, log, first, end, asked.limit - len(items))
            found = await self._ledger.read(look)
            items += found.items
            if found.next is not None:
                return Page(tuple(items), Place(log.shard, log.epoch, found.next, end))
        return Page(tuple(items), None)

    async def statistics(self, wanted: Filter) -> list[Count]:
        """Counts of what matches, in order of month, service, type and reason. Raises: as `search`."""
        narrowed = await self._ledger.read(lambda: self._searcher.narrow(wanted))
        await self._record("GetStatistics", "", wanted.asked() | _released(narrowed), narrowed.patient)
        counts: Counter[Kind] = Counter()
        for log in await self._logs(narrowed, ""):
            async for some in self._counts(wanted, narrowed, log):
                counts.update(some)
        return [Count(*kind, count=counts[kind]) for kind in sorted(counts)]

    async def export(self, origin: str, first: int, *, opened: bool) -> AsyncIterator[Part]:
        """The checkpoint, then every entry below it from index `first` on, then the registry records; a call for each part.

        Raises: AccordError RESOURCE_NOT_FOUND beyond the log; ETAG_MISMATCH where something was erased meanwhile.
        """
        shard, _ = await self._record(
            "ExportEntries", origin, {"from": str(first)} | ({"open": "true"} if opened else {})
        )
        before = await self._ledger.read(self._indexer.logs)
        size, note = await self._ledger.read(lambda: self._proofs.head(origin))
        if not 0 <= first <= size:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        yield Part(first, note)
        for at in range(first, size, PART):
            items = await self._ledger.read(partial(self._read, origin, at, min(at + PART, size), opened=opened))
            for part in _cut(at, items):
                yield part
        if opened:
            await self._check_kept(shard, before)
            for place in await self._ledger.read(lambda: self._proofs.records(origin)):
                yield Part(size, records=(await self._ledger.read(partial(self._proofs.record, origin, *place)),))

    async def _record(
        self, method: str, origin: str, asked: dict[str, str], patient: Address | None = None
    ) -> tuple[int, int]:
        """Records a read, in the shard of the patient or the log asked for, or shard 0; answers the log's (shard, epoch)."""
        shard, epoch = await self._ledger.read(lambda: self._proofs.log(origin)) if origin else (0, 0)
        said = ({"origin": origin} if origin else {}) | asked
        await self._ledger.do(c.RecordRead(patient.shard if patient else shard, method, said, patient=patient))
        return shard, epoch

    async def _logs(self, narrowed: Narrowed, origin: str) -> list[Log]:
        """The logs that may hold what is sought, indexed up to now."""
        every = await self._ledger.read(self._indexer.logs)
        here = [log for log in every if narrowed.shard in (None, log.shard) and origin in ("", log.origin)]
        await self._indexer.catch_up(here)
        return here

    async def _counts(self, wanted: Filter, narrowed: Narrowed, log: Log) -> AsyncIterator[Counter[Kind]]:
        """One trip to the reading thread for each month, or for each look: others read in between."""
        if not wanted.in_entries:
            for month in await self._ledger.read(partial(self._searcher.months, wanted, log)):
                yield await self._ledger.read(partial(self._searcher.count, wanted, narrowed, log, month))
            return
        at: int | None = 0
        while at is not None:
            found = await self._ledger.read(partial(self._searcher.look, wanted, narrowed, log, at, log.size, CHUNK))
            yield counted(found.items)
            at = found.next

    def _read(self, origin: str, first: int, end: int, *, opened: bool) -> list[Opened]:
        if opened:
            return self._proofs.opened(origin, first, end)
        return [Opened(entry, None, None) for entry in self._proofs.entries(origin, first, end - first)]

    async def _check_kept(self, shard: int, before: list[Log]) -> None:
        """An erasure declares itself in the transaction that destroys the keys: none since means that none was missed."""
        sizes = {log.origin: log.size for log in before}
        wanted = Filter(types=_ERASURES)
        for log in await self._logs(Narrowed(shard), ""):
            at: int | None = sizes.get(log.origin, 0)
            while at is not None and at < log.size:
                found = await self._ledger.read(partial(self._searcher.look, wanted, _EVERYTHING, log, at, log.size, 1))
                if found.items:
                    raise AccordError(Reason.ETAG_MISMATCH, "something was erased meanwhile: export again")
                at = found.next


def _released(narrowed: Narrowed) -> dict[str, str]:
    return {"subjects": ",".join(sorted(narrowed.subjects))} if narrowed.subjects is not None else {}


def _spans(asked: Search, logs: list[Log]) -> Iterator[tuple[Log, int, int]]:
    """What is left to look at: each log, from which index, until before which."""
    place = asked.place
    for log in logs:
        if place is not None and (log.shard, log.epoch) < (place.shard, place.epoch):
            continue
        if place is not None and (log.shard, log.epoch) == (place.shard, place.epoch):
            yield log, place.index, min(place.end, log.size)
        else:
            yield log, asked.first, log.size if asked.end is None else min(asked.end, log.size)


def _cut(first: int, items: list[Opened]) -> Iterator[Part]:
    """The items in parts that are not much larger than PART_BYTES."""
    start, size = 0, 0
    for position, item in enumerate(items):
        size += len(item.entry) + sum(map(len, (*(item.opening or ()), *(item.facts or ()))))
        if size > PART_BYTES or position == len(items) - 1:
            yield Part(first + start, items=tuple(items[start : position + 1]))
            start, size = position + 1, 0
