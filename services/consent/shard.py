"""A shard of the log: its lock, and what must hold of it before anybody appends.

Guarantees: whoever holds a `Locked` is alone in the shard until COMMIT; what it appends becomes durable together with the
signed checkpoint that covers it, or not at all; a head that is not the root of the stored tree, or is behind one seen
before, is never extended. Crash outcomes: before COMMIT nothing happened; after COMMIT everything did, whoever heard of it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from services.chassis import tree_store
from services.chassis.clock import Clock
from services.chassis.config import ConfigError
from services.chassis.db import Database
from services.chassis.registry import Snapshot
from services.consent import tables
from services.consent.locked import HEAD, Locked, Means
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.entry import Pin, parse_entry
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import NoteSigner
from services.tlog.proof import inclusion_proof, verify_inclusion
from services.tlog.tree import EMPTY_ROOT, Coordinate, Frontier, leaf_hash

ENTRY, NODE = tables.table(tables.Entry), tables.table(tables.Node)
_IN_HEAD = (HEAD.c.shard == bindparam("shard"), HEAD.c.epoch == bindparam("epoch"))
_LOCK = select(HEAD).where(*_IN_HEAD).with_for_update()
_LAST_ENTRY = (
    select(ENTRY.c.idx, ENTRY.c.data)
    .where(ENTRY.c.shard == bindparam("shard"), ENTRY.c.epoch == bindparam("epoch"))
    .order_by(ENTRY.c.idx.desc())
)
_READ_HEAD = select(HEAD).where(*_IN_HEAD)
_EPOCHS = select(HEAD.c.epoch, HEAD.c.origin).where(HEAD.c.shard == bindparam("shard"))
_ADD_HEAD = insert(HEAD)
RECOVERING = "recovering "
"""What stands before a head's origin from the recovery that makes it until that has ended (`recovery`)."""


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
        epoch: int = 1,
    ) -> None:
        self.shard, self.epoch, self.origin = shard, epoch, signer.name
        self._log = {"shard": shard, "epoch": epoch}
        self._database, self._means = database, Means(shard, signer, vault, clock, random, leeway_ms, epoch)
        self._frontier: Frontier | None = None
        self._seen = (0, EMPTY_ROOT)

    @property
    def size(self) -> int:
        """How many entries were committed, as far as this process has seen."""
        return self._seen[0]

    def create(self) -> None:
        """Makes the empty log's head, unless there is one. Raises: ConfigError for another epoch than the shard's last."""
        # Where another process makes it at the same moment (PostgreSQL), the second insert waits, and finds it there.
        with suppress(IntegrityError), self._database.write() as connection:
            known = {row.epoch: row.origin for row in connection.execute(_EPOCHS, {"shard": self.shard})}
            if known:
                self._check_epoch(known)
            else:
                empty = {"size": 0, "root": EMPTY_ROOT, "time_ms": 0, "note": self._means.sign(0, EMPTY_ROOT)}
                pin = {"registry_sequence": 0, "registry_hash": EMPTY_ROOT.hex()}
                connection.execute(_ADD_HEAD, self._log | {"origin": self.origin} | empty | pin)

    def _check_epoch(self, known: dict[int, str]) -> None:
        last = max(known)
        if last > self.epoch:
            raise ConfigError(f"epoch: {self.origin} has ended, the database holds epoch {last}")
        if last < self.epoch:
            raise ConfigError(f"epoch: the database holds epoch {last}; only a recovery begins another")
        if known[last].startswith(RECOVERING):
            raise ConfigError(f"epoch: the recovery of {self.origin} has not ended; run it again")

    def verify(self) -> None:
        """Checks that the head is signed by this log's key, is the root of the stored tree, and agrees with the last entry.

        Leaves to auditors what lies below the tree's right edge: their proofs fail there. Raises: AccordError
        LEDGER_ROLLED_BACK.
        """
        with self._database.read() as connection:
            head = connection.execute(_READ_HEAD, self._log).one()
            self._trusted(connection, head)
            last = connection.execute(_LAST_ENTRY.limit(1), self._log).first()
            if head.size != (0 if last is None else last.idx + 1):
                raise self._broken("the entries do not end where the head does")
            if last is not None:
                self._check_last(connection, head, last.data)

    def _check_last(self, connection: Connection, head: Any, data: bytes) -> None:
        """Time and registry pin stand in no checkpoint: the last entry, proven, is what binds them."""
        try:
            path = inclusion_proof(
                head.size - 1, head.size, lambda nodes: read_nodes(connection, self.shard, self.epoch, nodes)
            )
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
                head = connection.execute(_LOCK, self._log).one()
                frontier = self._load(connection, head)
                locked = Locked(self._means, connection, head, frontier, snapshot)
                yield locked
                frontier = locked.flush()
        except BaseException:
            # Whether COMMIT happened may be unknown: forget the tree, and read the head again.
            self._frontier = None
            raise
        self._frontier, self._seen = frontier, (frontier.size, frontier.root())

    def _load(self, connection: Connection, head: Any) -> Frontier:
        size, root = self._seen
        if self._frontier is not None and (head.size, head.root) == self._seen:
            return self._frontier
        if head.size < size or (head.size == size and head.root != root):
            raise self._broken("the head is behind one seen before")
        return self._trusted(connection, head)

    def _trusted(self, connection: Connection, head: Any) -> Frontier:
        """The stored tree's right edge, where a head signed by this log's key says that it is the log's."""
        try:
            checkpoint = open_checkpoint(head.note, self._means.signer.verifier)
            frontier = Frontier.load(head.size, lambda nodes: read_nodes(connection, self.shard, self.epoch, nodes))
        except (ValueError, KeyError) as error:
            raise self._broken("the head does not hold") from error
        if not (checkpoint.size == head.size and checkpoint.root == head.root == frontier.root()):
            raise self._broken("the head is not the root of the stored log")
        return frontier

    def _broken(self, why: str) -> AccordError:
        return AccordError(Reason.LEDGER_ROLLED_BACK, f"{self.origin}: {why}")


def read_nodes(connection: Connection, shard: int, epoch: int, nodes: Sequence[Coordinate]) -> list[bytes]:
    """The hashes of complete subtrees of a log, as `tree_store.read_nodes`. Raises: KeyError when one is missing."""
    return tree_store.read_nodes(connection, {"shard": shard, "epoch": epoch}, nodes)
