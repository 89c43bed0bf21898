"""What auditors read of the register's log: entries with what they commit to, proofs, and the signed head."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from services.chassis.tree_store import read_nodes
from services.errors import AccordError, Reason
from services.registry.log import EPOCH
from services.registry.tables import ENTRY, LOG
from services.tlog.proof import consistency_proof, inclusion_proof
from services.tlog.tlog_proof import format_proof

_LOG = {"epoch": EPOCH}
_HEAD = select(LOG.c.size, LOG.c.note).where(LOG.c.epoch == EPOCH)
_READ = select(ENTRY.c.idx, ENTRY.c.data, ENTRY.c.salt, ENTRY.c.body).where(ENTRY.c.epoch == EPOCH)
_ONE = _READ.where(ENTRY.c.idx == bindparam("at"))
_PAGE = _READ.where(ENTRY.c.idx >= bindparam("first")).order_by(ENTRY.c.idx).limit(bindparam("count"))
_PAGE_OF_ONE = _PAGE.where(ENTRY.c.resource == bindparam("resource"))


@dataclass(frozen=True, slots=True)
class Read:
    """An entry's index and exact bytes, and the salt and body that it commits to."""

    index: int
    entry: bytes
    salt: bytes
    body: bytes


def checkpoint(connection: Connection) -> str:
    """The latest signed checkpoint."""
    return str(connection.execute(_HEAD).one().note)


def consistency(connection: Connection, *, old: int, new: int) -> list[bytes]:
    """The proof that the log of size `new` continues that of size `old`. Raises: AccordError RESOURCE_NOT_FOUND."""
    if new > connection.execute(_HEAD).one().size:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    return consistency_proof(old, new, lambda nodes: read_nodes(connection, _LOG, nodes))


def proven(connection: Connection, *, index: int) -> tuple[Read, str]:
    """An entry and its C2SP tlog-proof against the latest checkpoint. Raises: AccordError RESOURCE_NOT_FOUND."""
    head, row = connection.execute(_HEAD).one(), connection.execute(_ONE, {"at": index}).one_or_none()
    if row is None:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    path = inclusion_proof(index, head.size, lambda nodes: read_nodes(connection, _LOG, nodes))
    return Read(*row), format_proof(index, path, head.note)


def page(connection: Connection, *, resource: str, first: int, count: int) -> Sequence[Read]:
    """At most `count` entries from an index on, in log order; `resource`: only of this one (empty: of all)."""
    asked = {"first": first, "count": count} | ({"resource": resource} if resource else {})
    return [Read(*row) for row in connection.execute(_PAGE_OF_ONE if resource else _PAGE, asked)]
