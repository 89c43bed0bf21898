"""A log's signed head and its stored tree: every node is there, none else, and each follows from those below it.

Each stored leaf is compared with its entry by `entries`; each node above with its two stored children, here; the right edge
with the signed root. So whatever was changed is found where it stands, and proofs that the log would give all hold.
"""

from typing import Any

from sqlalchemy import select

from services.consent.integrity.case import PAGE, Case, Log, in_log
from services.consent.locked import HEAD
from services.consent.shard import NODE, RECOVERING, read_nodes
from services.formats.trust import Trust
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.tree import Frontier, node_hash


def check_head(case: Case, head: Any, trust: Trust, *, recovering: bool) -> None:
    """Finds a head that its log's key did not sign, or that is not the root of the stored tree.

    `recovering`: a recovery that has not ended is no finding.
    """
    at = {"epoch": head.epoch, "index": None}
    with case.findings.guard("head", case.shard, epoch=head.epoch):
        verifier = verifier_of(trust, case.shard, head.epoch)
        unfinished = head.origin == RECOVERING + verifier.name
        if head.origin != verifier.name and not (unfinished and recovering):
            what = "its recovery has not ended" if unfinished else "origin: not this log's"
            case.findings.add("head", case.shard, what, **at)
        checkpoint = open_checkpoint(head.note, verifier)
        if (checkpoint.size, checkpoint.root) != (head.size, head.root):
            case.findings.add("head", case.shard, "size or root: not what the note says", **at)
        frontier = Frontier.load(head.size, lambda nodes: read_nodes(case.connection, case.shard, head.epoch, nodes))
        if frontier.root() != head.root:
            case.findings.add("head", case.shard, "root: not that of the stored tree", **at)


def verifier_of(trust: Trust, shard: int, epoch: int) -> Verifier:
    """The key of a log; of an earlier epoch than TRUST lists, the key that TRUST has for the shard's log now.

    Raises: ValueError where there is none.
    """
    prefix = f"{trust.trust_domain}/ledger/"
    listed = trust.log(f"{prefix}{epoch}/{shard}")
    if listed is not None:
        return listed
    for log in trust.logs:
        number, _, of_shard = log.name.removeprefix(prefix).partition("/")
        if number.isdecimal() and int(number) > epoch and of_shard == str(shard):
            return Verifier(f"{prefix}{epoch}/{shard}", log.public_key)
    raise ValueError("TRUST has no key for this log")


def check_nodes(case: Case, log: Log) -> None:
    """Finds nodes that are missing, that belong to no complete subtree, or that do not follow from their children."""
    levels = log.size.bit_length()
    for level in range(1, levels):
        _check_level(case, log, level)
    for outside in (NODE.c.level < 0, NODE.c.level >= levels):
        statement = select(NODE.c.level, NODE.c.idx).where(*in_log(NODE, log), outside)
        for row in case.rows(statement, NODE.c.level, NODE.c.idx):
            _at(case, log, row.level, row.idx, "belongs to no complete subtree")
    for level in range(levels):
        for outside in (NODE.c.idx < 0, NODE.c.idx >= log.size >> level):
            statement = select(NODE.c.idx).where(*in_log(NODE, log), NODE.c.level == level, outside)
            for row in case.rows(statement, NODE.c.idx):
                _at(case, log, level, row.idx, "belongs to no complete subtree")


def hashes(case: Case, log: Log, level: int, first: int, end: int) -> dict[int, bytes]:
    """The stored hashes of one level from an index until before another."""
    where = (NODE.c.level == level, NODE.c.idx >= first, NODE.c.idx < end)
    rows = case.connection.execute(select(NODE.c.idx, NODE.c.hash).where(*in_log(NODE, log), *where))
    return {index: bytes(hash_) for index, hash_ in rows}


def _check_level(case: Case, log: Log, level: int) -> None:
    count = log.size >> level
    for first in range(0, count, PAGE):
        end = min(first + PAGE, count)
        stored, below = hashes(case, log, level, first, end), hashes(case, log, level - 1, 2 * first, 2 * end)
        for index in range(first, end):
            if index not in stored:
                _at(case, log, level, index, "missing")
                continue
            children = [below.get(2 * index), below.get(2 * index + 1)]
            if None not in children and stored[index] != node_hash(*filter(None, children)):
                _at(case, log, level, index, "not the hash of its children")


def _at(case: Case, log: Log, level: int, index: int, what: str) -> None:
    case.findings.add(NODE.name, case.shard, what, epoch=log.epoch, index=index, row=f"level={level}")


HEADS = select(HEAD).order_by(HEAD.c.shard, HEAD.c.epoch)
