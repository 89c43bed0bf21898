"""A shard's next log, and the lock that a recovery holds: the old head's first, then the new one's.

Guarantees that the old log is what was verified whenever anything is written, and that until `finish` the new head bears a
name under which no process starts on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from services.chassis.db import Database
from services.consent import tables
from services.consent.domain.values import LEDGER
from services.consent.locked import HEAD, Locked, Means, draft
from services.consent.recovery.refusal import RecoveryError
from services.consent.shard import RECOVERING, read_nodes
from services.formats.entry import EntryType, Lost, parse_entry
from services.tlog.tree import EMPTY_ROOT, Frontier

ENTRY = tables.table(tables.Entry)
_IN_HEAD = (HEAD.c.shard == bindparam("in_shard"), HEAD.c.epoch == bindparam("in_epoch"))
_LOCK = select(HEAD).where(*_IN_HEAD).with_for_update()
_FIRST = select(ENTRY.c.data).where(
    ENTRY.c.shard == bindparam("in_shard"), ENTRY.c.epoch == bindparam("in_epoch"), ENTRY.c.idx == 0
)
_NAME = update(HEAD).where(*_IN_HEAD).values(origin=bindparam("to"))


@dataclass(frozen=True, slots=True)
class Restored:
    """A log as it was restored, by its head."""

    shard: int
    epoch: int
    origin: str
    size: int
    root: bytes


class NextLog:
    """The log of the epoch of `means`, after a restored one that was `seen` up to some size."""

    def __init__(self, database: Database, means: Means, restored: Restored, seen: int) -> None:
        self.shard, self._database, self._means = means.shard, database, means
        self._restored, self._seen = restored, seen
        self._old = {"in_shard": restored.shard, "in_epoch": restored.epoch}
        self._new = {"in_shard": means.shard, "in_epoch": means.epoch}

    def begin(self) -> Lost:
        """Declares the lost range, as the first entry, unless an earlier run has; answers what is declared.

        Raises: RecoveryError where that is less than is known to be lost now.
        """
        with self.locked() as locked:
            if locked.head.size:
                lost = parse_entry(bytes(locked.connection.execute(_FIRST, self._new).scalar_one())).lost
            else:
                lost = Lost(self._restored.origin, self._restored.size, self._seen)
                locked.append(draft(EntryType.LEDGER_RECOVERED, LEDGER, {}, lost=lost))
        if lost is None or lost.seen < self._seen:
            raise RecoveryError(f"{self._means.origin} declares less than was lost: a witness was not given at first")
        return lost

    @contextmanager
    def locked(self) -> Iterator[Locked]:
        """The shard, locked; commits what was appended at the end. Raises: RecoveryError when the old log has moved."""
        with self._database.write() as connection:
            old = connection.execute(_LOCK, self._old).one()
            if (old.size, old.root) != (self._restored.size, self._restored.root):
                raise RecoveryError(f"{self._restored.origin} has moved meanwhile: stop the service first")
            head = connection.execute(_LOCK, self._new).one_or_none()
            head = self._add_head(connection, old) if head is None else head
            frontier = Frontier.load(
                head.size, lambda nodes: read_nodes(connection, self.shard, self._means.epoch, nodes)
            )
            locked = Locked(self._means, connection, head, frontier, None)
            yield locked
            locked.flush()

    def finish(self) -> None:
        """Gives the log its name: from now on a process starts on it."""
        with self.locked() as locked:
            locked.connection.execute(_NAME, self._new | {"to": self._means.origin})

    def _add_head(self, connection: Connection, old: Any) -> Any:
        """The empty log's head, which goes on in the old one's time and by its registry snapshot."""
        key = {"shard": self.shard, "epoch": self._means.epoch, "origin": RECOVERING + self._means.origin}
        empty = {"size": 0, "root": EMPTY_ROOT, "note": self._means.sign(0, EMPTY_ROOT)}
        goes_on = {name: getattr(old, name) for name in ("time_ms", "registry_sequence", "registry_hash")}
        connection.execute(insert(HEAD), key | empty | goes_on)
        return connection.execute(_LOCK, self._new).one()
