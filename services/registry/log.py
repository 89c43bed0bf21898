"""The register's own log: an entry for each change of an organisation or a service, in a Merkle tree with a signed head.

Guarantees: what is appended becomes durable together with the change it records and with the signed checkpoint that covers
it, or not at all; a head that its key has not signed, that is not the root of the stored tree, or that is behind one this
process has seen is never extended. Whoever appends holds the lock of the snapshot's head (`store.snapshot`). Nothing is
kept in memory but the size seen, so several processes may append, one after another.

Specification: RFC 9162 §2.1 (tree), C2SP tlog-checkpoint (head); entries as `formats.register_entry` says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from services.chassis.tree_store import read_nodes
from services.errors import AccordError, Reason
from services.formats.canonical import dumps
from services.formats.entry import MAX_BODY, Pin, commitment
from services.formats.register_entry import RegisterEntry, RegisterEvent, parse_register_entry
from services.registry.domain.service import Service
from services.registry.domain.wish import Wish
from services.registry.tables import ENTRY, LOG, NODE
from services.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from services.tlog.note import NoteSigner
from services.tlog.proof import inclusion_proof, verify_inclusion
from services.tlog.tree import EMPTY_ROOT, Frontier, leaf_hash

EPOCH = 1
_LOG = {"epoch": EPOCH}
_HEAD = select(LOG).where(LOG.c.epoch == EPOCH)
_LAST = select(ENTRY.c.idx, ENTRY.c.data).where(ENTRY.c.epoch == EPOCH).order_by(ENTRY.c.idx.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to an organisation or a service, by whom (a SPIFFE ID; empty: the register itself), as they wished it.

    `status`: where it stands since; `record`: the service's bytes in the snapshot; `more`: what else the body says.
    """

    type: RegisterEvent
    resource: str
    author: str
    status: str = ""
    record: bytes = b""
    wish: Wish | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """What the entry commits to; members that say nothing are absent."""
        said: dict[str, Any] = {"author": self.author, **self.more}
        if self.wish is not None:
            said |= {"justification": self.wish.justification, "evidence": self.wish.evidence}
        return dumps({name: value for name, value in said.items() if value})


def service_event(
    type_: RegisterEvent, service: Service, author: str, wish: Wish | None = None, more: Mapping[str, Any] | None = None
) -> Event:
    """What happened to a service that stands like this since."""
    return Event(type_, service.name, author, service.standing.effective.value, service.record, wish, more or {})


class RegisterLog:
    """The log of one register; `random(n)` gives salts."""

    def __init__(self, signer: NoteSigner, random: Callable[[int], bytes]) -> None:
        self._signer, self._random = signer, random
        self._seen = 0

    @property
    def origin(self) -> str:
        """The log's origin: trust domain, `register`, epoch."""
        return self._signer.name

    def create(self, connection: Connection) -> bool:
        """Makes the empty log's head, unless there is one; whether it did. Raises: AccordError LEDGER_ROLLED_BACK."""
        if connection.execute(_HEAD).first() is not None:
            return False
        if connection.execute(_LAST).first() is not None:
            raise self._broken("there are entries without a head")
        note = self._sign(0, EMPTY_ROOT)
        empty = {"origin": self.origin, "size": 0, "root": EMPTY_ROOT, "time_ms": 0, "note": note}
        connection.execute(insert(LOG).values(_LOG | empty))
        return True

    def last_ms(self, connection: Connection) -> int:
        """The time of the newest entry, in milliseconds since 1970; 0 for none."""
        return int(self._head(connection)["time_ms"])

    def committed(self, size: int) -> None:
        """Remembers that the log has had this size: it will never have a smaller one."""
        self._seen = max(self._seen, size)

    def append(self, connection: Connection, now_ms: int, pin: Pin, events: Sequence[Event]) -> int:
        """Appends an entry for each event, under the snapshot that they led to; the log's size then.

        Raises: AccordError LEDGER_ROLLED_BACK for a head that does not hold.
        """
        head = self._head(connection)
        if not events:
            return int(head["size"])
        frontier = self._trusted(connection, head)
        rows = [self._row(frontier.size + place, event, now_ms, pin) for place, event in enumerate(events)]
        after, nodes = frontier.extend([leaf_hash(row["data"]) for row in rows])
        connection.execute(insert(ENTRY), rows)
        connection.execute(insert(NODE), [_LOG | {"level": n.level, "idx": n.index, "hash": n.hash} for n in nodes])
        root = after.root()
        values = {"size": after.size, "root": root, "time_ms": now_ms, "note": self._sign(after.size, root)}
        connection.execute(update(LOG).where(LOG.c.epoch == EPOCH).values(values))
        return after.size

    def _row(self, index: int, event: Event, now_ms: int, pin: Pin) -> dict[str, Any]:
        salt, body = self._random(32), event.body
        if len(body) > MAX_BODY:
            raise ValueError("a body is longer than a verifier reads")
        entry = RegisterEntry(
            type=event.type,
            time_ms=now_ms,
            resource=event.resource,
            registry=pin,
            commit=commitment(salt, body),
            actor="registrar" if event.author else "register",
            status=event.status,
            record=leaf_hash(event.record).hex() if event.record else "",
        )
        place = {"idx": index, "resource": event.resource}
        return _LOG | place | {"data": entry.to_bytes(), "salt": salt, "body": body}

    def verify(self, connection: Connection, pin: Pin) -> None:
        """Checks head, tree and last entry, and that this one leads to the snapshot of `pin`: else one of them was changed.

        Raises: AccordError LEDGER_ROLLED_BACK.
        """
        head = self._head(connection)
        self._trusted(connection, head)
        last = connection.execute(_LAST).first()
        if head["size"] != (0 if last is None else last.idx + 1):
            raise self._broken("the entries do not end where the head does")
        if last is None:
            return
        try:
            path = inclusion_proof(last.idx, head["size"], lambda nodes: read_nodes(connection, _LOG, nodes))
            verify_inclusion(leaf_hash(last.data), last.idx, head["size"], path, head["root"])
            entry = parse_register_entry(last.data)
        except (ValueError, KeyError) as error:
            raise self._broken("the last entry does not hold") from error
        if (entry.registry, entry.time_ms) != (pin, head["time_ms"]):
            raise self._broken("the last entry leads to another snapshot")

    def _head(self, connection: Connection) -> RowMapping:
        head = connection.execute(_HEAD).mappings().first()
        if head is None or head["origin"] != self.origin:
            raise self._broken("the log has no head, or is another register's")
        if head["size"] < self._seen:
            raise self._broken("the head is behind one seen before")
        return head

    def _trusted(self, connection: Connection, head: RowMapping) -> Frontier:
        try:
            checkpoint = open_checkpoint(head["note"], self._signer.verifier)
            frontier = Frontier.load(head["size"], lambda nodes: read_nodes(connection, _LOG, nodes))
        except (ValueError, KeyError) as error:
            raise self._broken("the head does not hold") from error
        if not (checkpoint.size == head["size"] and checkpoint.root == head["root"] == frontier.root()):
            raise self._broken("the head is not the root of the stored log")
        return frontier

    def _sign(self, size: int, root: bytes) -> str:
        return sign_checkpoint(Checkpoint(self.origin, size, root), self._signer)

    def _broken(self, why: str) -> AccordError:
        return AccordError(Reason.LEDGER_ROLLED_BACK, f"{self.origin}: {why}")
