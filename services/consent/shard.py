"""A shard of the log: its lock, and appending to it.

Guarantees: whoever holds a `Locked` is alone in the shard until COMMIT; its `now_ms` was read after the lock and is never
before the head's; what it appends becomes durable together with the signed checkpoint that covers it, or not at all.
Crash outcomes: before COMMIT nothing happened; after COMMIT everything did, whoever heard of it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, tuple_, update

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.registry import Snapshot
from services.consent import tables
from services.consent.domain.commands import Appended
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.canonical import dumps
from services.formats.entry import Entry, EntryType, Pin, commitment, parse_entry
from services.formats.times import text_of
from services.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from services.tlog.note import NoteSigner
from services.tlog.proof import inclusion_proof, verify_inclusion
from services.tlog.tree import EMPTY_ROOT, Coordinate, Frontier, leaf_hash

HEAD, ENTRY, NODE = tables.table(tables.Head), tables.table(tables.Entry), tables.table(tables.Node)
OPENING, DATA_KEY = tables.table(tables.Opening), tables.table(tables.DataKey)
_LOCK = select(HEAD).where(HEAD.c.shard == bindparam("shard")).with_for_update()
_LAST_ENTRY = select(ENTRY.c.idx, ENTRY.c.data).where(ENTRY.c.shard == bindparam("shard")).order_by(ENTRY.c.idx.desc())
_READ_HEAD = select(HEAD).where(HEAD.c.shard == bindparam("shard"))
_MOVE_HEAD = (
    update(HEAD)
    .where(HEAD.c.shard == bindparam("in_shard"))
    .values(
        {name: bindparam(name) for name in ("size", "root", "time_ms", "registry_sequence", "registry_hash", "note")}
    )
)
_FIND_KEYS = select(DATA_KEY.c.patient, DATA_KEY.c.wrapped).where(
    DATA_KEY.c.shard == bindparam("shard"),
    DATA_KEY.c.year == bindparam("year"),
    DATA_KEY.c.patient.in_(bindparam("patients", expanding=True)),
)
_FIND_NODES = select(NODE.c.level, NODE.c.idx, NODE.c.hash).where(
    NODE.c.shard == bindparam("shard"), tuple_(NODE.c.level, NODE.c.idx).in_(bindparam("nodes", expanding=True))
)
_ADD_HEAD, _ADD_ENTRY, _ADD_NODE = insert(HEAD), insert(ENTRY), insert(NODE)
_ADD_OPENING, _ADD_KEY = insert(OPENING), insert(DATA_KEY)
NOBODY = 0
IDENTITY_YEAR = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be: what it says in clear (its time, shard, pin and commitment still unset), its body, whose it is.

    `facts` is what a decision rested on: the body holds only its salted hash, for evidence discloses bodies.
    """

    entry: Entry
    body: dict[str, Any]
    patient: int = NOBODY
    facts: dict[str, Any] | None = None


def draft(
    type_: EntryType,
    actor: str,
    body: dict[str, Any],
    patient: int = NOBODY,
    facts: dict[str, Any] | None = None,
    **clear: Any,
) -> Draft:
    """A draft of these clear members."""
    return Draft(Entry(type_, 0, 0, Pin(0, ""), "", actor, **clear), body, patient, facts)


