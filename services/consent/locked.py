"""What the holder of a shard's lock does: read the time, choose the registry snapshot, append, and sign the new head.

Guarantees that an entry's time was read after the lock and is never before the head's; that a body's size and an entry's
stay within the format; and that entries, openings, tree and signed head are written together by `flush`, or not at all.
Leaves taking the lock, and COMMIT, to `shard`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from services.chassis.clock import Clock, time_after
from services.chassis.registry import Snapshot
from services.consent import tables
from services.consent.domain.commands import Appended
from services.consent.domain.identifiers import local_id
from services.consent.vault import Use, Vault
from services.errors import AccordError, Reason
from services.formats.canonical import dumps
from services.formats.entry import MAX_BODY, MAX_ENTRY, Entry, EntryType, Pin, commitment
from services.formats.times import text_of
from services.tlog.checkpoint import Checkpoint, sign_checkpoint
from services.tlog.note import NoteSigner
from services.tlog.tree import Frontier, leaf_hash

HEAD, DATA_KEY = tables.table(tables.Head), tables.table(tables.DataKey)
RECORD = tables.table(tables.RegistryRecord)
_MOVE_HEAD = (
    update(HEAD)
    .where(HEAD.c.shard == bindparam("in_shard"), HEAD.c.epoch == bindparam("in_epoch"))
    .values(
        {name: bindparam(name) for name in ("size", "root", "time_ms", "registry_sequence", "registry_hash", "note")}
    )
)
_FIND_KEYS = select(DATA_KEY.c.patient, DATA_KEY.c.wrapped).where(
    DATA_KEY.c.shard == bindparam("shard"),
    DATA_KEY.c.year == bindparam("year"),
    DATA_KEY.c.use == bindparam("use"),
    DATA_KEY.c.patient.in_(bindparam("patients", expanding=True)),
)
_ADD_KEY, _ADD_ENTRY = insert(DATA_KEY), insert(tables.table(tables.Entry))
_ADD_OPENING, _ADD_NODE = insert(tables.table(tables.Opening)), insert(tables.table(tables.Node))
_KNOWN_RECORDS = (
    select(RECORD.c.service, RECORD.c.hash).where(RECORD.c.shard == bindparam("shard")).order_by(RECORD.c.sequence)
)
_ADD_RECORD = insert(RECORD)
NOBODY = 0
IDENTITY_YEAR = 0
STEP = 64
"""Things changed in one transaction where there may be many: others wait for the same lock."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a shard is named, signed and sealed with, and the clock it goes by."""

    shard: int
    signer: NoteSigner
    vault: Vault
    clock: Clock
    random: Callable[[int], bytes]
    leeway_ms: int
    epoch: int = 1

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self.signer.name

    def sign(self, size: int, root: bytes) -> str:
        """The signed checkpoint of this size and root."""
        return sign_checkpoint(Checkpoint(self.origin, size, root), self.signer)


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be: its type and actor, what else it says in clear, its body, whose it is.

    `facts` is what a decision rested on: the body holds only its salted hash, for evidence discloses bodies.
    """

    type: EntryType
    actor: str
    clear: dict[str, Any]
    body: dict[str, Any]
    patient: int
    facts: dict[str, Any] | None


def draft(
    type_: EntryType,
    actor: str,
    body: dict[str, Any],
    patient: int = NOBODY,
    facts: dict[str, Any] | None = None,
    **clear: Any,
) -> Draft:
    """A draft of these clear members."""
    return Draft(type_, actor, clear, body, patient, facts)


class Locked:
    """One transaction under the shard's lock. `snapshot` is the registry's, or None when it is stale."""

    def __init__(
        self, means: Means, connection: Connection, head: Any, frontier: Frontier, snapshot: Snapshot | None
    ) -> None:
        self.connection, self.shard, self.origin = connection, means.shard, means.origin
        self.epoch = means.epoch
        self.snapshot, self.head = snapshot, head
        self.now_ms = time_after(means.clock, head.time_ms, means.leeway_ms)
        self.pin = Pin(head.registry_sequence, head.registry_hash)
        self._means, self._frontier = means, frontier
        self._keys: dict[tuple[int, int, Use], bytes] = {}
        self._entries: list[dict[str, Any]] = []
        self._openings: list[dict[str, Any]] = []
        self._leaves: list[bytes] = []
        self._year = int(text_of(self.now_ms)[:4])
        self._last_id: int | None = None

    def lease(self) -> Snapshot:
        """The registry snapshot to decide by: fresh, and no older than the newest this shard was decided by."""
        snapshot = self.snapshot
        if snapshot is None or snapshot.lease.pin.sequence < self.pin.sequence:
            raise AccordError(Reason.REGISTRY_STALE, retry_after=1.0)
        if snapshot.lease.pin != self.pin:
            self._observe(snapshot)
        return snapshot

    def _observe(self, snapshot: Snapshot) -> None:
        """Moves on to a newer snapshot, and keeps the records that it changed: decisions are explained by them later."""
        if snapshot.pin.sequence == self.pin.sequence:
            raise AccordError(Reason.REGISTRY_STALE, "two registry snapshots have one sequence")
        self.pin = snapshot.pin
        known = {row.service: row.hash for row in self.connection.execute(_KNOWN_RECORDS, {"shard": self.shard})}
        place = {"shard": self.shard, "sequence": self.pin.sequence}
        hashes = snapshot.hashes
        changed = [name for name in {**known, **hashes} if known.get(name) != hashes.get(name, b"")]
        rows = [
            place | {"service": name, "hash": hashes.get(name, b""), "data": snapshot.raw(name)} for name in changed
        ]
        if rows:
            self.connection.execute(_ADD_RECORD, rows)
        self.append(draft(EntryType.REGISTRY_OBSERVED, "ledger", {}))

    def append(self, item: Draft) -> Appended:
        """Appends one entry, its opening sealed under the patient's data key of this year."""
        index = self.head.size + len(self._leaves)
        use = use_of(item.type)
        key, place, salt = self.key(item.patient, use=use), f"{self.origin}|{index}", self._means.random(32)
        bound, facts = self._seal_facts(item, key, place)
        body = dumps(item.body | bound)
        commit = commitment(salt, body)
        entry = Entry(item.type, self.now_ms, self.shard, self.pin, commit, item.actor, **item.clear).to_bytes()
        if len(body) > MAX_BODY or len(entry) > MAX_ENTRY:
            raise ValueError("an entry or its body is longer than a verifier reads")
        sealed = self._means.vault.seal_opening(key, salt, body, place)
        at = {"shard": self.shard, "epoch": self.epoch, "idx": index}
        self._entries.append(at | {"data": entry})
        owner = {"patient": item.patient, "year": self._year, "use": use.value}
        self._openings.append(at | {"sealed": sealed, "facts": facts} | owner)
        self._leaves.append(leaf_hash(entry))
        return Appended(self.origin, index, self._leaves[-1])

    def _seal_facts(self, item: Draft, key: bytes, place: str) -> tuple[dict[str, str], bytes]:
        if item.facts is None:
            return {}, b""
        salt, facts = self._means.random(32), dumps(item.facts)
        if len(facts) > MAX_BODY:
            raise ValueError("the facts of a decision are longer than a verifier reads")
        return {"facts": commitment(salt, facts)}, self._means.vault.seal_opening(key, salt, facts, facts_place(place))

    def count_unwritten(self, patient: int, uses: Sequence[Use]) -> int:
        """How many openings of a patient, under keys of these uses, this transaction holds that are not yet rows."""
        return sum(item["patient"] == patient and item["use"] in uses for item in self._openings)

    def random(self, count: int) -> bytes:
        """So many random bytes."""
        return self._means.random(count)

    def new_id(self, random_bits: Callable[[int], int]) -> int:
        """A local id that this shard has not given, not even to what a restore has lost: `domain.identifiers.local_id`."""
        self._last_id = local_id(self.now_ms, random_bits) if self._last_id is None else self._last_id + 1
        return self._last_id

    def key(self, patient: int, year: int | None = None, use: Use = Use.RECORD) -> bytes:
        """The patient's data key of a year (this one by default), made now if there was none."""
        year = self._year if year is None else year
        if (patient, year, use) not in self._keys:
            self.load_keys([patient], year, use)
        return self._keys[patient, year, use]

    def load_keys(self, patients: Sequence[int], year: int | None = None, use: Use = Use.RECORD) -> None:
        """Reads, or makes, the data keys of several patients at once."""
        year = self._year if year is None else year
        wanted = sorted({patient for patient in patients if (patient, year, use) not in self._keys})
        place = {"shard": self.shard, "year": year, "use": use.value}
        vault = self._means.vault
        for patient, wrapped in self.connection.execute(_FIND_KEYS, place | {"patients": wanted}) if wanted else ():
            self._keys[patient, year, use] = vault.unwrap(wrapped, self.shard, patient, year, use)
        missing = [patient for patient in wanted if (patient, year, use) not in self._keys]
        self._keys |= {(patient, year, use): vault.new_key() for patient in missing}
        rows = [
            place | {"patient": p, "wrapped": vault.wrap(self._keys[p, year, use], self.shard, p, year, use)}
            for p in missing
        ]
        if rows:
            self.connection.execute(_ADD_KEY, rows)

    def flush(self) -> Frontier:
        """Writes what was appended, and the signed head over it. Returns the tree's new right edge."""
        if not self._leaves:
            return self._frontier
        frontier, nodes = self._frontier.extend(self._leaves)
        rows = [
            {"shard": self.shard, "epoch": self.epoch, "level": n.level, "idx": n.index, "hash": n.hash} for n in nodes
        ]
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
            "note": self._means.sign(frontier.size, root),
        }
        self.connection.execute(_MOVE_HEAD, {"in_shard": self.shard, "in_epoch": self.epoch} | changes)
        return frontier


def use_of(type_: EntryType) -> Use:
    """Which of a patient's keys seals what an entry of this type commits to: an exchange's is a trace of access."""
    return Use.TRACE if type_.value.startswith("exchange.") else Use.RECORD


def facts_place(place: str) -> str:
    """What the sealed facts of an entry's place are bound to: another place than its opening."""
    return f"{place}|facts"
