"""A Merkle tree's hashes in a table `node` (…, level, idx, hash): read by whole keys.

Leaves to each service which columns name its log, and the writing: nodes are inserted with the entries that complete them.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from sqlalchemy import Connection, TextClause, text

from services.tlog.tree import Coordinate


def read_nodes(connection: Connection, log: Mapping[str, int], nodes: Sequence[Coordinate]) -> list[bytes]:
    """The hashes of complete subtrees, in the order asked: a look-up for each. `log`: the columns that name the log.

    Raises: KeyError when one is missing.
    """
    if not nodes:
        return []
    values = dict(log)
    for place, (level, index) in enumerate(nodes):
        values |= {f"level{place}": level, f"idx{place}": index}
    rows = connection.execute(_find_nodes(len(nodes), tuple(log)), values)
    found = {(level, index): hash_ for level, index, hash_ in rows if hash_ is not None}
    return [found[node] for node in nodes]


@lru_cache(maxsize=256)
def _find_nodes(count: int, names: tuple[str, ...]) -> TextClause:
    # Not `(level, idx) IN (…)`: for that SQLite reads every node of the log.
    wanted = ", ".join(f"(:level{place}, :idx{place})" for place in range(count))
    log = " AND ".join(f"{name} = :{name}" for name in names)
    node = f"SELECT hash FROM node WHERE {log} AND level = wanted.level AND idx = wanted.idx"  # noqa: S608
    return text(f"WITH wanted(level, idx) AS (VALUES {wanted}) SELECT level, idx, ({node}) FROM wanted")  # noqa: S608