class Locked:
    """One transaction under the shard's lock. `snapshot` is the registry's, or None when it is stale."""

    def __init__(
        self, log: "ShardLog", connection: Connection, head: Any, frontier: Frontier, snapshot: Snapshot | None
    ) -> None:
        self.connection, self.shard, self.origin = connection, log.shard, log.origin
        self.snapshot, self.head = snapshot, head
        self.now_ms = log.read_clock(head.time_ms)
        self.pin = Pin(head.registry_sequence, head.registry_hash)
        self._log, self._frontier = log, frontier
        self._keys: dict[tuple[int, int], bytes] = {}
        self._entries: list[dict[str, Any]] = []
        self._openings: list[dict[str, Any]] = []
        self._leaves: list[bytes] = []
        self._year = int(text_of(self.now_ms)[:4])

    def lease(self) -> Snapshot:
        """The registry snapshot to decide by: fresh, and no older than the newest this shard was decided by."""
        snapshot = self.snapshot
        if snapshot is None or snapshot.lease.pin.sequence < self.pin.sequence:
            raise AccordError(Reason.REGISTRY_STALE, retry_after=1.0)
        if snapshot.lease.pin != self.pin:
            self._observe(snapshot.lease.pin)
        return snapshot

    def _observe(self, pin: Pin) -> None:
        if pin.sequence == self.pin.sequence:
            raise AccordError(Reason.REGISTRY_STALE, "two registry snapshots have one sequence")
        self.pin = pin
        self.append(draft(EntryType.REGISTRY_OBSERVED, "ledger", {}))

    def append(self, item: Draft) -> Appended:
        """Appends one entry, its opening sealed under the patient's data key of this year."""
        index = self.head.size + len(self._leaves)
        key, place, salt = self.key(item.patient), f"{self.origin}|{index}", self._log.random(32)
        bound, facts = self._seal_facts(item, key, place)
        body = dumps(item.body | bound)
        entry = replace(
            item.entry,
            time_ms=self.now_ms,
            shard=self.shard,
            registry=self.pin,
            commit=commitment(salt, body),
        ).to_bytes()
        sealed = self._log.vault.seal_opening(key, salt, body, place)
        self._entries.append({"shard": self.shard, "idx": index, "data": entry})
        owner = {"patient": item.patient, "year": self._year}
        self._openings.append({"shard": self.shard, "idx": index, "sealed": sealed, "facts": facts} | owner)
        self._leaves.append(leaf_hash(entry))
        return Appended(self.origin, index, self._leaves[-1])

    def _seal_facts(self, item: Draft, key: bytes, place: str) -> tuple[dict[str, str], bytes]:
        if item.facts is None:
            return {}, b""
        salt, facts = self._log.random(32), dumps(item.facts)
        return {"facts": commitment(salt, facts)}, self._log.vault.seal_opening(key, salt, facts, facts_place(place))

    def key(self, patient: int, year: int | None = None) -> bytes:
        """The patient's data key of a year (this one by default), made now if there was none."""
        year = self._year if year is None else year
        if (patient, year) not in self._keys:
            self.load_keys([patient], year)
        return self._keys[patient, year]

    def load_keys(self, patients: Sequence[int], year: int | None = None) -> None:
        """Reads, or makes, the data keys of several patients at once."""
        year = self._year if year is None else year
        wanted = sorted({patient for patient in patients if (patient, year) not in self._keys})
        key = {"shard": self.shard, "year": year, "patients": wanted}
        vault = self._log.vault
        for patient, wrapped in self.connection.execute(_FIND_KEYS, key) if wanted else ():
            self._keys[patient, year] = vault.unwrap(wrapped, self.shard, patient, year)
        missing = [patient for patient in wanted if (patient, year) not in self._keys]
        self._keys |= {(patient, year): vault.new_key() for patient in missing}
        rows = [
            {"shard": self.shard, "patient": p, "year": year}
            | {"wrapped": vault.wrap(self._keys[p, year], self.shard, p, year)}
            for p in missing
        ]
        if rows:
            self.connection.execute(_ADD_KEY, rows)

    def flush(self) -> Frontier:
        """Writes what was appended, and the signed head over it. Returns the tree's new right edge."""
        if not self._leaves:
            return self._frontier
        frontier, nodes = self._frontier.extend(self._leaves)
        rows = [{"shard": self.shard, "level": n.level, "idx": n.index, "hash": n.hash} for n in nodes]
        self.connection.execute(_ADD_ENTRY, self._entries)
        self.connection.execute(_ADD_OPENING, self._openings)
        self.connection.execute(_ADD_NODE, rows)
        root = frontier.root()
        changes = {
            "size": frontier.size,
            "root": root,
            "time_ms": self.now_ms,
            "registry_sequence": self.pin.sequence,
            "registry_hash": self.pin.hash,
            "note": self._log.sign(frontier.size, root),
        }
        self.connection.execute(_MOVE_HEAD, {"in_shard": self.shard} | changes)
        return frontier


class ShardLog:
    """One shard of the log, for the one thread that writes to it."""

    def __init__(
        self,
        shard: int,
        database: Database,
        signer: NoteSigner,
        vault: Vault,
        clock: Clock,
        random: Callable[[int], bytes],
        leeway_ms: int,
    ) -> None:
        self.shard, self.origin, self.vault, self.random = shard, signer.name, vault, random
        self._database, self._signer, self._clock, self._leeway_ms = database, signer, clock, leeway_ms
        self._frontier: Frontier | None = None
        self._seen = (0, EMPTY_ROOT)

    def create(self) -> None:
        """Makes the empty log's head, unless there is one."""
        with self._database.write() as connection:
            if connection.execute(_READ_HEAD, {"shard": self.shard}).first() is None:
                empty = {"size": 0, "root": EMPTY_ROOT, "time_ms": 0, "note": self.sign(0, EMPTY_ROOT)}
                pin = {"registry_sequence": 0, "registry_hash": EMPTY_ROOT.hex()}
                connection.execute(_ADD_HEAD, {"shard": self.shard, "origin": self.origin} | empty | pin)

    def verify(self) -> None:
        """Checks that the head is signed by this log's key, is the root of the stored tree, and agrees with the last entry.

        Leaves to auditors what lies below the tree's right edge: their proofs fail there. Raises: AccordError
        LEDGER_ROLLED_BACK.
        """
        with self._database.read() as connection:
            head = connection.execute(_READ_HEAD, {"shard": self.shard}).one()
            self._trusted(connection, head)
            last = connection.execute(_LAST_ENTRY.limit(1), {"shard": self.shard}).first()
            if head.size != (0 if last is None else last.idx + 1):
                raise self._broken("the entries do not end where the head does")
            if last is not None:
                self._check_last(connection, head, last.data)

    def _check_last(self, connection: Connection, head: Any, data: bytes) -> None:
        """Time and registry pin stand in no checkpoint: the last entry, proven, is what binds them."""
        try:
            path = inclusion_proof(head.size - 1, head.size, lambda nodes: read_nodes(connection, self.shard, nodes))
            verify_inclusion(leaf_hash(data), head.size - 1, head.size, path, head.root)
            entry = parse_entry(data)
        except (ValueError, KeyError) as error:
            raise self._broken("the last entry does not hold") from error
        pin = Pin(head.registry_sequence, head.registry_hash)
        if (entry.time_ms, entry.registry, self.origin) != (head.time_ms, pin, head.origin):
            raise self._broken("the head does not say what the last entry says")

    @contextmanager
    def locked(self, snapshot: Snapshot | None = None) -> Iterator[Locked]:
        """The shard, locked; commits what was appended at the end.

        Raises: AccordError CLOCK_BEHIND, STORAGE_UNAVAILABLE, LEDGER_ROLLED_BACK.
        """
        try:
            with self._database.write() as connection:
                head = connection.execute(_LOCK, {"shard": self.shard}).one()
                frontier = self._load(connection, head)
                locked = Locked(self, connection, head, frontier, snapshot)
                yield locked
                frontier = locked.flush()
        except BaseException:
            # Whether COMMIT happened may be unknown: forget the tree, and read the head again.
            self._frontier = None
            raise
        self._frontier, self._seen = frontier, (frontier.size, frontier.root())

    def sign(self, size: int, root: bytes) -> str:
        """The signed checkpoint of this size and root."""
        return sign_checkpoint(Checkpoint(self.origin, size, root), self._signer)

    def read_clock(self, head_ms: int) -> int:
        """max(clock, head's time), in milliseconds. Raises: AccordError CLOCK_BEHIND beyond the leeway."""
        now_ms = self._clock.wall_ms()
        if now_ms + self._leeway_ms < head_ms:
            raise AccordError(Reason.CLOCK_BEHIND, retry_after=5.0)
        return max(now_ms, head_ms)

    def _load(self, connection: Connection, head: Any) -> Frontier:
        cached = self._frontier
        if cached is not None and cached.size == head.size and cached.root() == head.root:
            return cached
        size, root = self._seen
        if head.size < size or (head.size == size and head.root != root):
            raise self._broken("the head is behind one seen before")
        return self._trusted(connection, head)

    def _trusted(self, connection: Connection, head: Any) -> Frontier:
        """The stored tree's right edge, where a head signed by this log's key says that it is the log's."""
        try:
            checkpoint = open_checkpoint(head.note, self._signer.verifier)
            frontier = Frontier.load(head.size, lambda nodes: read_nodes(connection, self.shard, nodes))
        except (ValueError, KeyError) as error:
            raise self._broken("the head does not hold") from error
        if not (checkpoint.size == head.size and checkpoint.root == head.root == frontier.root()):
            raise self._broken("the head is not the root of the stored log")
        return frontier

    def _broken(self, why: str) -> AccordError:
        return AccordError(Reason.LEDGER_ROLLED_BACK, f"{self.origin}: {why}")


def facts_place(place: str) -> str:
    """What the sealed facts of an entry's place are bound to: another place than its opening."""
    return f"{place}|facts"


def read_nodes(connection: Connection, shard: int, nodes: Sequence[Coordinate]) -> list[bytes]:
    """The hashes of complete subtrees, in the order asked. Raises: KeyError when one is missing."""
    if not nodes:
        return []
    rows = connection.execute(_FIND_NODES, {"shard": shard, "nodes": list(nodes)})
    found = {(level, idx): hash_ for level, idx, hash_ in rows}
    return [found[node] for node in nodes]
